/*
 * init/report.c - REPORT: what the task leaves behind, written whole or not at all.
 *
 * Runs after every task, however it went: a failure has a result too.
 */
#include "base/io.h"
#include "base/push.h"
#include "init/checkout.h"
#include "init/sig.h"
#include "init/task.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ANSWER_MAX (1024 * 1024)
#define REPORT_MS (600 * UINT64_C(1000)) /* for the whole phase */

static enum status end_everyone(struct task *t)
{
        struct stop_count left = { 0 };

        (void)t;
        /* After a failed phase its children may still be there. */
        if (stop_everyone(0, 5000, &left) < 0)
                log_line(LOG_WARN, "report: %u processes can't be ended", left.survivors);
        return STATUS_OK;
}

/*
 * An agent that may write OUT may have forged a result, or put a directory in its place.
 * From here on nobody but us writes there.
 */
static enum status clear_results(struct task *t)
{
        int r = task_clear_output(t);

        /* The agent is dead: what is written from now on is ours alone. */
        journal_show_in(&t->journal, task_open_log(t->out, "events.ndjson"));
        return r < 0 ? task_fail(t, STATUS_OUTPUT, "%s: what stands in the place of a result "
                                 "can't be removed: %s", t->spec.output.dir, strerror(-r))
                     : STATUS_OK;
}

static enum status take_diff(struct task *t)
{
        return t->agent_ran ? checkout_diff(t) : STATUS_OK;
}

/* What the agent wrote to $AIRLOCK_ANSWER; else the end of its standard output. */
static enum status write_answer(struct task *t)
{
        static LARGE_BUFFER char text[ANSWER_MAX];
        AUTO_CLOSE int fd = t->state_fd < 0 ? -1 : openat(t->state_fd, "answer",
                                                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;
        ssize_t n = 0;
        int r;

        if (!t->agent_ran)
                return STATUS_OK;
        if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode)) {
                n = read_full(fd, text, sizeof(text));
                t->answer_whole = n >= 0 && n == st.st_size;
        }
        if (n <= 0) {
                struct wr w = wr_of(text, sizeof(text));

                tail_copy(&t->answer, 0, &w);
                n = (ssize_t)w.len;
                t->answer_whole = (size_t)n == t->answer.total;
        }
        t->answer_bytes = (uint64_t)n;
        r = write_file(t->out, "answer.md", text, (size_t)n);
        return r < 0 ? task_fail(t, STATUS_OUTPUT, "OUT/answer.md: %s", strerror(-r)) : STATUS_OK;
}

/* Only what an agent finished. */
static enum status push(struct task *t)
{
        enum status status = t->status || t->agent_wait ? STATUS_OK : checkout_push(t);

        egress_end(t);
        return status;
}

/* What the loop kept, in memory: nobody else could write to it. */
static enum status write_conversation(struct task *t)
{
        AUTO_CLOSE int fd = task_open_log(t->out, "conversation.jsonl");
        off_t at = 0;

        fcntl(fd, F_SETFL, 0); /* sendfile does not append */
        while (fd >= 0 && sendfile(fd, t->conversation, &at, 1 << 30) > 0)
                ;
        t->conversation_bytes = (uint64_t)at;
        return fd < 0 || at != lseek(t->conversation, 0, SEEK_END)
                       ? task_fail(t, STATUS_OUTPUT, "OUT/conversation.jsonl: %s", strerror(errno))
                       : STATUS_OK;
}

static void put_string(struct wr *w, const char *key, const char *value)
{
        wr_fmt(w, ",\n  \"%s\": ", key);
        if (value)
                wr_json(w, value, strlen(value));
        else
                wr_str(w, "null");
}

/* One of an object's, behind a comma unless it is the first. */
static void put_number(struct wr *w, const char *key, uint64_t n)
{
        wr_fmt(w, w->buf[w->len - 1] == '{' ? "\"%s\": " : ", \"%s\": ", key);
        if (n == CGROUP_UNKNOWN)
                wr_str(w, "null");
        else
                wr_u64(w, n);
}

static void put_times(struct wr *w, const struct task *t)
{
        wr_str(w, ",\n  \"durations_ms\": {");
        for (unsigned p = 0; p < PHASE_REPORT; p++)
                put_number(w, phase_name(p), t->phase_ms[p]);
        put_number(w, "total", now_ms() - t->journal.start_ms);
        wr_str(w, "}");
}

static uint64_t ms_of(const struct timeval *t)
{
        return (uint64_t)t->tv_sec * 1000 + (uint64_t)t->tv_usec / 1000;
}

static void put_resources(struct wr *w, const struct task *t)
{
        struct rusage u;
        struct cgroup c;
        uint64_t kills = CGROUP_UNKNOWN;

        cgroup_read(&c);
        getrusage(RUSAGE_CHILDREN, &u);
        if (c.oom_kills != CGROUP_UNKNOWN)
                kills = c.oom_kills - (t->cgroup_start.oom_kills == CGROUP_UNKNOWN
                                               ? 0 : t->cgroup_start.oom_kills);
        wr_str(w, ",\n  \"resources\": {");
        put_number(w, "user_ms", ms_of(&u.ru_utime));
        put_number(w, "system_ms", ms_of(&u.ru_stime));
        put_number(w, "largest_process_bytes", (uint64_t)u.ru_maxrss * 1024);
        wr_str(w, "},\n  \"cgroup\": {");
        put_number(w, "version", c.version);
        put_number(w, "memory_max_bytes", c.memory_max);
        put_number(w, "memory_peak_bytes", c.memory_peak);
        put_number(w, "pids_max", c.pids_max);
        put_number(w, "oom_kill", kills);
        wr_str(w, "}");
}

static void put_agent(struct wr *w, const struct task *t)
{
        bool exited = t->agent_ran && WIFEXITED(t->agent_wait);
        bool killed = t->agent_ran && WIFSIGNALED(t->agent_wait);

        wr_fmt(w, ",\n  \"agent\": {\"ran\": %s", t->agent_ran ? "true" : "false");
        put_number(w, "exit", exited ? (uint64_t)WEXITSTATUS(t->agent_wait) : CGROUP_UNKNOWN);
        wr_fmt(w, ", \"signal\": %s%s%s, \"timed_out\": %s}", killed ? "\"" : "",
               killed ? sig_name(WTERMSIG(t->agent_wait)) : "null", killed ? "\"" : "",
               t->agent_timed_out ? "true" : "false");
}

static const char *status_word(const struct task *t)
{
        if (t->status)
                return t->agent_timed_out ? "deadline" : t->stop_signal ? "stopped" : "failed";
        return "done"; /* the agent ran; its own exit says how it went */
}

/* As airlock-push wrote it, in its own words alone; base/push.h. */
static void put_pull(struct wr *w, const struct task *t)
{
        ssize_t n;

        wr_str(w, ",\n  \"pull_request\": ");
        must_hold(w->cap - w->len > PUSH_RESULT);
        n = pread(t->pull, w->buf + w->len, PUSH_RESULT, 0);
        if (n > 0)
                w->len += (size_t)n;
        else
                wr_str(w, "null");
}

static enum status write_result(struct task *t)
{
        static LARGE_BUFFER char text[128 * 1024]; /* a url or ref of 8 KiB, \u00xx each byte */
        struct wr w = wr_of(text, sizeof(text));
        int r;

        wr_str(&w, "{\n  \"version\": 1");
        put_string(&w, "airlock", AIRLOCK_VERSION);
        put_string(&w, "status", status_word(t));
        wr_fmt(&w, ",\n  \"airlock_status\": %d", (int)t->status);
        put_string(&w, "phase", t->status ? phase_name(t->failed_in) : "end");
        put_string(&w, "step", t->status ? t->failed_step : NULL);
        put_string(&w, "reason", t->reason[0] ? t->reason : NULL);
        put_agent(&w, t);
        put_string(&w, "repo", t->spec.repo.url);
        put_string(&w, "ref", t->spec.repo.ref);
        put_string(&w, "start_commit", t->start[0] ? t->start : NULL);
        wr_str(&w, ",\n  \"network\": {\"setup\": \"");
        wr_fmt(&w, "%s\", \"agent\": \"%s\", \"lock\": \"%s\"}",
               spec_net_name(t->spec.network.setup), spec_net_name(t->spec.network.agent),
               lock_name(t->agent_lock));
        wr_str(&w, ",\n  \"answer\": {");
        put_number(&w, "bytes", t->answer_bytes);
        wr_fmt(&w, ", \"whole\": %s}", t->answer_whole ? "true" : "false");
        wr_str(&w, ",\n  \"diff\": {");
        put_number(&w, "bytes", t->diff_bytes[0]);
        wr_fmt(&w, ", \"whole\": %s", t->diff_whole ? "true" : "false");
        put_number(&w, "since_last_bytes", t->spec.resume.diff ? t->diff_bytes[1] : CGROUP_UNKNOWN);
        wr_str(&w, "}");
        put_pull(&w, t);
        wr_str(&w, ",\n  \"conversation\": {");
        put_number(&w, "bytes", t->conversation ? t->conversation_bytes : CGROUP_UNKNOWN);
        wr_str(&w, "}");
        put_number(&w, "turn", t->spec.resume.turn);
        put_string(&w, "resumed_from", t->spec.resume.from);
        wr_fmt(&w, ",\n  \"leftovers\": {\"setup\": %u, \"agent\": %u}", t->setup_left.reaped,
               t->agent_left.reaped);
        wr_fmt(&w, ",\n  \"ignored_signals\": %u", t->ignored_signals);
        put_times(&w, t);
        put_resources(&w, t);
        wr_fmt(&w, ",\n  \"log_whole\": %s\n}\n", t->journal.failed ? "false" : "true");
        r = w.full ? -E2BIG : write_file(t->out, "result.json", text, w.len);
        return r < 0 ? task_fail(t, STATUS_OUTPUT, "OUT/result.json: %s", strerror(-r))
                     : STATUS_OK;
}

static void run_rm(struct task *t, const char *path, const struct confine *confine)
{
        char *argv[] = { (char[]){ "rm" }, (char[]){ "-rf" }, (char[]){ "--" },
                         (char *)(uintptr_t)path, NULL };
        struct watch w = { .what = "rm", .argv = argv, .in = -1, .out = -1, .env = &t->env,
                           .new_session = true, .timeout_s = 60, .lock = task_lock(t),
                           .confine = confine };
        int status;

        (void)watch(t, &w, &status);
        if (t->phase == PHASE_REPORT)
                (void)end_everyone(t); /* the image's rm may have left something */
}

/*
 * The agent may have replaced rm: it gets no right that the agent had not. Without
 * them it can't empty what another user owns, so that user goes first.
 */
void task_remove(struct task *t, const char *path, bool agents)
{
        static const struct confine none = { .no_new_privs = true };

        if (agents && *path)
                run_rm(t, path, &t->agent_confine);
        if (*path)
                run_rm(t, path, &none);
}

static enum status tidy_up(struct task *t)
{
        if (t->spec.output.push.count)
                task_remove(t, t->diff_git, t->own_user);
        task_remove(t, t->state, false);
        return STATUS_OK;
}

static const struct step report[] = {
        { "end everyone", end_everyone },
        { "clear the places of the results", clear_results },
        { "take the difference", take_diff },
        { "write the answer", write_answer },
        { "write the conversation", write_conversation },
        { "push the branch", push },
        { "remove the private directory", tidy_up },
        { "write the result", write_result },
};

/* A step that is for some tasks only is neither said nor journalled in the others. */
static bool is_due(const struct task *t, const struct step *s)
{
        if (s->run == push)
                return t->spec.output.push.count;
        return s->run != write_conversation || t->conversation;
}

static void say_end(const struct task *t)
{
        char how[128];
        struct wr w = wr_of(how, sizeof(how) - 1);

        if (t->agent_ran)
                put_wait_status(&w, t->agent_wait);
        else
                wr_str(&w, "did not run");
        log_line(LOG_INFO, "%s after %lu ms; agent: %s; diff: %lu bytes; results in %s",
                 status_word(t), (unsigned long)(now_ms() - t->journal.start_ms), wr_cstr(&w),
                 (unsigned long)t->diff_bytes[0], t->spec.output.dir);
}

enum status report_run(struct task *t)
{
        enum status status = STATUS_OK;

        if (t->out < 0 || !t->spec.output.push.count)
                egress_end(t);
        if (t->out < 0)
                return t->status; /* nowhere to write, and said so */
        t->report_end_ms = now_ms() + REPORT_MS;
        /* Each step for itself: a diff that fails must not cost the result. */
        for (size_t i = 0; i < COUNT(report); i++) {
                enum status s = is_due(t, &report[i]) ? run_steps(t, PHASE_REPORT, &report[i], 1)
                                                      : STATUS_OK;

                if (s && !t->status)
                        t->status = s;
                status = status ? status : s;
        }
        journal_string(&t->journal, "end", "status", status_word(t));
        say_end(t);
        return status;
}
