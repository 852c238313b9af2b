/*
 * init/setup.c - SETUP: automatic setup and the operator's script, in a login bash session
 * of their own.
 *
 * After: the script has ended, by itself or by its time limit. What it left running
 * is the seal's business.
 */
#include "base/io.h"
#include "init/task.h"
#include "init/unseal.h"
#include "init/words.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TAIL_LINES 40

/*
 * What automatic setup found comes first, in a shell of its own.
 *
 * The script is sourced, so that `return` works and $LINENO counts the script's own lines. The ERR
 * trap only notes the place; whether a failure ends the script is the script's choice
 * (set -e), as in any bash. The note counts only if the session ends with a failure.
 * Outside of the file (no BASH_SOURCE) the trap fires once more, for `.` itself.
 */
static const char session[] =
        "[ ! -s \"$AIRLOCK_STATE/auto.sh\" ] || (. \"$AIRLOCK_STATE/auto.sh\") || exit;"
        "set -E; trap '[ ${#BASH_SOURCE[@]} = 0 ] || "
        "printf \"%s %s\\n\" \"$LINENO\" \"$BASH_COMMAND\" "
        ">\"$AIRLOCK_STATE/setup.line\"' ERR; . \"$AIRLOCK_STATE/setup.sh\"";

static enum status write_script(struct task *t)
{
        const char *script = setup_script(t) ? setup_script(t) : "";
        char path[128];
        struct wr w = wr_of(path, sizeof(path) - 1);
        int r = write_file(t->state_fd, "setup.sh", script, strlen(script));

        if (!r)
                r = write_file(t->state_fd, "env", "", 0);
        if (r < 0)
                return task_fail(t, STATUS_SETUP, "write the setup script: %s", strerror(-r));
        wr_fmt(&w, "%s/env", t->state);
        env_set(&t->env, "AIRLOCK_ENV", wr_cstr(&w));
        env_set(&t->env, "AIRLOCK_STATE", t->state);
        env_set(&t->env, "AIRLOCK_PHASE", "setup");
        return STATUS_OK;
}

/* "line 3: npm ci" when bash could tell, into @w; "automatic setup: npm ci" is on line 0. */
static void put_line(struct wr *w, const char *text)
{
        size_t digits = strspn(text, "0123456789");

        if (!digits || text[digits] != ' ')
                return;
        if (*text == '0')
                wr_fmt(w, "; %s", text + digits + 1);
        else
                wr_fmt(w, "; line %.*s: %s", (int)digits, text, text + digits + 1);
}

static void put_failing_line(const struct task *t, struct wr *w)
{
        char text[1024];

        if (unseal_wanted(&t->spec)) { /* which has read the note, and masked it */
                put_line(w, t->unseal.session_line);
                return;
        }
        AUTO_CLOSE int fd = openat(t->state_fd, "setup.line",
                                                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read_full(fd, text, 200);

        if (n <= 0)
                return;
        text[n] = '\0';
        text[strcspn(text, "\n")] = '\0';
        put_line(w, text);
}

static void show_tail(const struct task *t)
{
        static LARGE_BUFFER char text[16 * 1024];
        struct wr w = wr_of(text, sizeof(text) - 1);

        tail_copy(&t->tail, TAIL_LINES, &w);
        if (!w.len)
                return;
        log_line(LOG_INFO, "setup: the last lines of its output (all of it: setup.log):");
        for (char *line = text, *end; line < text + w.len; line = end + 1) {
                end = memchr(line, '\n', (size_t)(text + w.len - line));
                if (!end)
                        end = text + w.len;
                *end = '\0';
                log_line(LOG_INFO, "  %s", line);
        }
}

static enum status setup_failed(struct task *t, enum watch_end end, int wait_status)
{
        char text[400];
        struct wr w = wr_of(text, sizeof(text) - 1);

        if (end == WATCH_NO_START)
                return WEXITSTATUS(wait_status) == STATUS_LOCK ? STATUS_LOCK : STATUS_SETUP;
        if (end == WATCH_LOST)
                return STATUS_LOCK;
        if (end == WATCH_STOPPED)
                return task_fail(t, STATUS_KILLED, "stopped from outside during the setup script");
        if (end == WATCH_TIMEOUT)
                wr_fmt(&w, "the setup script took over %u s", t->spec.setup.timeout_s);
        else
                wr_str(&w, "the setup script ended with ");
        if (end == WATCH_EXITED) {
                put_wait_status(&w, wait_status);
                put_failing_line(t, &w);
        }
        show_tail(t);
        if (t->spec.setup.on_failure == FAILURE_CONTINUE) {
                log_line(LOG_WARN, "setup: %s; going on, as setup.on_failure says", wr_cstr(&w));
                journal_string(&t->journal, "setup_failed", "reason", text);
                return STATUS_OK;
        }
        return task_fail(t, STATUS_SETUP, "%s", wr_cstr(&w));
}

/* --- automatic setup ------------------------------------------------------------------- */

/* airlock-auto, which may read the work tree and write to the journal. */
static bool auto_run(struct task *t, const char *command, int in, int out)
{
        static const struct confine nobody = { .no_new_privs = true };
        const char *v[8] = { "airlock-auto", command };
        struct words a = { .v = v, .cap = COUNT(v), .n = 2 };
        struct watch w = { .what = "airlock-auto", .argv = (char *const *)(uintptr_t)v, .cwd = t->dir, .in = in, .out = out,
                           .program = t->programs[PROGRAM_AUTO], .keep = { t->journal.fd },
                           .new_session = true, .timeout_s = 60, .lock = LOCKED_CLOSED,
                           .confine = &nobody, .env = &t->env };
        int status = 0;

        words_number(&a, NULL, (uint64_t)t->journal.fd);
        words_number(&a, NULL, t->journal.start_ms);
        return watch(t, &w, &status) == WATCH_EXITED && !status;
}

enum status setup_find(struct task *t)
{
        struct stat st;

        if (!spec_auto(&t->spec) || t->stands)
                return STATUS_OK;
        AUTO_CLOSE int out = openat(t->state_fd, "auto.sh", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                                    0600);
        if (out < 0 || !auto_run(t, "plan", -1, out) || fstat(out, &st) < 0)
                return task_fail(t, STATUS_PROVISION, "automatic setup: airlock-auto failed");
        t->auto_found = st.st_size;
        return STATUS_OK;
}

/* How long each step took, from the session's note; it may hold anything. */
static void auto_report(struct task *t)
{
        AUTO_CLOSE int in = openat(t->state_fd, "auto.steps",
                                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        if (in >= 0)
                (void)!auto_run(t, "report", in, -1);
}

static enum status run_script(struct task *t)
{
        char *argv[] = { (char[]){ "bash" }, (char[]){ "-l" }, (char[]){ "-c" },
                         (char *)(uintptr_t)session, (char[]){ "setup.sh" }, NULL };
        struct watch w = {
                .what = "the setup script", .argv = argv, .cwd = t->dir, .in = -1, .out = -1,
                .new_session = true, .timeout_s = t->spec.setup.timeout_s,
                .lock = t->setup_lock, .confine = &t->setup_confine, .env = &t->env,
        };
        int status = 0;
        enum status failed = STATUS_OK;
        enum watch_end end = unseal_wanted(&t->spec) ? unseal_watch(t, &w, &status, &failed)
                                                     : watch(t, &w, &status);

        if (failed)
                return failed;
        if (end != WATCH_EXITED || status)
                failed = setup_failed(t, end, status);
        auto_report(t);
        return failed;
}

static const struct step setup[] = {
        { "give the proxy setup's policy", egress_setup },
        { "write the setup script", write_script },
        { "run the setup script", run_script },
};

/* Without a session: they were the proxy's all along, or nobody's. */
static const struct step secrets_alone[] = {
        { "end airlock-unseal", unseal_end },
};

const char *setup_script(const struct task *t)
{
        if (!t->cache.hit)
                return t->spec.setup.script;
        return t->cache.maintenance ? t->spec.maintenance.script : NULL;
}

bool setup_wanted(const struct task *t)
{
        return !t->stands && (setup_script(t) ||
               (t->auto_found && (!t->cache.hit || t->cache.maintenance)));
}

static const struct step after_hit[] = {
        { "put the work tree back to its commit", cache_reset_tree },
};

static const struct step maintenance[] = {
        { "give the proxy setup's policy", egress_setup },
        { "write the maintenance script", write_script },
        { "run the maintenance script", run_script },
};

/* A failed maintenance is mended by full setup, once, over what is there. */
static enum status setup_after_hit(struct task *t)
{
        enum status s = run_steps(t, PHASE_SETUP, after_hit, COUNT(after_hit));
        uint64_t ms = t->phase_ms[PHASE_SETUP];

        if (s)
                return s;
        if (setup_wanted(t))
                s = run_steps(t, PHASE_SETUP, maintenance, COUNT(maintenance));
        else
                s = run_steps(t, PHASE_SETUP, secrets_alone, COUNT(secrets_alone));
        t->phase_ms[PHASE_SETUP] += ms;
        if (s != STATUS_SETUP || (!t->spec.setup.script && !t->auto_found))
                return s;
        log_line(LOG_WARN, "setup: maintenance failed; running the whole setup once");
        t->cache.hit = false;
        t->cache.unusable = true;
        t->reason[0] = '\0';
        t->failed_step = NULL;
        return run_steps(t, PHASE_SETUP, setup, COUNT(setup));
}

enum status setup_run(struct task *t)
{
        if (t->cache.hit)
                return setup_after_hit(t);
        if (!setup_wanted(t))
                return run_steps(t, PHASE_SETUP, secrets_alone,
                                 unseal_wanted(&t->spec) ? COUNT(secrets_alone) : 0);
        return run_steps(t, PHASE_SETUP, setup, COUNT(setup));
}
