/*
 * init/task.h - one task: what the phases share, and how a phase is run.
 *
 * PROVISION -> SETUP -> SEAL -> WORK -> REPORT. A phase is a table of steps; a step is
 * done, or the task goes on to REPORT with the reason. Everything here belongs to
 * PID 1 and lives as long as the task.
 */
#ifndef INIT_TASK_H
#define INIT_TASK_H

#include "base/confine.h"
#include "base/log.h"
#include "init/cache_use.h"
#include "init/cgroup.h"
#include "init/egress.h"
#include "init/env.h"
#include "init/journal.h"
#include "init/program.h"
#include "init/lock.h"
#include "init/spec.h"
#include "init/stop.h"
#include "init/unseal.h"

#include <limits.h>
#include <sys/types.h>

enum phase {
        PHASE_PROVISION,
        PHASE_SETUP,
        PHASE_SEAL,
        PHASE_WORK,
        PHASE_REPORT,
        PHASE_COUNT,
};

const char *phase_name(enum phase p);

/* The last bytes of a stream. */
struct tail {
        char *buf;
        size_t cap;
        size_t total; /* bytes ever put */
};

void tail_put(struct tail *t, const char *bytes, size_t len);

/* Copies the last @lines lines (0: all that is kept) to @to, oldest first. */
void tail_copy(const struct tail *t, unsigned lines, struct wr *to);

#define DIFFS 2 /* to the start commit, and to the last turn */

struct task {
        struct spec spec;
        struct journal journal;
        enum phase phase;
        bool quiet; /* children's output goes to the log alone */
        bool unread; /* what we show: nobody takes it */
        bool own_user; /* the agent runs as another user than we */

        struct egress egress;
        struct cache_use cache;
        bool auto_found;       /* STATE/auto.sh is what automatic setup does (init/auto.h) */
        int spec_fd;           /* the spec's image (init/spec_image.h) */
        int programs[PROGRAM_COUNT]; /* opened before anything hostile ran */
        struct unsealed unseal;
        int out;               /* directory descriptor of output.dir */
        int log;               /* OUT/setup.log; -1: none */
        size_t log_len;        /* bytes written to it */
        int agent_log;         /* OUT/agent.log; -1 */
        int agent_events;      /* OUT/agent.jsonl, of the built-in loop; 0: none */
        int conversation;      /* its memfd for OUT/conversation.jsonl; 0: none */
        struct tail tail;      /* of what the last child printed */
        struct tail answer;    /* of the agent's standard output */
        char state[64];        /* our own temporary directory */
        int state_fd;          /* the same, by descriptor: the agent may move the path */
        char diff_git[64];     /* airlock-auto's repository, while it runs */
        const char *dir;       /* where the work happens */
        char start[65];        /* start commit, hex; "" when there is no repository */
        bool stands;           /* a follow-up, and the last turn's work tree is still here */

        struct env env;       /* for git and setup; becomes the agent's */
        enum lock setup_lock, agent_lock;
        struct confine setup_confine, agent_confine;

        /* What happened. */
        enum status status;   /* airlock's word; STATUS_OK while all is well */
        char reason[512];     /* of the first failure */
        enum phase failed_in;
        const char *failed_step;
        bool agent_ran, agent_timed_out;
        bool diff_whole;      /* false: some file could not be read */
        int agent_wait;       /* wait(2) status, when agent_ran */
        int stop_signal;      /* the outside asked us to stop with this; 0 */
        unsigned ignored_signals; /* signals sent to us from inside */
        struct stop_count setup_left, agent_left;
        uint64_t phase_ms[PHASE_COUNT];
        struct cgroup cgroup_start;
        uint64_t diff_bytes[DIFFS], answer_bytes, conversation_bytes;
        bool answer_whole;      /* false: answer.md holds a part of it */
        int pull;               /* memfd: what airlock-push says of the pull request; -1 */
        uint64_t report_end_ms; /* REPORT's own deadline; 0 before */
};

/* A step: STATUS_OK, or how the task ends; then task_fail() has been called. */
struct step {
        const char *name;
        enum status (*run)(struct task *t);
};

/*
 * Runs the steps in order, each with its line and its event. Stops at the first that
 * fails, or before the next one when the outside asked us to stop.
 */
enum status run_steps(struct task *t, enum phase phase, const struct step *steps, size_t count);

/* Makes a directory of mode 0700 in the first place that is writable. -errno. */
MUST_USE int make_private_dir(char *path, size_t cap);

/* Says why, keeps the first reason for the result, and returns @status. */
enum status task_fail(struct task *t, enum status status, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Removes the results and the journal from OUT, whatever they are. -errno. */
MUST_USE int task_clear_output(struct task *t);

/* rm -rf of a directory of ours; @agents: the agent's user owns it. */
void task_remove(struct task *t, const char *path, bool agents);

/* For a child of ours that needs no network: before the seal, and behind it. */
static inline enum lock task_lock(const struct task *t)
{
        return t->phase == PHASE_PROVISION ? LOCKED_CLOSED : t->agent_lock;
}

/* A new, empty file in @dir, whatever had its name. -1: errno says why not. */
MUST_USE int task_open_log(int dir, const char *name);

/* PROVISION: what automatic setup would do, if the spec wants it. */
enum status setup_find(struct task *t);

/* Has SETUP a session to run? */
bool setup_wanted(const struct task *t);

/* The script that SETUP runs: after a cache hit maintenance, if any is needed. Or NULL. */
const char *setup_script(const struct task *t);

/* The phases, one file each. */
enum status boot_run(struct task *t);
enum status setup_run(struct task *t);
enum status seal_run(struct task *t);
enum status work_run(struct task *t);
enum status report_run(struct task *t); /* always the last, whatever happened */

/* --- watch.c: one child, watched until it ends --------------------------------------- */

struct watch {
        const char *what;     /* names the child in messages: "git", "the setup script" */
        char *const *argv;
        int program;          /* a program of ours, opened; 0: argv[0] by PATH */
        int keep[5];          /* descriptors that stay open for it; 0: none */
        int socket;           /* and a socket, under a lock; 0 */
        bool unseal;          /* airlock-unseal: stays after OPENED, see init/unseal.h */
        const char *cwd;
        int in;               /* descriptor for its stdin; -1: /dev/null */
        int out;              /* descriptor for its stdout; -1: captured with stderr */
        bool terminal;        /* all three are ours, passed through */
        bool answer;          /* stdout is the agent's: kept apart, shown unchanged */
        bool new_session;
        const char *tells;    /* it tells the journal of its commands, and has clients at this URL */
        unsigned timeout_s;   /* 0: none */
        enum lock lock;
        const struct confine *confine;
        const struct env *env;
};

enum watch_end {
        WATCH_EXITED,
        WATCH_TIMEOUT,  /* ended by us after timeout_s */
        WATCH_STOPPED,  /* ended by us: the outside asked */
        WATCH_LOST,     /* ended by us: the proxy is gone; task_fail() has been called */
        WATCH_NO_START, /* task_fail() has been called */
};

/*
 * Starts @w and stays with it: reaps everybody, pumps its output, hears signals, keeps
 * the deadline. *@wait_status is the child's unless it did not start; then it is what
 * the shell would say: 127 << 8 or 126 << 8.
 */
enum watch_end watch(struct task *t, const struct watch *w, int *wait_status);

/* Says what kept a child from starting; returns what a shell would say for it. */
int watch_no_start(struct task *t, const struct watch *w, int err, const char *stage);

/* "exit 3", "signal SIGKILL" into @w. */
void put_wait_status(struct wr *w, int wait_status);

#endif
