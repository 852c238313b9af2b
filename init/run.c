/*
 * init/run.c - the main of airlock-run: PID 1 of one task, from the spec to the exit
 * status. Started by airlock-spec (in a container) or airlock-box (outside of one).
 *
 * The phases follow each other here and nowhere else. Whatever happens, REPORT runs
 * last: a task that failed has a result that says why.
 */
#include "base/digits.h"
#include "base/environ.h"
#include "base/io.h"
#include "init/command.h"
#include "init/program.h"
#include "init/run_options.h"
#include "init/sig.h"
#include "init/spec_image.h"
#include "init/task.h"
#include "init/unseal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static LARGE_BUFFER struct task the_task; /* large, and mostly never touched */
static LARGE_BUFFER char tail_bytes[16 * 1024];
static LARGE_BUFFER char answer_bytes[256 * 1024];

const char *phase_name(enum phase p)
{
        static const char names[][10] = {
                [PHASE_PROVISION] = "provision", [PHASE_SETUP] = "setup", [PHASE_SEAL] = "seal",
                [PHASE_WORK] = "work",           [PHASE_REPORT] = "report",
        };

        return p < PHASE_COUNT ? names[p] : "end";
}

enum status task_fail(struct task *t, enum status status, const char *fmt, ...)
{
        char text[sizeof(t->reason)];
        struct wr w = wr_of(text, sizeof(text));
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        wr_cstr(&w);
        log_line(LOG_ERROR, "%s: %s", phase_name(t->phase), text);
        if (!t->reason[0]) {
                memcpy(t->reason, text, sizeof(text));
                t->failed_in = t->phase;
        }
        return status;
}

static void put_seconds(struct wr *w, uint64_t ms)
{
        wr_fmt(w, "%lu.", (unsigned long)(ms / 1000));
        wr_char(w, (char)('0' + ms / 100 % 10));
        wr_char(w, (char)('0' + ms / 10 % 10));
        wr_str(w, " s");
}

static void say_step(const struct task *t, const struct step *s, enum status status, uint64_t ms)
{
        char took[32];
        struct wr w = wr_of(took, sizeof(took) - 1);

        put_seconds(&w, ms);
        if (!t->quiet || status)
                log_line(LOG_INFO, "%s: %s: %s, %s", phase_name(t->phase), s->name,
                         status ? "FAILED" : "done", wr_cstr(&w));
}

static void journal_step(struct task *t, const struct step *s, enum status status, uint64_t ms)
{
        char fields[512];
        struct wr w = wr_of(fields, sizeof(fields));

        wr_str(&w, ",\"name\":");
        wr_json(&w, s->name, strlen(s->name));
        wr_fmt(&w, ",\"ok\":%s,\"took_ms\":%lu", status ? "false" : "true", (unsigned long)ms);
        journal_event(&t->journal, "step", fields, w.len);
}

/* A stop that arrived between two children waits in the kernel: nobody read it yet. */
static bool stop_is_pending(struct task *t)
{
        siginfo_t info;
        uint64_t stops = SIG_BIT(SIGTERM) | SIG_BIT(SIGINT) | SIG_BIT(SIGQUIT) | SIG_BIT(SIGHUP);
        int n;

        while (!t->stop_signal && (n = sig_wait(stops, &info, 0)) > 0) {
                if (info.si_pid == 0 && (info.si_code == SI_USER || info.si_code == SI_KERNEL ||
                                         info.si_code == SI_TKILL))
                        t->stop_signal = n;
        }
        return t->stop_signal;
}

enum status run_steps(struct task *t, enum phase phase, const struct step *steps, size_t count)
{
        uint64_t phase_start = now_ms();
        enum status status = STATUS_OK;

        t->phase = phase;
        t->journal.phase = phase_name(phase);
        for (size_t i = 0; i < count && !status; i++) {
                uint64_t start = now_ms();

                if (phase != PHASE_REPORT && stop_is_pending(t)) {
                        status = task_fail(t, STATUS_KILLED, "stopped by %s from outside",
                                           sig_name(t->stop_signal));
                        break;
                }
                status = steps[i].run(t);
                if (status && !t->failed_step)
                        t->failed_step = steps[i].name;
                journal_step(t, &steps[i], status, now_ms() - start);
                say_step(t, &steps[i], status, now_ms() - start);
        }
        t->phase_ms[phase] = now_ms() - phase_start;
        return status;
}

/* SETUP's and the rest's failures decide what still makes sense; REPORT always does. */
static void run_phases(struct task *t)
{
        t->status = boot_run(t);
        if (!t->status)
                t->status = setup_run(t);
        if (!t->status)
                t->status = seal_run(t);
        if (!t->status)
                t->status = work_run(t);
}

/*
 * Kubernetes shows the container's last words from this file (terminationMessagePath).
 * Only where the engine made it: a regular file, at most 4096 bytes are read.
 */
static void write_last_words(const struct task *t, int exit_status)
{
        char text[2048];
        struct wr w = wr_of(text, sizeof(text));
        struct stat st;
        AUTO_CLOSE int fd = open("/dev/termination-log",
                                 O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return;
        wr_fmt(&w, "{\"exit\":%d,\"phase\":\"%s\",\"reason\":", exit_status,
               t->status ? phase_name(t->failed_in) : "end");
        wr_json(&w, t->reason, strlen(t->reason));
        wr_str(&w, "}\n");
        if (ftruncate(fd, 0) < 0 || write_full(fd, text, w.len) < 0)
                return; /* last words are a courtesy */
}

static int exit_status_of(const struct task *t)
{
        if (t->status || !t->agent_ran)
                return (int)t->status;
        if (WIFSIGNALED(t->agent_wait))
                return STATUS_SIGNAL + WTERMSIG(t->agent_wait);
        return WEXITSTATUS(t->agent_wait);
}

/* Opened before anything of others runs: after that no path is trusted. */
static bool open_programs(struct task *t, const char *list)
{
        if (!list)
                return program_open_all(t->programs);
        for (size_t i = 0; i < PROGRAM_COUNT; i++) {
                uint64_t fd;

                if (!digits_take(&list, INT_MAX, &fd) || *list != (i + 1 < PROGRAM_COUNT ? ',' : '\0'))
                        return false;
                t->programs[i] = (int)fd;
                list += *list == ',';
        }
        return true;
}

int main(int argc, char **argv)
{
        static LARGE_BUFFER char out[PATH_MAX];
        struct run_options o;
        struct task *t = &the_task;
        int status, r;

        confine_relro();
        status = run_options_parse(&o, argc, argv);
        if (status)
                return status;
        sig_inherited = o.inherited_mask;
        t->quiet = o.quiet;
        t->egress.control = -1;
        t->out = t->log = t->agent_log = t->journal.fd = t->journal.file = t->state_fd = t->pull = -1;
        t->tail = (struct tail){ .buf = tail_bytes, .cap = sizeof(tail_bytes) };
        t->answer = (struct tail){ .buf = answer_bytes, .cap = sizeof(answer_bytes) };
        t->journal.start_ms = now_ms();
        t->diff_whole = true;
        t->spec_fd = o.spec_fd;
        if (!open_programs(t, o.programs))
                return STATUS_NOT_FOUND;
        r = spec_image_open(o.spec_fd, &t->spec);
        if (r < 0)
                die_errno(STATUS_PROVISION, -r, "the spec did not arrive (start `airlock run`)");
        if (o.out) {
                status = run_path(o.out, out);
                if (status)
                        return status;
                t->spec.output.dir = out;
        }

        if (!unseal_wanted(&t->spec))
                environ_wipe(environ, ENVIRON_KEY); /* a key to nothing, and nobody's variable */
        log_patience(100);
        sig_init(false); /* we stop them ourselves: init/stop.c */
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        /* Descriptors the engine or a careless parent left open are nobody's below us. */
        syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
        run_phases(t);
        report_run(t);
        status = exit_status_of(t);
        write_last_words(t, status);
        return status;
}
