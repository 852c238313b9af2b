/*
 * agent/client_main.c - airlock exec-client: one command on an exec-server, as if it ran here.
 * It is airlock-agent under another name, because both are mostly the same client.
 *
 * CONNECT -> SPOOL   the server can't end a command's stdin: all of ours is read first
 * CONNECT -> RUN     client_start
 * SPOOL -> RUN       the same, when stdin ended
 * RUN -> DONE        the command's last event
 *
 * Output is written piece by piece as its reader takes it, and nothing is read from the
 * server meanwhile. stdin, stdout and stderr may be shared with others: they never become
 * non-blocking.
 */
#include "agent/client_options.h"
#include "agent/way.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>

#define PIECE 4096               /* what a ready pipe takes without blocking */
#define READ_MAX 65536
#define ASKED_MAX 4              /* with so many unanswered no more of stdin is read */
#define SPOOL_MAX (16U << 20)
#define LAST_MS 2000             /* for a command that we ended */

enum phase { CONNECT, SPOOL, RUN, DONE };

struct run {
        struct client_options o;
        struct client client;
        enum phase phase;
        uint32_t process;
        int status;
        uint64_t end_ms;     /* DONE at the latest; 0: no such time */
        unsigned asked;      /* requests without an answer */
        bool stdin_open;     /* more of ours is to be read */
        bool eof_owed;       /* the command's is to be ended */
        unsigned interrupts;
        struct buf spool;
        const char *out;     /* of the event that is being written */
        size_t out_len;
        int out_fd;
};

static struct run the_run LARGE_BUFFER;
static char input[READ_MAX] LARGE_BUFFER;
static struct termios terminal;
static bool terminal_changed;

static void restore_terminal(void)
{
        if (terminal_changed)
                tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal);
        terminal_changed = false;
}

static void raw_terminal(void)
{
        struct termios raw;

        if (tcgetattr(STDIN_FILENO, &terminal) < 0)
                return;
        raw = terminal;
        cfmakeraw(&raw);
        terminal_changed = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static bool asked(struct run *r, uint64_t request)
{
        r->asked += request != 0;
        return request != 0;
}

static void finish(struct run *r, int status)
{
        r->status = status;
        r->phase = DONE;
}

/* Nothing of the kind for a server that can't, or when we have no terminal. */
static void pass_size(struct run *r)
{
        struct winsize size;

        if (!r->o.pty || !r->client.info.resize || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
                return;
        if (size.ws_row && size.ws_col)
                asked(r, client_resize(&r->client, r->process, size.ws_row, size.ws_col));
}

/* --- the command ---------------------------------------------------------------------------- */

static void start(struct run *r, const char *const *argv, bool pipe_stdin)
{
        struct client_command cmd = { .argv = argv, .env = r->o.env, .tty = r->o.pty,
                                      .inherit = !r->o.clean_env, .pipe_stdin = pipe_stdin };

        cmd.cwd = r->o.cwd ? r->o.cwd : r->client.info.cwd[0] ? r->client.info.cwd : "/";
        r->process = client_start(&r->client, &cmd);
        r->phase = RUN;
        if (r->o.pty && isatty(STDIN_FILENO))
                raw_terminal();
        pass_size(r);
}

/* The server never tells a command that its input is over, so a shell there counts it. */
static void start_counted(struct run *r)
{
        static const char script[] = "n=$1; shift; head -c \"$n\" | \"$@\"";
        const char *argv[512] = { "sh", "-c", script, "sh" };
        char count[24];
        struct wr w = wr_of(count, sizeof(count) - 1);
        size_t n = 0;

        wr_u64(&w, r->spool.len);
        argv[4] = wr_cstr(&w);
        while (r->o.argv[n] && n + 6 < COUNT(argv)) {
                argv[5 + n] = r->o.argv[n];
                n++;
        }
        if (r->o.argv[n]) {
                log_line(LOG_ERROR, "too many arguments for a server that can't end stdin");
                finish(r, STATUS_USAGE);
                return;
        }
        start(r, argv, true);
        while (r->process && r->spool.len) {
                size_t len = r->spool.len < READ_MAX ? r->spool.len : READ_MAX;

                if (!asked(r, client_write(&r->client, r->process, buf_at(&r->spool), len)))
                        break;
                buf_drop(&r->spool, len, 0);
        }
        buf_free(&r->spool);
}

static void ready(struct run *r)
{
        bool able = r->client.info.close_stdin || r->o.pty || isatty(STDIN_FILENO);

        if (r->phase != CONNECT)
                return;
        r->stdin_open = !r->o.no_stdin;
        if (r->stdin_open && !able)
                r->phase = SPOOL;
        else
                start(r, r->o.argv, r->stdin_open && !r->o.pty);
}

static void spool_ended(struct run *r)
{
        r->stdin_open = false;
        if (r->spool.len)
                start_counted(r);
        else
                start(r, r->o.argv, false);
}

/* --- stdin ------------------------------------------------------------------------------------ */

static void stdin_ended(struct run *r)
{
        static const char end_of_file[] = { 4 };

        r->stdin_open = false;
        if (r->phase == SPOOL)
                spool_ended(r);
        else if (r->o.pty)
                asked(r, client_write(&r->client, r->process, end_of_file, 1));
        else if (r->client.info.close_stdin)
                r->eof_owed = !asked(r, client_close_stdin(&r->client, r->process));
        else
                log_line(LOG_WARN, "this server can't end the command's stdin: it stays open");
}

static void stdin_ready(struct run *r)
{
        ssize_t n = read(STDIN_FILENO, input, sizeof(input));

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) {
                stdin_ended(r);
        } else if (r->phase == RUN) {
                asked(r, client_write(&r->client, r->process, input, (size_t)n));
        } else if (r->spool.len + (size_t)n <= SPOOL_MAX) {
                buf_put(&r->spool, input, (size_t)n);
        } else {
                log_line(LOG_ERROR, "stdin has more than 16 MiB, and this server can't end it: "
                                    "write it to a file there, or use -n");
                finish(r, STATUS_USAGE);
        }
}

static bool wants_stdin(const struct run *r)
{
        return r->stdin_open && (r->phase == SPOOL || (r->phase == RUN && r->asked < ASKED_MAX));
}

/* --- events ----------------------------------------------------------------------------------- */

static void lost(struct run *r, const struct client_event *e)
{
        if (e->code > -32000) {
                log_line(LOG_ERROR, "%s: %s", r->o.url, e->text);
                finish(r, STATUS_AGAIN);
                return;
        }
        log_line(LOG_ERROR, "%s: %s", r->o.argv[0], e->text);
        finish(r, strstr(e->text, "(os error 2)") ? STATUS_NOT_FOUND : STATUS_CANNOT_EXEC);
}

static void answered(struct run *r, const struct client_event *e)
{
        r->asked--;
        if (e->code == CLIENT_E_STDIN)
                r->stdin_open = false;
        else if (e->code && r->phase == RUN && !r->interrupts)
                log_line(LOG_WARN, "%s: %s", r->o.url, e->text);
}

static void event(struct run *r, const struct client_event *e)
{
        switch (e->kind) {
        case CLIENT_READY:
                ready(r);
                break;
        case CLIENT_ANSWER:
                answered(r, e);
                break;
        case CLIENT_STARTED:
                break;
        case CLIENT_OUTPUT:
                if (r->end_ms)
                        break; /* nobody waits for it any more */
                r->out = e->bytes;
                r->out_len = e->len;
                r->out_fd = e->stream == CLIENT_STDERR ? STDERR_FILENO : STDOUT_FILENO;
                break;
        case CLIENT_EXITED:
                if (!r->end_ms)
                        r->status = e->exit_code;
                break;
        case CLIENT_CLOSED:
                r->phase = DONE;
                break;
        case CLIENT_LOST:
                lost(r, e);
                break;
        case CLIENT_DOWN:
                if (!r->process)
                        lost(r, e);
                break;
        }
}

/* The command is to end, and we with @status, whatever comes. */
static void end(struct run *r, int status)
{
        if (r->phase != RUN || r->end_ms) {
                finish(r, r->end_ms ? r->status : status);
                return;
        }
        asked(r, client_terminate(&r->client, r->process));
        r->status = status;
        r->end_ms = now_ms() + LAST_MS;
        r->stdin_open = false;
}

static void signalled(struct run *r, int fd)
{
        struct signalfd_siginfo info;

        if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
                return;
        if (info.ssi_signo == SIGWINCH)
                pass_size(r);
        else if (info.ssi_signo == SIGINT && r->phase == RUN && !r->interrupts++)
                asked(r, client_interrupt(&r->client, r->process));
        else
                end(r, STATUS_SIGNAL + (int)info.ssi_signo);
}

static void write_out(struct run *r)
{
        ssize_t n = write(r->out_fd, r->out, r->out_len < PIECE ? r->out_len : PIECE);

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n < 0) { /* nobody reads it: as a program here would die of it */
                r->out_len = 0;
                end(r, errno == EPIPE ? STATUS_SIGNAL + SIGPIPE : STATUS_OUTPUT);
                return;
        }
        r->out += n;
        r->out_len -= (size_t)n;
}

/* --- the loop ----------------------------------------------------------------------------------- */

static int open_signals(void)
{
        sigset_t set;
        int fd;

        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGWINCH);
        sigprocmask(SIG_BLOCK, &set, NULL);
        fd = signalfd(-1, &set, SFD_CLOEXEC);
        if (fd < 0)
                die_errno(STATUS_AGAIN, errno, "signals");
        return fd;
}

static void take_events(struct run *r)
{
        struct client_event e;

        while (r->phase != DONE && !r->out_len && client_next(&r->client, &e))
                event(r, &e);
        if (r->eof_owed && r->phase == RUN)
                r->eof_owed = !asked(r, client_close_stdin(&r->client, r->process));
}

static int patience(const struct run *r, uint64_t now)
{
        int ms = client_wait_ms(&r->client, now, -1);
        uint64_t left = r->end_ms > now ? r->end_ms - now : 0;

        if (r->out_len)
                ms = ms == 0 ? -1 : ms; /* what is told at once waits for the reader too */
        return r->end_ms && (ms < 0 || left < (uint64_t)ms) ? (int)left : ms;
}

static void turn(struct run *r, int signals)
{
        struct pollfd fds[3 + CLIENT_POLL] = {
                { .fd = signals, .events = POLLIN },
                { .fd = wants_stdin(r) ? STDIN_FILENO : -1, .events = POLLIN },
                { .fd = r->out_len ? r->out_fd : -1, .events = POLLOUT },
        };
        unsigned n = client_poll(&r->client, fds + 3);
        int ready_count = poll(fds, 3 + n, patience(r, now_ms()));

        if (ready_count < 0)
                return;
        if (fds[0].revents)
                signalled(r, signals);
        if (fds[1].revents && wants_stdin(r))
                stdin_ready(r);
        if (fds[2].revents && r->out_len)
                write_out(r);
        client_step(&r->client, fds + 3, n, now_ms());
        take_events(r);
        if (r->end_ms && now_ms() >= r->end_ms)
                r->phase = DONE;
}

/* A terminal of a name that the other side knows nothing about is still one of ours. */
static void pass_terminal(struct client_options *o)
{
        static char text[128];
        struct wr w = wr_of(text, sizeof(text) - 1);
        const char *term = getenv("TERM");

        for (size_t i = 0; i < o->env_count; i++)
                if (!strncmp(o->env[i], "TERM=", 5))
                        return;
        wr_fmt(&w, "TERM=%s", term ? term : "dumb");
        if (!w.full)
                o->env[o->env_count++] = wr_cstr(&w);
}

/* Who speaks TLS for us. False: said why. */
static bool open_way(struct client_options *o)
{
        const struct client_target *remote = &o->target;
        struct way way = { .ca_bundle = o->ca_bundle, .upstream = o->upstream,
                           .remotes = &remote, .remote_count = 1 };
        int channel;

        if (!o->target.at.tls)
                return true;
        channel = way_proxy(&way);
        if (channel < 0)
                log_errno(LOG_ERROR, -channel, "start airlock-proxy");
        o->target.channel = channel;
        return channel >= 0;
}

int client_main(int argc, char **argv)
{
        struct run *r = &the_run;
        int signals, status;

        log_role("exec-client");
        status = client_options(&r->o, argc, argv);
        if (status)
                return status > 0 ? STATUS_OK : -status;
        if (r->o.pty)
                pass_terminal(&r->o);
        signals = open_signals();
        if (!open_way(&r->o))
                return STATUS_AGAIN;
        client_open(&r->client, &r->o.target);
        client_connect(&r->client, now_ms());
        take_events(r);
        while (r->phase != DONE)
                turn(r, signals);
        restore_terminal();
        client_close(&r->client);
        return r->status;
}
