/* init/checkout.c - clone, start commit, and the final difference. */
#include "init/checkout.h"

#include "base/io.h"
#include "base/push.h"
#include "init/difference.h"
#include "init/repo_spec.h"
#include "init/words.h"

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

static void args(struct args *a, const char *first, const char *second)
{
        arg(a, first);
        arg(a, second);
}

static struct args git_args(const char *command)
{
        struct args a = { .n = 0 };

        args(&a, "git", command);
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

/* A follow-up has to see where the first turn began. */
static void put_depth(struct args *a, const struct task *t, char *buf, size_t cap)
{
        struct wr w = wr_of(buf, cap - 1);

        wr_fmt(&w, "--depth=%u", t->spec.resume.start ? INT32_MAX : t->spec.repo.depth);
        if (t->spec.repo.depth)
                arg(a, wr_cstr(&w));
}

/* A branch or a tag: clone knows both. HEAD ends on the branch, or detached on the tag. */
static int clone_named(struct task *t)
{
        struct args a = git_args("clone");
        char depth[32];

        args(&a, "--quiet", "--no-checkout");
        arg(&a, "--no-hardlinks"); /* they fail between the layers of an overlay */
        put_depth(&a, t, depth, sizeof(depth));
        if (t->spec.repo.ref) {
                args(&a, "--branch", t->spec.repo.ref);
        }
        arg(&a, "--");
        args(&a, t->spec.repo.url, t->dir);
        return git(t, "/", &a, -1);
}

static int fetch(struct task *t, const char *from, const char *what)
{
        struct args a = git_args("fetch");
        char depth[32];

        args(&a, "--quiet", "--force");
        put_depth(&a, t, depth, sizeof(depth));
        arg(&a, "--");
        args(&a, from, what);
        return git(t, t->dir, &a, -1);
}

/* The whole name of the commit that @ref means, if it is here. 0, or git's exit status. */
static int name_commit(struct task *t, const char *ref, char *id, size_t cap)
{
        struct args a = git_args("rev-parse");
        char name[512];
        struct wr w = wr_of(name, sizeof(name) - 1);

        wr_fmt(&w, "%s^{commit}", ref);
        args(&a, "--quiet", "--verify");
        arg(&a, wr_cstr(&w));
        return git_capture(t, t->dir, &a, id, cap);
}

static int has_commit(struct task *t, const char *ref)
{
        char id[128];

        return name_commit(t, ref, id, sizeof(id));
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

        args(&init, "--quiet", t->dir);
        args(&remote, "add", "origin");
        arg(&remote, t->spec.repo.url);
        args(&all, "--quiet", "--tags");
        arg(&all, "origin");
        r = git(t, "/", &init, -1);
        if (!r)
                r = git(t, t->dir, &remote, -1);
        if (r)
                return r;
        if (t->spec.repo.depth && whole_commit_id(ref) && !fetch(t, "origin", t->spec.repo.ref))
                return 0;
        r = git(t, t->dir, &all, -1);
        if (!r && has_commit(t, ref))
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
        args(&a, "--quiet", "--exit-code");
        args(&a, "--", t->spec.repo.url);
        args(&a, wr_cstr(&h), wr_cstr(&g));
        return git_capture(t, "/", &a, list, sizeof(list));
}

/* @target: NULL for where HEAD is already. */
static int checkout_files(struct task *t, const char *target)
{
        struct args a = git_args("checkout");

        args(&a, "--quiet", "--force");
        if (target) {
                args(&a, "--detach", target);
        }
        arg(&a, "--");
        return git(t, t->dir, &a, -1);
}

static int checkout_submodules(struct task *t)
{
        struct args a = git_args("submodule");
        char depth[32];

        args(&a, "--quiet", "update");
        args(&a, "--init", "--recursive");
        put_depth(&a, t, depth, sizeof(depth));
        return git(t, t->dir, &a, -1);
}

static int checkout_lfs(struct task *t)
{
        struct args a = git_args("lfs");

        arg(&a, "pull");
        return git(t, t->dir, &a, -1);
}

/*
 * A follow-up begins where the first turn began, and the branch that HEAD is on points there,
 * wherever the remote's points by now. Where that was, OUT says, and maybe an agent wrote it: a
 * commit that is not in the history of @tip, one that it had pushed elsewhere, is none that setup
 * runs with its secrets.
 */
static enum status go_back(struct task *t, const char *tip, bool detached)
{
        const char *start = t->spec.resume.start;
        struct args past = git_args("merge-base");
        struct args a = git_args("update-ref");

        args(&past, "--is-ancestor", start);
        arg(&past, tip);
        args(&a, "HEAD", start);
        if (!git(t, t->dir, &past, -1) && (detached || !git(t, t->dir, &a, -1)))
                return STATUS_OK;
        return task_fail(t, STATUS_PROVISION, "%s is not in the history of %s (%s/result.json: "
                         "start_commit)", start, t->spec.repo.url, t->spec.resume.from);
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
        const char *ref = t->spec.repo.ref ? t->spec.repo.ref : "HEAD", *tip = "FETCH_HEAD";
        enum status s;

        if (prepare_env(t) < 0)
                return task_fail(t, STATUS_PROVISION, "prepare git");
        /* By its address: what the image calls origin is not the operator's word. */
        if (fetch(t, t->spec.repo.url, ref)) {
                /* Not every server gives a commit by its id. */
                if (fetch(t, t->spec.repo.url, "+refs/heads/*:refs/remotes/origin/*"))
                        return failed(t, "can't fetch");
                tip = ref;
        }
        if (!t->spec.resume.start)
                return checkout_all(t, tip);
        s = go_back(t, tip, true);
        return s ? s : checkout_all(t, t->spec.resume.start);
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
        if (t->spec.resume.start) {
                enum status s = go_back(t, by_id ? ref : "HEAD", by_id);

                if (s)
                        return s;
                ref = t->spec.resume.start;
        }
        return checkout_all(t, by_id ? ref : NULL);
}

enum status checkout_start(struct task *t)
{
        char id[128];
        size_t len;

        t->start[0] = '\0';
        if (!t->spec.repo.url) {
                char path[PATH_MAX];
                struct wr w = wr_of(path, sizeof(path) - 1);

                wr_fmt(&w, "%s/.git", t->dir);
                if (access(wr_cstr(&w), F_OK) < 0 && !t->spec.resume.start)
                        return STATUS_OK; /* a plain directory: there will be no diff */
        }
        if (prepare_env(t) < 0)
                return task_fail(t, STATUS_PROVISION, "prepare git");
        /* The last agent may have written that repository's configuration: nothing is fetched. */
        if (t->stands)
                env_set(&git_env, "GIT_ALLOW_PROTOCOL", "none");
        if (name_commit(t, t->spec.resume.start ? t->spec.resume.start : "HEAD", id, sizeof(id)))
                return task_fail(t, STATUS_PROVISION, "%s has no commit %s to start from", t->dir,
                                 t->spec.resume.start ? t->spec.resume.start : "");
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
        args(&list, "--full-tree", t->start);
        arg(&list, ".airlock.json");
        if (git_capture(t, t->dir, &list, entry, sizeof(entry)))
                return failed(t, "can't look for .airlock.json of");
        if (!entry[0])
                return STATUS_OK;
        if (strncmp(entry, "100", 3) != 0)
                return task_fail(t, STATUS_SPEC, ".airlock.json: not a regular file");
        AUTO_CLOSE int fd = memfd_create("repo-spec", MFD_CLOEXEC);
        args(&show, "blob", name);
        if (fd < 0 || git(t, t->dir, &show, fd))
                return task_fail(t, STATUS_PROVISION, "can't read .airlock.json of %s", t->start);
        return repo_spec_apply(t, fd);
}

/* --- the difference -------------------------------------------------------------------- */

/* With what git said last. */
static void no_apply(struct task *t)
{
        char why[256];
        struct wr w = wr_of(why, sizeof(why) - 1);

        tail_copy(&t->tail, 1, &w);
        task_fail(t, STATUS_PROVISION, "%s/changes.diff does not apply to %s: %s",
                  t->spec.resume.from, t->start, wr_cstr(&w));
}

/* airlock-auto as the agent runs; see init/difference.h. Its exit status; -1: it has none. */
static int difference(struct task *t, const char *mode, int out, int since)
{
        const char *v[12] = { "airlock-auto", mode, t->start, t->spec.repo.lfs ? "1" : "0",
                              t->diff_git };
        struct words a = { .v = v, .cap = COUNT(v), .n = 5 };
        struct watch w = {
                .what = "git", .argv = (char *const *)(uintptr_t)v, .cwd = t->dir, .in = -1,
                .out = -1, .program = t->programs[PROGRAM_AUTO],
                .keep = { t->spec.resume.diff, out, since }, .new_session = true,
                .timeout_s = DIFF_TIMEOUT_S, .lock = task_lock(t), .confine = &t->agent_confine,
                .env = &t->env,
        };
        int status = 0, r = -1;

        words_number(&a, NULL, (uint64_t)t->spec.resume.diff);
        words_number(&a, NULL, (uint64_t)out);
        words_number(&a, NULL, (uint64_t)since);
        if (!make_private_dir(t->diff_git, sizeof(t->diff_git)) &&
            (!t->own_user || !chown(t->diff_git, t->agent_confine.uid, t->agent_confine.gid)) &&
            watch(t, &w, &status) == WATCH_EXITED && WIFEXITED(status))
                r = WEXITSTATUS(status);
        if (r == DIFFERENCE_NO_APPLY)
                no_apply(t);
        if (!out || !t->spec.output.push.count) /* else checkout_push makes a commit of it */
                task_remove(t, t->diff_git, t->own_user);
        return r;
}

enum status checkout_recognise(struct task *t)
{
        int r = difference(t, t->stands ? "check" : "try", 0, 0);

        if (r == DIFFERENCE_NO_APPLY)
                return STATUS_PROVISION; /* and said so */
        if (r == DIFFERENCE_DONE)
                return STATUS_OK;
        if (r != DIFFERENCE_START)
                return task_fail(t, STATUS_PROVISION,
                                 "%s: neither as turn %u left it nor as %s: not touching it",
                                 t->dir, t->spec.resume.turn - 1, t->start);
        t->stands = false;
        return STATUS_OK;
}

enum status checkout_restore(struct task *t)
{
        struct stop_count left = { 0 };

        if (!t->stands && difference(t, "restore", 0, 0))
                return task_fail(t, STATUS_PROVISION, "can't put back what turn %u left",
                                 t->spec.resume.turn - 1);
        /* Nobody of setup's image stays, as after setup itself. */
        return stop_everyone(0, KILL_MS, &left) < 0
                       ? task_fail(t, STATUS_LOCK, "git's processes can't be ended")
                       : STATUS_OK;
}

/* ".changes.diff.part" becomes "changes.diff". */
static enum status finish(struct task *t, int fd, const char *part, uint64_t *bytes)
{
        char name[32];
        struct wr w = wr_of(name, sizeof(name) - 1);
        struct stat st;

        wr_bytes(&w, part + 1, strlen(part) - strlen("..part"));
        if (fsync(fd) < 0 || fstat(fd, &st) < 0 ||
            renameat(t->out, part, t->out, wr_cstr(&w)) < 0)
                return task_fail(t, STATUS_OUTPUT, "OUT/%s: %s", name, strerror(errno));
        *bytes = (uint64_t)st.st_size;
        return STATUS_OK;
}

/* --- the push ---------------------------------------------------------------------------- */

/* One of its two turns; how it ended. */
static int push_turn(struct task *t, enum policy_text_for what, int answer, int bundle)
{
        AUTO_CLOSE int channel = -1;
        char text[192];
        struct wr l = wr_of(text, sizeof(text) - 1);
        int status = STATUS_AGAIN << 8;
        struct stop_count left = { 0 };
        struct watch w = {
                .what = "airlock-push", .argv = (char *const *)(uintptr_t)t->spec.output.push.items,
                .program = t->programs[PROGRAM_PUSH], .cwd = t->dir, .in = answer, .out = t->pull,
                .keep = { bundle }, .new_session = true, .lock = t->agent_lock,
                .confine = &t->agent_confine, .env = &t->env,
        };

        if (egress_only(t, what, &channel) < 0)
                return STATUS_AGAIN;
        wr_fmt(&l, "%d:%d:%s:%s", w.socket = channel, bundle, t->start, t->diff_git);
        env_set(&t->env, "AIRLOCK_PUSH", wr_cstr(&l));
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
        return status ? task_fail(t, (enum status)status, "pull_request in result.json says why, and "
                                  "how to go on by hand")
                      : STATUS_OK;
}

enum status checkout_diff(struct task *t)
{
        static const char parts[DIFFS][24] = { ".changes.diff.part", ".since-last.diff.part" };
        size_t count = t->spec.resume.diff ? DIFFS : 1;
        int fd[DIFFS] = { 0 }, r = 0;
        struct stop_count left = { 0 };
        enum status status = STATUS_OK;

        if (!t->start[0])
                return STATUS_OK;
        for (size_t i = 0; i < count && r >= 0; i++)
                r = fd[i] = task_open_log(t->out, parts[i]);
        if (r >= 0)
                r = difference(t, "diff", fd[0], fd[1]);
        /* A git of the agent's may have left somebody who holds the file. */
        if (stop_everyone(0, KILL_MS, &left) < 0)
                r = -1;
        t->diff_whole = r == DIFFERENCE_DONE;
        if (r == DIFFERENCE_NO_TREE)
                status = task_fail(t, STATUS_OUTPUT, "can't compare %s with its start commit (is "
                                   ".git still whole?)", t->dir);
        else if (r != DIFFERENCE_DONE && r != DIFFERENCE_PART)
                status = task_fail(t, STATUS_OUTPUT,
                                   "git diff failed; OUT/changes.diff is not written");
        for (size_t i = 0; i < count; i++) {
                if (!status)
                        status = finish(t, fd[i], parts[i], &t->diff_bytes[i]);
                if (fd[i] > 0)
                        close(fd[i]);
                unlinkat(t->out, parts[i], 0);
        }
        return status;
}
