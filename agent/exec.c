/*
 * agent/exec.c - airlock-exec: the listener, the signals, the loop.
 *
 * Runs as whoever the commands shall run as, and opens nothing beforehand: what it may do,
 * its clients may do. The network around it is the lock's business.
 */
#include "agent/conn.h"
#include "agent/exec_options.h"
#include "agent/helper.h"
#include "agent/job.h"
#include "agent/journal.h"
#include "agent/patch_path.h"
#include "agent/server.h"
#include "agent/session.h"
#include "agent/watch.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "base/msg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define BATCH 64
#define GOODBYE_MS 1500 /* for the keepers to kill what they keep */

#define STATUS_NO_START 1

static struct server the_server;
static struct exec_options the_options LARGE_BUFFER;
static int listener = -1, signals = -1;

static void raise_files(void)
{
        struct rlimit files;

        if (getrlimit(RLIMIT_NOFILE, &files) < 0)
                return;
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
}

static int watch(struct server *s, int fd, enum event_kind kind)
{
        struct ev_ref ref = { .kind = (uint8_t)kind };

        return ev_add(s->ev, fd, EPOLLIN, ref);
}

static void open_signals(struct server *s)
{
        sigset_t set;

        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGCHLD);
        sigprocmask(SIG_SETMASK, &set, NULL);
        signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (signals < 0 || watch(s, signals, EVENT_SIGNAL) < 0)
                die_errno(STATUS_NO_START, errno, "watch for signals");
}

static socklen_t fill_address(const struct exec_options *o, struct sockaddr_storage *at)
{
        struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)at;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)at;

        if (o->ip6) {
                v6->sin6_family = AF_INET6;
                v6->sin6_port = htons(o->port);
                inet_pton(AF_INET6, o->host, &v6->sin6_addr);
                return sizeof(*v6);
        }
        v4->sin_family = AF_INET;
        v4->sin_port = htons(o->port);
        inet_pton(AF_INET, o->host, &v4->sin_addr);
        return sizeof(*v4);
}

static void put_address(struct wr *w, const struct sockaddr_storage *at)
{
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)at;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)at;
        char text[INET6_ADDRSTRLEN] = "";

        if (at->ss_family == AF_INET6) {
                inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
                wr_fmt(w, "[%s]:%u", text, ntohs(v6->sin6_port));
        } else if (at->ss_family == AF_INET) {
                inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
                wr_fmt(w, "%s:%u", text, ntohs(v4->sin_port));
        } else {
                wr_str(w, "unix");
        }
}

static void say_address(struct sockaddr_storage *at, const struct exec_options *o)
{
        char line[256];
        struct wr w = wr_of(line, sizeof(line));
        socklen_t len = sizeof(*at);

        if (o->kind == LISTEN_UNIX) {
                wr_fmt(&w, "unix:%s\n", o->path);
        } else {
                if (getsockname(listener, (struct sockaddr *)at, &len) < 0)
                        die_errno(STATUS_NO_START, errno, "own address");
                wr_str(&w, "ws://");
                put_address(&w, at);
                wr_char(&w, '\n');
        }
        if (write_full(STDOUT_FILENO, line, w.len) < 0)
                die_errno(STATUS_NO_START, errno, "stdout");
}

/* A socket that a dead server left behind makes room; anything else does not. */
static int bind_unix(const char *path)
{
        struct sockaddr_un at = { .sun_family = AF_UNIX };
        struct stat st;
        mode_t mask;
        int r;

        if (strlen(path) >= sizeof(at.sun_path))
                return -ENAMETOOLONG;
        strncpy(at.sun_path, path, sizeof(at.sun_path) - 1);
        if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
                AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

                if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0 && errno == ECONNREFUSED)
                        unlink(path);
        }
        mask = umask(0177);
        r = bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
        umask(mask);
        return r;
}

/* Somebody else listens: see netfilter/porch.h. */
static void use_porch(struct server *s, const struct exec_options *o)
{
        char line[128];
        struct wr w = wr_of(line, sizeof(line));

        listener = o->porch;
        if (fcntl(listener, F_SETFD, FD_CLOEXEC) < 0 || watch(s, listener, EVENT_PORCH) < 0)
                die_errno(STATUS_NO_START, errno, "--porch-fd %d", o->porch);
        wr_fmt(&w, "ws://%s%s%s:%u\n", o->ip6 ? "[" : "", o->host, o->ip6 ? "]" : "", o->port);
        if (write_full(STDOUT_FILENO, line, w.len) < 0)
                die_errno(STATUS_NO_START, errno, "stdout");
}

static void porch_event(struct server *s)
{
        struct msg m = { 0 };
        int fd, r = msg_receive(listener, &m, &fd);

        if (r < 0) {
                log_errno(LOG_ERROR, -r, "no client can come any more");
                s->status = STATUS_AGAIN;
                s->stopping = true;
                return;
        }
        if (fd >= 0 && (m.type != MSG_VISITOR || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
                        !conn_accept(s, fd, m.text)))
                close(fd);
}

static void open_listener(struct server *s, const struct exec_options *o)
{
        struct sockaddr_storage at = { 0 };
        int family = o->kind == LISTEN_UNIX ? AF_UNIX : o->ip6 ? AF_INET6 : AF_INET;
        int one = 1, r = 0;

        listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (listener < 0)
                die_errno(STATUS_NO_START, errno, "socket");
        if (o->kind == LISTEN_UNIX) {
                r = bind_unix(o->path);
        } else {
                setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
                if (bind(listener, (struct sockaddr *)&at, fill_address(o, &at)) < 0)
                        r = -errno;
        }
        if (r < 0)
                die_errno(STATUS_NO_START, -r, "listen on %s", o->kind == LISTEN_UNIX ? o->path : o->host);
        if (listen(listener, 128) < 0 || watch(s, listener, EVENT_LISTENER) < 0)
                die_errno(STATUS_NO_START, errno, "listen");
        say_address(&at, o);
}

/* The parent of @pid; -1: it is gone. */
static pid_t parent_of(pid_t pid)
{
        char path[32], text[1024];
        struct wr w = wr_of(path, sizeof(path) - 1);
        const char *at;
        ssize_t n;

        wr_fmt(&w, "/proc/%d/stat", (int)pid);
        n = read_file(AT_FDCWD, wr_cstr(&w), text, sizeof(text) - 1);
        text[n > 0 ? n : 0] = '\0';
        at = strrchr(text, ')'); /* the name may hold anything */
        return at ? (pid_t)strtol(at + 4, NULL, 10) : -1;
}

/*
 * What we run is not let in: a process in a sandbox, which can't be kept from a socket in the
 * file system, would come out of it as a client. Whoever is gone already may have been one.
 */
static bool is_ours(int fd)
{
        struct ucred peer = { 0 };
        socklen_t len = sizeof(peer);
        pid_t pid;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
                return true;
        for (pid = peer.pid; pid > 1 && pid != getpid(); pid = parent_of(pid))
                ;
        return pid < 0 || pid == getpid();
}

static void accept_client(struct server *s)
{
        struct sockaddr_storage at = { 0 };
        socklen_t len = sizeof(at);
        int fd = accept4(listener, (struct sockaddr *)&at, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        char peer[80];
        struct wr w = wr_of(peer, sizeof(peer) - 1);
        int one = 1;

        if (fd < 0)
                return;
        if (at.ss_family == AF_UNIX && is_ours(fd)) {
                log_line(LOG_WARN, "a process of ours asked to be a client: refused");
                close(fd);
                return;
        }
        /* Or the second small frame waits for the other side's delayed ACK: 40 ms. */
        if (at.ss_family != AF_UNIX)
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        put_address(&w, &at);
        if (!conn_accept(s, fd, wr_cstr(&w)))
                close(fd);
}

static void read_signals(struct server *s)
{
        struct signalfd_siginfo info;
        int status;

        while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
                if (info.ssi_signo != SIGCHLD)
                        s->stopping = true;
        while (waitpid(-1, &status, WNOHANG) > 0)
                ; /* keepers and helpers tell what matters by their sockets */
}

static void stdin_event(struct server *s)
{
        char ignored[4096];
        ssize_t n = read(STDIN_FILENO, ignored, sizeof(ignored));

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                s->stopping = true;
}

static void handle(struct server *s, struct ev_ref ref, uint32_t events)
{
        switch ((enum event_kind)ref.kind) {
        case EVENT_SIGNAL:
                read_signals(s);
                break;
        case EVENT_LISTENER:
                accept_client(s);
                break;
        case EVENT_PORCH:
                porch_event(s);
                break;
        case EVENT_STDIN:
                stdin_event(s);
                break;
        case EVENT_CONN:
        case EVENT_CONN_OUT:
                conn_event(s, ref, events);
                break;
        case EVENT_JOB_OUT:
        case EVENT_JOB_ERR:
        case EVENT_JOB_IN:
        case EVENT_JOB_KEEPER:
                job_event(s, ref, events);
                break;
        case EVENT_FLOOD:
                job_flood_event();
                break;
        case EVENT_HELPER:
                helper_event(s, ref);
                break;
        case EVENT_WATCH:
                watch_event(s);
                break;
        }
}

/* Milliseconds until nobody was there for too long; -1: somebody is, or it does not matter. */
static int idle_left(const struct server *s)
{
        uint64_t end = s->idle_since + s->idle_ms;

        if (!s->idle_ms || s->attached)
                return -1;
        return end > s->now_ms ? (int)(end - s->now_ms) : 0;
}

static int patience(const struct server *s)
{
        int idle = idle_left(s);
        int ms = job_wait_ms(s->now_ms, idle);

        ms = ev_wait_ms(&s->pings, s->now_ms, ms);
        ms = ev_wait_ms(&s->trims, s->now_ms, ms);
        ms = ev_wait_ms(&s->handshakes, s->now_ms, ms);
        ms = ev_wait_ms(&s->kept_sessions, s->now_ms, ms);
        return ev_wait_ms(&s->kept_jobs, s->now_ms, ms);
}

static void end_when_idle(struct server *s)
{
        if (idle_left(s))
                return;
        log_line(LOG_INFO, "no client %s %u s: the end", s->had_client ? "for" : "came within",
                 (unsigned)(s->idle_ms / 1000));
        s->status = s->had_client ? STATUS_OK : STATUS_DEADLINE;
        s->stopping = true;
}

static void serve(struct server *s)
{
        struct epoll_event events[BATCH];

        conn_flush_dirty(s);
        while (!s->stopping) {
                int n = epoll_wait(s->ev, events, BATCH, patience(s));

                s->now_ms = now_ms();
                for (int i = 0; i < n; i++)
                        handle(s, ev_ref_of(events[i].data.u64), events[i].events);
                end_when_idle(s);
                conn_timers(s);
                session_timers(s);
                job_timers(s);
                conn_flush_dirty(s);
        }
}

/* The keepers kill what they keep; they are given the time for it. */
static void stop(struct server *s)
{
        uint64_t end = now_ms() + GOODBYE_MS;
        struct timespec pause = { 0, 1000000 };
        int status;

        s->stopping = true;
        conn_stop_all(s);
        session_close_all();
        while (now_ms() < end) {
                pid_t pid = waitpid(-1, &status, WNOHANG);

                if (pid < 0)
                        break;
                if (pid == 0)
                        nanosleep(&pause, NULL);
        }
        if (the_options.kind == LISTEN_UNIX)
                unlink(the_options.path);
}

int main(int argc, char **argv)
{
        struct server *s = &the_server;
        int r;

        confine_relro();
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* what it runs has its uid, and is no debugger of it */
        log_role("exec-server");
        r = exec_options(&the_options, argc, argv);
        if (r)
                return r > 0 ? STATUS_OK : -r;
        patch_add_path();
        s->environment = environ;
        s->auth = the_options.auth;
        s->on_network = the_options.kind == LISTEN_TCP;
        s->key_path = the_options.key_path;
        s->now_ms = now_ms();
        s->idle_since = s->now_ms;
        s->idle_ms = the_options.idle_s * UINT64_C(1000);
        s->keep_ms = the_options.keep_s * 1000;
        r = the_options.journal >= 0 ? journal_open(the_options.journal) : 0;
        if (r < 0)
                die_errno(STATUS_NO_START, -r, "--journal-fd %d", the_options.journal);
        s->ev = ev_open();
        s->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (s->ev < 0 || s->null_fd < 0)
                die_errno(STATUS_NO_START, errno, "epoll, /dev/null");
        raise_files();
        conn_init(s);
        job_init(s);
        open_signals(s);
        if (the_options.kind == LISTEN_STDIO) {
                conn_stdio(s, STDIN_FILENO, STDOUT_FILENO);
        } else if (the_options.porch >= 0) {
                use_porch(s, &the_options);
        } else {
                open_listener(s, &the_options);
                if (the_options.exit_on_stdin_close && watch(s, STDIN_FILENO, EVENT_STDIN) < 0)
                        log_line(LOG_WARN, "--exit-on-stdin-close: stdin can't be watched");
        }
        serve(s);
        stop(s);
        return s->status;
}
