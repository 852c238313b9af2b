/* init/checkout.c - clone, start commit, and the final difference. */
#include "init/checkout.h"

#include "base/io.h"
#include "base/push.h"
#include "init/repo_spec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CLONE_TIMEOUT_S 3600
#define DIFF_TIMEOUT_S 600
#define KILL_MS 5000
#define ARGS_MAX 24U

/*
 * GIT_CONFIG_GLOBAL for the checkout. safe.directory: a mounted repository belongs to
 * another user more often than not, and the operator named it.
 */
static const char clone_config[] =
        "[include]\n\tpath = ~/.gitconfig\n"
        "[safe]\n\tdirectory = *\n"
        "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n"
        "[protocol \"ext\"]\n\tallow = never\n"
        "[advice]\n\tdetachedHead = false\n"
        "[submodule]\n\trecurse = false\n";

/* Without these a .gitattributes would start git-lfs with the repository's .lfsconfig. */
static const char no_lfs_config[] =
        "[filter \"lfs\"]\n\tsmudge =\n\tprocess =\n\tclean =\n\trequired = false\n";
static const char lfs_config[] =
        "[filter \"lfs\"]\n\tsmudge = git-lfs smudge -- %f\n\tprocess = git-lfs filter-process\n"
        "\tclean = git-lfs clean -- %f\n\trequired = true\n";

static LARGE_BUFFER struct env git_env; /* large: one, static, used by one call at a time */

struct args {
        char *v[ARGS_MAX + 1];
        size_t n;
};

static void arg(struct args *a, const char *s)
{
        if (a->n == ARGS_MAX)
                die(STATUS_PROVISION, "git: over %u words", ARGS_MAX);
        a->v[a->n++] = (char *)(uintptr_t)s; /* execve takes char *const[], and does not write */
}

static struct args git_args(const char *command)
{
        struct args a = { .n = 0 };

        arg(&a, "git");
        arg(&a, command);
        return a;
}

static int write_config(struct task *t, char *path, size_t cap)
{
        char text[1024];
        struct wr w = wr_of(text, sizeof(text));
        struct wr p = wr_of(path, cap - 1);

        wr_str(&w, clone_config);
        wr_str(&w, t->spec.repo.lfs ? lfs_config : no_lfs_config);
        wr_fmt(&p, "%s/gitconfig", t->state);
        wr_cstr(&p);
        return write_file(t->state_fd, "gitconfig", text, w.len);
}

/* The environment of every git of the checkout. */
static int prepare_env(struct task *t)
{
        char path[PATH_MAX];
        int r = write_config(t, path, sizeof(path));

        if (r < 0)
                return r;
        git_env.count = git_env.len = 0;
        git_env.full = false;
        env_add_all(&git_env, t->env.vars);
        env_set(&git_env, "GIT_CONFIG_GLOBAL", path);
        env_set(&git_env, "GIT_TERMINAL_PROMPT", "0");
        if (!t->spec.repo.lfs)
                env_set(&git_env, "GIT_LFS_SKIP_SMUDGE", "1");
        if (!env_get(&git_env, "GIT_SSH_COMMAND"))
                env_set(&git_env, "GIT_SSH_COMMAND",
                        "ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new");
        return git_env.full ? -E2BIG : 0;
}

/* Runs git. Returns its exit status, 128 + n for a signal, or -1 after task_fail(). */
static int git(struct task *t, const char *cwd, struct args *a, int out)
{
        int status = 0;
        struct watch w = {
                .what = "git", .argv = a->v, .cwd = cwd, .in = -1, .out = out,
                .new_session = true, .timeout_s = CLONE_TIMEOUT_S, .lock = t->setup_lock,
                .confine = &t->setup_confine, .env = &git_env,
        };

        switch (watch(t, &w, &status)) {
        case WATCH_EXITED:
                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        case WATCH_TIMEOUT:
                task_fail(t, STATUS_PROVISION, "git %s took over %u s", a->v[1], w.timeout_s);
                return -1;
        case WATCH_STOPPED:
                task_fail(t, STATUS_KILLED, "stopped from outside during git %s", a->v[1]);
                return -1;
        case WATCH_LOST:
        case WATCH_NO_START:
                return -1;
        }
        return -1;
}

/* The same, with what it printed in @buf (NUL-terminated). Returns the exit status. */
static int git_capture(struct task *t, const char *cwd, struct args *a, char *buf, size_t cap)
{
        AUTO_CLOSE int fd = memfd_create("git", MFD_CLOEXEC);
        int r = fd < 0 ? -1 : git(t, cwd, a, fd);
        ssize_t n;

        buf[0] = '\0';
        if (r)
                return r;
        n = pread(fd, buf, cap - 1, 0);
        if (n < 0)
                return -1;
        buf[n] = '\0';
        return 0;
}

static bool whole_commit_id(const char *ref)
{
        size_t n = strspn(ref, "0123456789abcdefABCDEF");

        return !ref[n] && (n == 40 || n == 64);
}

static enum status failed(struct task *t, const char *what)
{
        enum status s = t->stop_signal ? STATUS_KILLED
                        : t->egress.lost ? STATUS_LOCK : STATUS_PROVISION;

        if (t->reason[0])
                return s;
        return task_fail(t, s, "%s %s at %s", what, t->spec.repo.url,
                         t->spec.repo.ref ? t->spec.repo.ref : "its default branch");
}

static void put_depth(struct args *a, const struct task *t, char *buf, size_t cap)
{
        struct wr w = wr_of(buf, cap - 1);

        wr_fmt(&w, "--depth=%u", t->spec.repo.depth);
        if (t->spec.repo.depth)
                arg(a, wr_cstr(&w));
}

/* A branch or a tag: clone knows both. HEAD ends on the branch, or detached on the tag. */
static int clone_named(struct task *t)
{
        struct args a = git_args("clone");
        char depth[32];

        arg(&a, "--quiet");
        arg(&a, "--no-checkout");
        arg(&a, "--no-hardlinks"); /* they fail between the layers of an overlay */
        put_depth(&a, t, depth, sizeof(depth));
        if (t->spec.repo.ref) {
                arg(&a, "--branch");
                arg(&a, t->spec.repo.ref);
        }
        arg(&a, "--");
        arg(&a, t->spec.repo.url);
        arg(&a, t->dir);
        return git(t, "/", &a, -1);
}

static int fetch(struct task *t, const char *from, const char *what)
{
        struct args a = git_args("fetch");
        char depth[32];

        arg(&a, "--quiet");
        arg(&a, "--force");
        put_depth(&a, t, depth, sizeof(depth));
        arg(&a, "--");
        arg(&a, from);
        arg(&a, what);
        return git(t, t->dir, &a, -1);
}

static int has_commit(struct task *t)
{
        struct args a = git_args("rev-parse");
        char name[512];
        char id[128];
        struct wr w = wr_of(name, sizeof(name) - 1);

        wr_fmt(&w, "%s^{commit}", t->spec.repo.ref);
        arg(&a, "--quiet");
        arg(&a, "--verify");
        arg(&a, wr_cstr(&w));
        return git_capture(t, t->dir, &a, id, sizeof(id));
}

/*
 * A commit: shallow by its id where the server allows that; else everything, and then
 * the id by itself, for a commit that no branch holds.
 */
static int clone_commit(struct task *t)
{
        const char *ref = t->spec.repo.ref;
        struct args init = git_args("init");
        struct args remote = git_args("remote");
        struct args all = git_args("fetch");
        int r;

        arg(&init, "--quiet");
        arg(&init, t->dir);
        arg(&remote, "add");
        arg(&remote, "origin");
        arg(&remote, t->spec.repo.url);
        arg(&all, "--quiet");
        arg(&all, "--tags");
        arg(&all, "origin");
        r = git(t, "/", &init, -1);
        if (!r)
                r = git(t, t->dir, &remote, -1);
        if (r)
                return r;
        if (t->spec.repo.depth && whole_commit_id(ref) && !fetch(t, "origin", t->spec.repo.ref))
                return 0;
        r = git(t, t->dir, &all, -1);
        if (!r && has_commit(t))
                r = fetch(t, "origin", t->spec.repo.ref);
        return r;
}

/* Is there a branch or tag of that name? 0 yes, 2 no, else git failed. */
static int names_a_ref(struct task *t)
{
        struct args a = git_args("ls-remote");
        char heads[300];
        char tags[300];
        char list[4096];
        struct wr h = wr_of(heads, sizeof(heads) - 1);
        struct wr g = wr_of(tags, sizeof(tags) - 1);

        wr_fmt(&h, "refs/heads/%s", t->spec.repo.ref);
        wr_fmt(&g, "refs/tags/%s", t->spec.repo.ref);
        arg(&a, "--quiet");
        arg(&a, "--exit-code");
        arg(&a, "--");
        arg(&a, t->spec.repo.url);
        arg(&a, wr_cstr(&h));
        arg(&a, wr_cstr(&g));
        return git_capture(t, "/", &a, list, sizeof(list));
}

/* @target: NULL for where HEAD is already. */
static int checkout_files(struct task *t, const char *target)
{
        struct args a = git_args("checkout");

        arg(&a, "--quiet");
        arg(&a, "--force");
        if (target) {
                arg(&a, "--detach");
                arg(&a, target);
        }
        arg(&a, "--");
        return git(t, t->dir, &a, -1);
}

static int checkout_submodules(struct task *t)
{
        struct args a = git_args("submodule");
        char depth[32];

        arg(&a, "--quiet");
        arg(&a, "update");
        arg(&a, "--init");
        arg(&a, "--recursive");
        put_depth(&a, t, depth, sizeof(depth));
        return git(t, t->dir, &a, -1);
}

static int checkout_lfs(struct task *t)
{
        struct args a = git_args("lfs");

        arg(&a, "pull");
        return git(t, t->dir, &a, -1);
}

static bool is_hex(const char *s)
{
        size_t n = strspn(s, "0123456789abcdefABCDEF");

        return !s[n] && n >= 7 && n <= 64;
}

static enum status checkout_all(struct task *t, const char *target)
{
        if (checkout_files(t, target))
                return failed(t, "can't check out");
        if (t->spec.repo.submodules && checkout_submodules(t))
                return failed(t, "can't check out the submodules of");
        if (t->spec.repo.lfs && checkout_lfs(t))
                return failed(t, "can't fetch the LFS files of");
        return STATUS_OK;
}

enum status checkout_again(struct task *t)
{
        const char *ref = t->spec.repo.ref ? t->spec.repo.ref : "HEAD";

        if (prepare_env(t) < 0)
                return task_fail(t, STATUS_PROVISION, "prepare git");
        /* By its address: what the image calls origin is not the operator's word. */
        if (!fetch(t, t->spec.repo.url, ref))
                return checkout_all(t, "FETCH_HEAD");
        /* Not every server gives a commit by its id. */
        if (fetch(t, t->spec.repo.url, "+refs/heads/*:refs/remotes/origin/*"))
                return failed(t, "can't fetch");
        return checkout_all(t, ref);
}

enum status checkout_clone(struct task *t)
{
        const char *ref = t->spec.repo.ref;
        bool by_id = false;
        int r = prepare_env(t);

        if (r < 0)
                return task_fail(t, STATUS_PROVISION, "prepare git: %s", strerror(-r));
        if (ref && is_hex(ref))
                by_id = whole_commit_id(ref) || names_a_ref(t) == 2;
        r = by_id ? clone_commit(t) : clone_named(t);
        if (r)
                return failed(t, "can't clone");
        return checkout_all(t, by_id ? ref : NULL);
}

enum status checkout_start(struct task *t)
{
        struct args a = git_args("rev-parse");
        char id[128];
        size_t len;

        t->start[0] = '\0';
        if (!t->spec.repo.url) {
                char path[PATH_MAX];
                struct wr w = wr_of(path, sizeof(path) - 1);

                wr_fmt(&w, "%s/.git", t->dir);
                if (access(wr_cstr(&w), F_OK) < 0)
                        return STATUS_OK; /* a plain directory: there will be no diff */
                if (prepare_env(t) < 0)
                        return task_fail(t, STATUS_PROVISION, "prepare git");
        }
        arg(&a, "--verify");
        arg(&a, "HEAD^{commit}");
        if (git_capture(t, t->dir, &a, id, sizeof(id)))
                return task_fail(t, STATUS_PROVISION, "%s has no commit to start from", t->dir);
        len = strspn(id, "0123456789abcdef");
        if (len != 40 && len != 64)
                return task_fail(t, STATUS_PROVISION, "git named no commit for HEAD");
        memcpy(t->start, id, len);
        t->start[len] = '\0';
        return STATUS_OK;
}

enum status checkout_repo_spec(struct task *t)
{
        struct args list = git_args("ls-tree");
        struct args show = git_args("cat-file");
        char name[128];
        char entry[256];
        struct wr w = wr_of(name, sizeof(name) - 1);

        if (!t->start[0])
                return STATUS_OK;
        wr_fmt(&w, "%s:.airlock.json", t->start);
        wr_cstr(&w);
        /* Not cat-file -e: it complains when there is none, the ordinary case. */
        arg(&list, "--full-tree");
        arg(&list, t->start);
        arg(&list, ".airlock.json");
        if (git_capture(t, t->dir, &list, entry, sizeof(entry)))
                return failed(t, "can't look for .airlock.json of");
        if (!entry[0])
                return STATUS_OK;
        if (strncmp(entry, "100", 3) != 0)
                return task_fail(t, STATUS_SPEC, ".airlock.json: not a regular file");
        AUTO_CLOSE int fd = memfd_create("repo-spec", MFD_CLOEXEC);
        arg(&show, "blob");
        arg(&show, name);
        if (fd < 0 || git(t, t->dir, &show, fd))
                return task_fail(t, STATUS_PROVISION, "can't read .airlock.json of %s", t->start);
        return repo_spec_apply(t, fd);
}

/* --- the difference -------------------------------------------------------------------- */

static const char diff_config[] =
        "[core]\n\trepositoryformatversion = %d\n\tbare = false\n\tfilemode = true\n"
        "\tautocrlf = false\n\thooksPath = /dev/null\n\tfsmonitor = false\n"
        "\tuntrackedCache = false\n\tquotePath = true\n"
        "[diff]\n\tignoreSubmodules = dirty\n\trenameLimit = 20000\n"
        "[advice]\n\taddEmbeddedRepo = false\n"
        "[gc]\n\tauto = 0\n%s%s";

/* Files that LFS brought are compared by their pointers, as they are committed. */
static const char diff_lfs_config[] =
        "[filter \"lfs\"]\n\tclean = git-lfs clean -- %f\n\trequired = true\n";

/*
 * A repository that borrows @objects: HEAD, config, objects/info/alternates. The agent's
 * user owns it, because git runs as the agent ran.
 */
static int make_borrower(struct task *t)
{
        char text[PATH_MAX + 1024];
        struct wr w = wr_of(text, sizeof(text));
        bool sha256 = strlen(t->start) == 64;
        int r = make_private_dir(t->diff_git, sizeof(t->diff_git));

        if (r < 0)
                return r;
        AUTO_CLOSE int dir = open(t->diff_git, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0 || mkdirat(dir, "objects", 0700) < 0 ||
            mkdirat(dir, "objects/info", 0700) < 0 || mkdirat(dir, "refs", 0700) < 0)
                return -errno;
        wr_fmt(&w, diff_config, sha256 ? 1 : 0,
               sha256 ? "[extensions]\n\tobjectFormat = sha256\n" : "",
               t->spec.repo.lfs ? diff_lfs_config : "");
        r = write_file(dir, "config", text, w.len);
        if (!r)
                r = write_file(dir, "HEAD", "ref: refs/heads/none\n", 21);
        AUTO_CLOSE int info = openat(dir, "objects/info", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (!r && info < 0)
                r = -errno;
        w = wr_of(text, sizeof(text));
        wr_fmt(&w, "%s/.git/objects\n", t->dir);
        if (!r)
                r = write_file(info, "alternates", text, w.len);
        if (!r && t->own_user) {
                static const char names[][13] = { ".", "objects", "objects/info", "refs",
                                                  "config", "HEAD" };

                for (size_t i = 0; i < COUNT(names) && !r; i++)
                        r = fchownat(dir, names[i], t->agent_confine.uid, t->agent_confine.gid,
                                     0) < 0 ? -errno : 0;
        }
        return r;
}

static int diff_git(struct task *t, struct args *a, int in, int out)
{
        int status = 0;
        struct watch w = {
                .what = "git", .argv = a->v, .cwd = t->dir, .in = in, .out = out,
                .new_session = true, .timeout_s = DIFF_TIMEOUT_S, .lock = t->agent_lock,
                .confine = &t->agent_confine, .env = &git_env,
        };

        if (watch(t, &w, &status) != WATCH_EXITED)
                return -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void diff_env(struct task *t, const char *git_dir)
{
        git_env.count = git_env.len = 0;
        git_env.full = false;
        env_set(&git_env, "PATH", env_get(&t->env, "PATH"));
        env_set(&git_env, "HOME", git_dir);
        env_set(&git_env, "LC_ALL", "C.UTF-8");
        env_set(&git_env, "GIT_DIR", git_dir);
        env_set(&git_env, "GIT_WORK_TREE", t->dir);
        env_set(&git_env, "GIT_CONFIG_NOSYSTEM", "1");
        env_set(&git_env, "GIT_CONFIG_GLOBAL", "/dev/null");
        env_set(&git_env, "GIT_ATTR_NOSYSTEM", "1");
        env_set(&git_env, "GIT_OPTIONAL_LOCKS", "0");
}

/* Everything in the work tree that .gitignore does not name, into the borrower's index. */
static int index_work_tree(struct task *t)
{
        struct args read = git_args("read-tree");
        struct args add = git_args("add");
        struct args again = git_args("add");
        int r;

        arg(&read, t->start);
        arg(&add, "--all");
        arg(&add, ".");
        arg(&again, "--all");
        arg(&again, "--ignore-errors");
        arg(&again, ".");
        r = diff_git(t, &read, -1, -1);
        if (r)
                return r;
        if (!diff_git(t, &add, -1, -1))
                return 0;
        /* A file that can't be read, or a repository inside without a commit. */
        log_line(LOG_WARN, "report: some files could not be read: the diff leaves them out");
        t->diff_whole = false;
        /* 1: some files failed, as said; more is a git that did not do its work. */
        r = diff_git(t, &again, -1, -1);
        return r < 0 || r > 1 ? -1 : 0;
}

static int put_diff(struct task *t, int fd, const char *renames)
{
        struct args a = git_args("diff");

        if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
                return -1;
        arg(&a, "--cached");
        arg(&a, "--binary");
        arg(&a, "--full-index");
        arg(&a, "--no-ext-diff");
        arg(&a, "--no-textconv");
        arg(&a, "--no-color");
        arg(&a, renames);
        arg(&a, t->start);
        return diff_git(t, &a, -1, fd);
}

/*
 * Does it apply to the start commit? git refuses some of its own rename entries: a
 * symbolic link `b` that became `b/inside`. Tried in an index beside the first one.
 */
static bool diff_applies(struct task *t, int fd, const char *git_dir)
{
        struct args read = git_args("read-tree");
        struct args apply = git_args("apply");
        char index[PATH_MAX];
        struct wr w = wr_of(index, sizeof(index) - 1);
        struct stat st;
        bool quiet = t->quiet;
        int r;

        if (fstat(fd, &st) < 0 || !st.st_size)
                return true;
        wr_fmt(&w, "%s/try", git_dir);
        arg(&read, t->start);
        arg(&apply, "--cached");
        arg(&apply, "--check");
        env_set(&git_env, "GIT_INDEX_FILE", wr_cstr(&w));
        t->quiet = true; /* a refusal is handled, not shown */
        r = diff_git(t, &read, -1, -1);
        if (!r && lseek(fd, 0, SEEK_SET) == 0)
                r = diff_git(t, &apply, fd, -1);
        t->quiet = quiet;
        env_unset(&git_env, "GIT_INDEX_FILE");
        return !r;
}

static enum status write_diff(struct task *t, const char *git_dir)
{
        struct stat st;
        struct stop_count left = { 0 };
        enum status status = STATUS_OK;
        int r;

        /* Ours alone: an agent that may write OUT could have put a FIFO there. */
        unlinkat(t->out, ".changes.diff.part", 0);
        AUTO_CLOSE int fd = openat(t->out, ".changes.diff.part",
                                   O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0)
                return task_fail(t, STATUS_OUTPUT, "OUT/changes.diff: %s", strerror(errno));
        r = put_diff(t, fd, "--find-renames");
        if (!r && !diff_applies(t, fd, git_dir))
                r = put_diff(t, fd, "--no-renames");
        /* A git of the agent's may have left somebody who holds the file. */
        if (stop_everyone(0, KILL_MS, &left) < 0 && !r)
                r = -1;
        if (r)
                status = task_fail(t, STATUS_OUTPUT,
                                   "git diff failed; OUT/changes.diff is not written");
        else if (fsync(fd) < 0 || fstat(fd, &st) < 0 ||
                 renameat(t->out, ".changes.diff.part", t->out, "changes.diff") < 0)
                status = task_fail(t, STATUS_OUTPUT, "OUT/changes.diff: %s", strerror(errno));
        else
                t->diff_bytes = (uint64_t)st.st_size;
        if (status)
                unlinkat(t->out, ".changes.diff.part", 0);
        return status;
}

/* --- the push ---------------------------------------------------------------------------- */

/* One of its two turns; how it ended. */
static int push_turn(struct task *t, enum policy_text_for what, int answer, int bundle)
{
        AUTO_CLOSE int channel = -1;
        char text[128];
        struct wr l = wr_of(text, sizeof(text) - 1);
        int status = STATUS_AGAIN << 8;
        struct stop_count left = { 0 };
        struct watch w = {
                .what = "airlock-push", .argv = (char *const *)(uintptr_t)t->spec.output.push.items,
                .program = t->programs[PROGRAM_PUSH], .cwd = t->dir, .in = answer, .out = t->pull,
                .keep = { bundle }, .new_session = true, .lock = t->agent_lock,
                .confine = &t->agent_confine, .env = &git_env,
        };

        if (egress_only(t, what, &channel) < 0)
                return STATUS_AGAIN;
        wr_fmt(&l, "%d:%d:%s", w.socket = channel, bundle, t->start);
        env_set(&git_env, "AIRLOCK_PUSH", wr_cstr(&l));
        if (watch(t, &w, &status) != WATCH_EXITED || !WIFEXITED(status))
                status = STATUS_AGAIN << 8;
        /* A git of the agent's, which must not see what the next turn may do. */
        return stop_everyone(0, KILL_MS, &left) < 0 ? STATUS_AGAIN : WEXITSTATUS(status);
}

enum status checkout_push(struct task *t)
{
        AUTO_CLOSE int answer = openat(t->out, "answer.md", O_RDONLY | O_CLOEXEC);
        AUTO_CLOSE int bundle = task_open_log(t->out, "branch.bundle");
        int status;

        t->pull = memfd_create("pull", MFD_CLOEXEC);
        status = push_turn(t, POLICY_TEXT_PUSH, answer, bundle);
        if (!status)
                status = push_turn(t, POLICY_TEXT_FORGE, answer, bundle);
        if (status == PUSH_NOTHING) {
                unlinkat(t->out, "branch.bundle", 0);
                return STATUS_OK;
        }
        return status ? task_fail(t, (enum status)status, "the pull request: \"pull_request\" in "
                                  "result.json says why, and how to go on by hand")
                      : STATUS_OK;
}

enum status checkout_diff(struct task *t)
{
        int r;

        if (!t->start[0])
                return STATUS_OK;
        r = make_borrower(t);
        if (r < 0)
                return task_fail(t, STATUS_OUTPUT, "make a repository for the difference: %s",
                                 strerror(-r));
        diff_env(t, t->diff_git);
        r = index_work_tree(t);
        if (r)
                return task_fail(t, STATUS_OUTPUT,
                                 "can't compare %s with its start commit (is .git still whole?)",
                                 t->dir);
        return write_diff(t, t->diff_git);
}
