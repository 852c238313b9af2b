/*
 * init/seal.c - SEAL: from here on, nobody can do what only setup could.
 *
 * Before: the setup session has ended; its children may not have.
 * After:  no process but us, the agent's environment is final, the network is what
 *         the policy says, and a probe has tried.
 */
#include "base/io.h"
#include "init/task.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define KILL_MS 10000
#define ENV_FILE_MAX (64 * 1024)
#define CAP(n) (UINT64_C(1) << (n))

static void journal_leftovers(struct task *t)
{
        char fields[64];
        struct wr w = wr_of(fields, sizeof(fields));

        wr_fmt(&w, ",\"reaped\":%u,\"survivors\":%u", t->setup_left.reaped,
               t->setup_left.survivors);
        journal_event(&t->journal, "setup_leftovers", fields, w.len);
}

/* kill(-1, SIGKILL) is atomic against fork: a storm dies with its authors. */
static enum status end_setup(struct task *t)
{
        struct stop_count left; /* beside those whom the end of a session with secrets found */
        int r = stop_everyone(0, KILL_MS, &left);

        t->setup_left.reaped += left.reaped;
        t->setup_left.survivors = left.survivors;
        journal_leftovers(t);
        if (r < 0)
                return task_fail(t, STATUS_LOCK,
                                 "%u processes of the setup session can't be ended (another "
                                 "user's, or stuck in the kernel): not starting the agent "
                                 "beside them",
                                 t->setup_left.survivors);
        if (t->setup_left.reaped && !t->quiet)
                log_line(LOG_INFO, "seal: ended %u processes that setup had left",
                         t->setup_left.reaped);
        return STATUS_OK;
}

static enum status take_env_file(struct task *t)
{
        static LARGE_BUFFER char text[ENV_FILE_MAX];
        AUTO_CLOSE int fd = t->state_fd < 0 ? -1 : openat(t->state_fd, "env",
                                                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;
        ssize_t n;
        unsigned line;

        if (!setup_wanted(t))
                return STATUS_OK;
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return task_fail(t, STATUS_SETUP, "$AIRLOCK_ENV is not a regular file any more");
        n = read_full(fd, text, sizeof(text));
        if (n < 0 || (size_t)n == sizeof(text))
                return task_fail(t, STATUS_SETUP, "$AIRLOCK_ENV is larger than 64 KiB");
        line = env_add_lines(&t->env, text, (size_t)n);
        if (line)
                return task_fail(t, STATUS_SETUP, "$AIRLOCK_ENV:%u: expected NAME=value", line);
        return STATUS_OK;
}

/* Only after the file was read: its lines must not name where the answer goes. */
static enum status finish_environment(struct task *t)
{
        char path[128];
        char turn[16];
        struct wr w = wr_of(path, sizeof(path) - 1);
        struct wr n = wr_of(turn, sizeof(turn) - 1);
        int r = write_file(t->state_fd, "answer", "", 0);

        if (!r && t->own_user)
                r = fchownat(t->state_fd, "answer", t->agent_confine.uid, t->agent_confine.gid,
                             AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
        if (r < 0)
                return task_fail(t, STATUS_PROVISION, "make $AIRLOCK_ANSWER: %s", strerror(-r));
        wr_fmt(&w, "%s/answer", t->state);
        env_set(&t->env, "AIRLOCK_ANSWER", wr_cstr(&w));
        env_set(&t->env, "AIRLOCK_PHASE", "work");
        wr_fmt(&n, "%u", t->spec.resume.turn);
        env_set(&t->env, "AIRLOCK_TURN", wr_cstr(&n));
        env_unset(&t->env, "AIRLOCK_ENV");
        env_unset(&t->env, "AIRLOCK_STATE");
        env_unset(&t->env, "AIRLOCK_PROMPT");
        if (t->spec.prompt)
                env_set(&t->env, "AIRLOCK_PROMPT", t->spec.prompt);
        if (t->env.full)
                return task_fail(t, STATUS_SETUP,
                                 "the agent's environment is larger than 256 KiB or 1024 "
                                 "variables");
        return STATUS_OK;
}

static enum status give_work_tree(struct task *t)
{
        char owner[32];
        struct wr o = wr_of(owner, sizeof(owner) - 1);
        char *argv[] = { (char[]){ "chown" }, (char[]){ "-R" }, (char[]){ "-h" }, owner,
                         (char[]){ "--" }, (char *)(uintptr_t)t->dir, NULL };
        struct watch w = { .what = "chown", .argv = argv, .in = -1, .out = -1,
                           .new_session = true, .timeout_s = 600, .lock = t->setup_lock,
                           .confine = &t->setup_confine, .env = &t->env };
        int status = 0;

        if (!t->own_user)
                return STATUS_OK;
        wr_fmt(&o, "%u:%u", t->agent_confine.uid, t->agent_confine.gid);
        wr_cstr(&o);
        if (watch(t, &w, &status) == WATCH_EXITED && !status)
                return STATUS_OK;
        return task_fail(t, STATUS_PROVISION, "can't give %s to agent.user", t->dir);
}

/* What PID 1 still has to do: end others, become the agent's user, make its namespaces. */
static enum status keep_few_rights(struct task *t)
{
        /*
         * SYS_ADMIN, where we have it at all: airlock-lock covers sockets, disks and the kernel's
         * settings by mounts of the agent's own. Nobody reads or traces us (not dumpable,
         * no_new_privs, Landlock's scope), and nobody's text is read by us.
         */
        uint64_t keep = CAP(CAP_KILL) | CAP(CAP_SETUID) | CAP(CAP_SETGID) | CAP(CAP_SETPCAP) |
                        CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_SYS_ADMIN);
        struct confine few = { .keep_caps = 0 };
        const char *stage;
        int r;

        /* Inside a namespace that it makes itself, airlock-lock has and needs these. */
        if (t->agent_lock == LOCKED_NETNS || t->agent_lock == LOCKED_CLOSED)
                keep |= CAP(CAP_NET_ADMIN) | CAP(CAP_SETFCAP) | CAP(CAP_SYS_CHROOT) |
                        CAP(CAP_NET_BIND_SERVICE);
        few.keep_caps = keep;
        r = confine_apply(&few, &stage);
        return r < 0 ? task_fail(t, STATUS_LOCK, "%s: %s", stage, strerror(-r)) : STATUS_OK;
}

static const struct step seal[] = {
        /* Before the end: setup may have put a chown of its own into PATH. */
        { "give the work tree to the agent's user", give_work_tree },
        { "end every process of the setup session", end_setup },
        { "take over $AIRLOCK_ENV", take_env_file },
        { "save the state for the next task", cache_save },
        { "finish the agent's environment", finish_environment },
        { "give the proxy the agent's policy", egress_seal },
        { "keep few rights", keep_few_rights },
        { "prove that nothing gets out", egress_prove },
};

enum status seal_run(struct task *t)
{
        return run_steps(t, PHASE_SEAL, seal, COUNT(seal));
}
