/*
 * init/boot.c - PROVISION: everything that can be known to fail, fails here.
 *
 * After: the output directory is open, the lock is chosen, the work tree is at the
 * task's commit, and the environment of setup and agent is known.
 */
#include "base/io.h"
#include "init/checkout.h"
#include "init/task.h"
#include "init/user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SETUP_UNIVERSAL "/opt/codex/setup_universal.sh"

int task_open_log(int dir, const char *name)
{
        /* Never what stands there: a link, a FIFO, or a file that others hold open. */
        if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
                return -1;
        return openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
}

/* A directory gives way under another name: it may hold somebody's work. */
static int remove_name(int dir, const char *name)
{
        char aside[64];
        struct wr w = wr_of(aside, sizeof(aside) - 1);

        if (!unlinkat(dir, name, 0) || errno == ENOENT || !unlinkat(dir, name, AT_REMOVEDIR))
                return 0;
        wr_fmt(&w, "%s.%lu", name, (unsigned long)now_ms());
        return renameat(dir, name, dir, wr_cstr(&w)) < 0 ? -errno : 0;
}

/* Results of an earlier task, or an agent's, would be taken for this one's. */
int task_clear_output(struct task *t)
{
        static const char names[][19] = { "answer.md", "changes.diff", "result.json",
                                          "events.ndjson", "since-last.diff",
                                          "conversation.jsonl", "branch.bundle" };
        int r = 0;

        for (size_t i = 0; i < COUNT(names) && !r; i++)
                r = remove_name(t->out, names[i]);
        return r;
}

static enum status open_output(struct task *t)
{
        const char *dir = t->spec.output.dir;
        int r = make_dirs(dir, 0755);

        if (!r) {
                t->out = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                r = t->out < 0 ? -errno : task_clear_output(t);
        }
        if (!r) {
                r = journal_open(&t->journal, task_open_log(t->out, "events.ndjson"));
                t->log = task_open_log(t->out, "setup.log");
                t->agent_log = task_open_log(t->out, "agent.log");
                if (t->spec.agent.builtin) {
                        t->agent_events = task_open_log(t->out, "agent.jsonl");
                        t->conversation = memfd_create("conversation", MFD_CLOEXEC);
                }
                if (!r && (t->journal.file < 0 || t->log < 0 || t->agent_log < 0 ||
                           t->agent_events < 0 || t->conversation < 0))
                        r = -errno;
        }
        if (r < 0)
                return task_fail(t, STATUS_OUTPUT,
                                 "output.dir %s: %s (mount a writable directory there)", dir,
                                 strerror(-r));
        journal_string(&t->journal, "start", "version", AIRLOCK_VERSION);
        if (t->spec.resume.from)
                journal_string(&t->journal, "resume", "from", t->spec.resume.from);
        return STATUS_OK;
}

int make_private_dir(char *path, size_t cap)
{
        static const char places[][9] = { "/run", "/tmp", "/var/tmp", "/dev/shm" };

        for (size_t i = 0; i < COUNT(places); i++) {
                struct wr w = wr_of(path, cap - 1);

                wr_fmt(&w, "%s/airlock-XXXXXX", places[i]);
                wr_cstr(&w);
                if (mkdtemp(path))
                        return 0;
        }
        path[0] = '\0';
        return -errno;
}

static enum status make_state(struct task *t)
{
        if (make_private_dir(t->state, sizeof(t->state)) < 0)
                return task_fail(t, STATUS_PROVISION,
                                 "none of /run /tmp /var/tmp /dev/shm is writable (mount a tmpfs "
                                 "on /tmp)");
        t->state_fd = open(t->state, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        /* Another agent.user reaches its answer through it, and lists nothing. */
        if (t->state_fd < 0 || fchmod(t->state_fd, 0711) < 0)
                return task_fail(t, STATUS_PROVISION, "%s: %s", t->state, strerror(errno));
        return STATUS_OK;
}

static enum status choose_users(struct task *t)
{
        uint64_t held = confine_permitted();
        struct user u;
        int r;

        t->setup_confine = (struct confine){ .keep_caps = held & confine_setup_caps };
        t->agent_confine = (struct confine){ .no_new_privs = true,
                                             .uid = getuid(), .gid = getgid() };
        if (!t->spec.agent.user)
                return STATUS_OK;
        r = user_parse(t->spec.agent.user, &u);
        if (r < 0)
                return task_fail(t, STATUS_PROVISION, "agent.user %s: %s", t->spec.agent.user,
                                 r == -ENOENT ? "not in this image's /etc/passwd"
                                              : "expected NAME, UID or UID:GID");
        if (u.uid == getuid() && u.gid == getgid())
                return STATUS_OK;
        if (getuid() != 0)
                return task_fail(t, STATUS_PROVISION,
                                 "agent.user %s: only a container that starts as root can change "
                                 "users", t->spec.agent.user);
        t->own_user = true;
        t->agent_confine.set_ids = true;
        t->agent_confine.uid = u.uid;
        t->agent_confine.gid = u.gid;
        return STATUS_OK;
}

static enum status prepare_environment(struct task *t)
{
        struct user u;
        struct env *e = &t->env;

        env_add_all(e, environ);
        user_of(getuid(), &u);
        if (!env_get(e, "PATH"))
                env_set(e, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        if (!env_get(e, "HOME"))
                env_set(e, "HOME", u.home[0] ? u.home : "/");
        for (size_t i = 0; i < t->spec.env.count; i++)
                env_set(e, t->spec.env.items[i].name, t->spec.env.items[i].value);
        if (e->full)
                return task_fail(t, STATUS_PROVISION,
                                 "the environment is larger than 256 KiB or 1024 variables");
        return STATUS_OK;
}

static bool is_empty(const char *dir)
{
        return rmdir(dir) == 0 || errno == ENOENT || errno == EBUSY;
}

static enum status check_out(struct task *t)
{
        char parent[PATH_MAX];
        size_t len;
        int r;

        t->dir = t->spec.repo.dir ? t->spec.repo.dir : "/workspace";
        if (!t->spec.repo.url) {
                t->stands = t->spec.resume.from;
                r = make_dirs(t->dir, 0755);
                return r < 0 ? task_fail(t, STATUS_PROVISION, "repo.dir %s: %s", t->dir,
                                         strerror(-r))
                             : STATUS_OK;
        }
        len = strlen(t->dir);
        if (len >= sizeof(parent))
                return task_fail(t, STATUS_PROVISION, "repo.dir is too long");
        memcpy(parent, t->dir, len + 1);
        *strrchr(parent, '/') = '\0';
        r = parent[0] ? make_dirs(parent, 0755) : 0;
        if (r < 0)
                return task_fail(t, STATUS_PROVISION, "%s: %s (mount a writable directory there)",
                                 parent, strerror(-r));
        if (!is_empty(t->dir) && !access(CACHE_STAMP, F_OK))
                return checkout_again(t);
        t->stands = t->spec.resume.from && !is_empty(t->dir);
        if (!t->stands && !is_empty(t->dir))
                return task_fail(t, STATUS_PROVISION,
                                 "repo.dir %s is not empty: leave repo.url out to work in it",
                                 t->dir);
        return t->stands ? STATUS_OK : checkout_clone(t);
}

static enum status pin_runtimes(struct task *t)
{
        char *argv[] = { (char[]){ "bash" }, (char[]){ "--login" }, (char[]){ SETUP_UNIVERSAL },
                         NULL };
        char text[64];
        struct wr w = wr_of(text, sizeof(text) - 1);
        struct watch run = {
                .what = SETUP_UNIVERSAL, .argv = argv, .cwd = "/", .in = -1, .out = -1,
                .new_session = true, .timeout_s = t->spec.setup.timeout_s, .lock = t->setup_lock,
                .confine = &t->setup_confine, .env = &t->env,
        };
        bool any = false;
        int status = 0;

        for (unsigned i = 0; i < RUNTIME_COUNT; i++) {
                if (!t->spec.runtimes[i])
                        continue;
                any = true;
                env_set(&t->env, spec_runtime_variable(i), t->spec.runtimes[i]);
        }
        if (!any || t->stands || access(SETUP_UNIVERSAL, R_OK) < 0)
                return STATUS_OK;
        if (watch(t, &run, &status) == WATCH_EXITED && !status)
                return STATUS_OK;
        put_wait_status(&w, status);
        return task_fail(t, STATUS_PROVISION, "runtimes: %s ended with %s", SETUP_UNIVERSAL,
                         wr_cstr(&w));
}

static enum status need_bash(struct task *t)
{
        char *argv[] = { (char[]){ "bash" }, (char[]){ "-c" }, (char[]){ ":" }, NULL };
        struct watch run = { .what = "bash", .argv = argv, .in = -1, .out = -1,
                             .new_session = true, .timeout_s = 60, .lock = t->setup_lock,
                             .confine = &t->setup_confine, .env = &t->env };
        int status = 0;

        if (!setup_wanted(t))
                return STATUS_OK;
        if (watch(t, &run, &status) == WATCH_EXITED && !status)
                return STATUS_OK;
        return task_fail(t, STATUS_PROVISION, "setup needs bash in the image's PATH");
}

/* A restored state has the trust store of the task that saved it. */
static enum status trust_again(struct task *t)
{
        return t->cache.hit ? egress_trust(t) : STATUS_OK;
}

/* In a follow-up, where the last turn left the work tree too. */
static enum status note_start(struct task *t)
{
        enum status s = checkout_start(t);

        return s || !t->spec.resume.diff ? s : checkout_recognise(t);
}

static const struct step boot[] = {
        { "open the output directory", open_output },
        { "make a private directory", make_state },
        { "find the users", choose_users },
        { "prepare the environment", prepare_environment },
        { "choose the lock", egress_choose },
        { "start the proxy", egress_start },
        { "make its certificate known", egress_trust },
        { "open the secrets", unseal_start },
        { "check out the repository", check_out },
        { "note the start commit", note_start },
        { "read the repository's own spec", checkout_repo_spec },
        { "choose the lock again, for the narrower policy", egress_choose },
        { "find what automatic setup does", setup_find },
        { "look for a cached state", cache_restore },
        { "make the certificate known again", trust_again },
        { "find bash", need_bash },
        { "pin the runtimes", pin_runtimes },
};

enum status boot_run(struct task *t)
{
        cgroup_read(&t->cgroup_start);
        return run_steps(t, PHASE_PROVISION, boot, COUNT(boot));
}
