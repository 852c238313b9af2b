/*
 * init/work.c - WORK: the agent, with no right that it does not need.
 *
 * After: the agent has ended, and so has everything it left.
 */
#include "base/msg.h"
#include "init/checkout.h"
#include "init/sig.h"
#include "init/task.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define GRACE_MS 2000
#define KILL_MS 5000

static void journal_agent(struct task *t)
{
        char fields[128];
        struct wr w = wr_of(fields, sizeof(fields));

        if (WIFSIGNALED(t->agent_wait))
                wr_fmt(&w, ",\"signal\":\"%s\"", sig_name(WTERMSIG(t->agent_wait)));
        else
                wr_fmt(&w, ",\"exit\":%d", WEXITSTATUS(t->agent_wait));
        journal_event(&t->journal, "agent_end", fields, w.len);
}

static bool is_inet_socket(int fd)
{
        int family = AF_UNSPEC;
        socklen_t len = sizeof(family);

        return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) && family != AF_UNIX;
}

/*
 * The built-in loop gets the exec-server's program, a way to the model that nobody else has,
 * and a file for its events; it starts the one and passes on none of the others.
 */
static bool give_loop(struct task *t, struct watch *w, int *channel)
{
        char text[160];
        struct wr l = wr_of(text, sizeof(text) - 1);

        if (egress_channel(t, CHANNEL_MODEL, channel) < 0) {
                task_fail(t, STATUS_LOCK, "no channel to airlock-proxy for the agent");
                return false;
        }
        wr_fmt(&l, "%d:%d:%d:%d:%d:%s", t->programs[PROGRAM_EXEC], *channel, t->agent_events,
               t->conversation, t->spec.resume.conversation, t->start);
        env_set(&t->env, "AIRLOCK_LOOP", wr_cstr(&l));
        w->program = t->programs[PROGRAM_AGENT];
        w->keep[0] = t->programs[PROGRAM_EXEC];
        w->keep[1] = t->agent_events;
        w->keep[2] = t->conversation;
        w->keep[3] = t->spec.resume.conversation;
        w->socket = *channel;
        return true;
}

static enum status run_agent(struct task *t)
{
        struct watch w = {
                .what = "the agent",
                .argv = (char *const *)(uintptr_t)t->spec.agent.command.items,
                .cwd = t->dir, .in = STDIN_FILENO, .out = -1, .answer = true,
                .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
                .timeout_s = t->spec.agent.timeout_s, .lock = t->agent_lock,
                .confine = &t->agent_confine, .env = &t->env,
        };
        AUTO_CLOSE int channel = -1;
        enum watch_end end;

        if (t->spec.agent.exec_server) { /* stdio is its protocol's, or has one line */
                w.program = t->programs[PROGRAM_EXEC];
                w.out = STDOUT_FILENO;
                w.tells = t->spec.agent.exec_server;
        }
        if (t->spec.agent.builtin && !give_loop(t, &w, &channel))
                return STATUS_LOCK;
        w.new_session = !w.terminal;
        if (is_inet_socket(w.in))
                w.in = -1; /* a way out that was there before the seal */
        end = watch(t, &w, &t->agent_wait);
        if (w.terminal)
                tcsetpgrp(STDIN_FILENO, getpgrp());
        t->agent_ran = end != WATCH_NO_START;
        if (t->agent_ran)
                journal_agent(t);
        switch (end) {
        case WATCH_EXITED:
                return STATUS_OK;
        case WATCH_TIMEOUT:
                t->agent_timed_out = true;
                return task_fail(t, STATUS_DEADLINE, "the agent took over %u s",
                                 t->spec.agent.timeout_s);
        case WATCH_STOPPED:
                return task_fail(t, STATUS_KILLED, "stopped by %s from outside",
                                 sig_name(t->stop_signal));
        case WATCH_LOST:
                return STATUS_LOCK;
        case WATCH_NO_START:
                return (enum status)WEXITSTATUS(t->agent_wait); /* 126, 127, or the lock's 73 */
        }
        return STATUS_OK;
}

static const struct step work[] = {
        { "put back what the last turn left", checkout_restore },
        { "run the agent", run_agent },
};

static enum status end_agent(struct task *t)
{
        if (stop_everyone(GRACE_MS, KILL_MS, &t->agent_left) < 0)
                log_line(LOG_WARN, "work: %u processes of the agent can't be ended",
                         t->agent_left.survivors);
        return STATUS_OK;
}

static const struct step afterwards[] = {
        { "end what the agent left", end_agent },
};

enum status work_run(struct task *t)
{
        size_t skip = t->spec.resume.diff ? 0 : 1;
        enum status status = run_steps(t, PHASE_WORK, work + skip, COUNT(work) - skip);
        uint64_t ms = t->phase_ms[PHASE_WORK];

        run_steps(t, PHASE_WORK, afterwards, COUNT(afterwards));
        t->phase_ms[PHASE_WORK] += ms;
        return status;
}
