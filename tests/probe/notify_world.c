/*
 * tests/probe/notify_world.c - a command under the notify lock, and a proxy for it to meet.
 *
 *   notify_world [OPTION]… -- CMD…          exits as CMD does
 *     --notify PATH    airlock-notify
 *     --user UID       CMD's user (0 otherwise, without capabilities)
 *     --own UID        airlock-notify's user, another than CMD's
 *     --hold           as where pidfd_getfd is refused
 *     --off            --mode off, without a proxy
 *     --task           --unix task
 *     --scope          CMD in a Landlock domain that keeps signals inside
 *     --door PORT      the proxy's port (any)
 *     --to PORT=PORT   what comes for the first is relayed to the second, on 127.0.0.1
 *     --log FILE       a line for each connection: ADDRESS PORT PID COMMAND
 *     --notifier FILE  airlock-notify's pid is written there
 *
 * The stub proxy answers every A question with 198.18.0.1 but those for denied*, echoes what
 * comes for port 7, and drops what comes for a port that --to does not name.
 */
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "base/msg.h"
#include "base/wr.h"
#include "netfilter/notify_enter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define FDS 65536
#define LANDLOCK_SCOPES_SIGNAL 2U

struct options {
        const char *notify, *log, *pid_file, *user, *own;
        bool hold, off, task, scope;
        unsigned door;
        unsigned from[16], to[16], routes;
};

static unsigned number(const char *p)
{
        unsigned n = 0;

        for (; p && *p >= '0' && *p <= '9'; p++)
                n = n * 10 + (unsigned)(*p - '0');
        return n;
}

static char **read_options(struct options *o, char **a)
{
        for (a++; *a && strcmp(*a, "--"); a++) {
                if (!strcmp(*a, "--hold"))
                        o->hold = true;
                else if (!strcmp(*a, "--off"))
                        o->off = true;
                else if (!strcmp(*a, "--task"))
                        o->task = true;
                else if (!strcmp(*a, "--scope"))
                        o->scope = true;
                else if (!a[1])
                        die(STATUS_USAGE, "%s", *a);
                else if (!strcmp(*a, "--notify"))
                        o->notify = *++a;
                else if (!strcmp(*a, "--user"))
                        o->user = *++a;
                else if (!strcmp(*a, "--own"))
                        o->own = *++a;
                else if (!strcmp(*a, "--door"))
                        o->door = number(*++a);
                else if (!strcmp(*a, "--log"))
                        o->log = *++a;
                else if (!strcmp(*a, "--notifier"))
                        o->pid_file = *++a;
                else if (!strcmp(*a, "--to") && o->routes < 16) {
                        o->from[o->routes] = number(*++a);
                        o->to[o->routes++] = number(strchr(*a, '=') + 1);
                } else
                        die(STATUS_USAGE, "%s", *a);
        }
        if (!*a || !a[1])
                die(STATUS_USAGE, "no command");
        return a + 1;
}

/* --- the stub proxy ----------------------------------------------------------------------- */

enum kind { NOTHING, DOOR, CHANNEL, PAIR, RELAY, ECHO };

static struct {
        enum kind kind;
        int other;
} slots[FDS];
static struct {
        struct msg_address to;
        uint32_t pid;
        char text[120];
} announced[65536];
static int epoll_fd, log_fd = -1;
static const struct options *opt;

static void watch(int fd, enum kind kind, int other)
{
        struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

        if (fd < 0 || fd >= FDS)
                die(STATUS_LOCK, "descriptor %d", fd);
        slots[fd].kind = kind;
        slots[fd].other = other;
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
}

static void drop(int fd)
{
        int other = slots[fd].other;

        if (slots[fd].kind == RELAY && other >= 0) {
                slots[other].kind = NOTHING;
                close(other);
        }
        slots[fd].kind = NOTHING;
        close(fd);
}

static void on_channel(int fd)
{
        struct msg m, done = { .type = MSG_DONE };
        int got;

        if (msg_receive(fd, &m, &got) < 0)
                _exit(0);
        if (m.type == MSG_LISTENER && m.kind == LISTEN_DNS_PAIR) {
                fcntl(got, F_SETFL, O_RDWR | O_NONBLOCK);
                watch(got, PAIR, -1);
                return;
        }
        announced[m.from_port].to = m.to;
        announced[m.from_port].pid = m.pid;
        memcpy(announced[m.from_port].text, m.text, sizeof(announced[0].text) - 1);
        if (msg_send(fd, &done, -1) < 0)
                _exit(0);
}

static void on_pair(int fd)
{
        static const uint8_t answer[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 198, 18, 0, 1 };
        uint8_t q[600];
        ssize_t n = recv(fd, q, 512, 0);
        size_t at = 12, len;

        if (n <= 0) {
                drop(fd);
                return;
        }
        if (n < 17)
                return;
        while (at < (size_t)n && q[at])
                at += q[at] + 1U;
        len = at + 5;
        if (len > (size_t)n)
                return;
        q[2] |= 0x80;
        q[3] = 0x80;
        q[7] = q[8] = q[9] = q[10] = q[11] = 0;
        if (!memcmp(q + 13, "denied", 6))
                q[3] |= 3;
        else if (q[at + 2] == 1) { /* an A question */
                q[7] = 1;
                memcpy(q + len, answer, sizeof(answer));
                len += sizeof(answer);
        }
        send(fd, q, len, MSG_NOSIGNAL);
}

static void write_log(const struct sockaddr_in *from)
{
        char line[400], text[64];
        struct wr w = wr_of(line, sizeof(line));
        unsigned port = ntohs(from->sin_port);
        const struct msg_address *to = &announced[port].to;

        inet_ntop(to->family, to->bytes, text, sizeof(text));
        wr_fmt(&w, "%s %u %u %s\n", text, (unsigned)to->port, announced[port].pid,
               announced[port].text);
        if (log_fd >= 0 && write(log_fd, line, w.len) < 0)
                _exit(1);
}

static void on_door(int fd)
{
        struct sockaddr_in from, target = { .sin_family = AF_INET };
        socklen_t len = sizeof(from);
        int one = 1, in = accept4(fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC), out;
        unsigned port;

        if (in < 0)
                return;
        port = ntohs(from.sin_port);
        if (!announced[port].to.family) {
                close(in);
                return;
        }
        setsockopt(in, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        write_log(&from);
        if (announced[port].to.port == 7) {
                announced[port].to.family = 0;
                watch(in, ECHO, -1);
                return;
        }
        for (unsigned i = 0; i < opt->routes; i++) {
                if (opt->from[i] == announced[port].to.port)
                        target.sin_port = htons((uint16_t)opt->to[i]);
        }
        announced[port].to.family = 0;
        target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        out = target.sin_port ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
        if (out < 0 || connect(out, (struct sockaddr *)&target, sizeof(target)) < 0) {
                close(in);
                if (out >= 0)
                        close(out);
                return;
        }
        watch(in, RELAY, out);
        watch(out, RELAY, in);
}

static void on_bytes(int fd)
{
        static char buf[65536];
        int to = slots[fd].kind == ECHO ? fd : slots[fd].other;
        ssize_t n = read(fd, buf, sizeof(buf));

        if (n > 0 && !write_full(to, buf, (size_t)n))
                return;
        if (!n && slots[fd].kind == RELAY && to >= 0 && slots[to].other >= 0) {
                /* The other half goes on. */
                shutdown(to, SHUT_WR);
                epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
                slots[fd].other = -1 - to;
                slots[to].other = fd;
                if (slots[to].kind == RELAY && slots[to].other >= 0)
                        return;
        }
        if (slots[fd].kind == RELAY && slots[fd].other < 0)
                slots[fd].other = -1 - slots[fd].other;
        drop(fd);
}

static NORETURN void proxy(int door, int channel)
{
        struct epoll_event events[64];

        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        signal(SIGPIPE, SIG_IGN);
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        fcntl(door, F_SETFL, O_RDWR | O_NONBLOCK);
        watch(door, DOOR, -1);
        watch(channel, CHANNEL, -1);
        for (;;) {
                int n = epoll_wait(epoll_fd, events, 64, -1);

                for (int i = 0; i < n; i++) {
                        int fd = events[i].data.fd;

                        switch (slots[fd].kind) {
                        case NOTHING:
                                break;
                        case DOOR:
                                on_door(fd);
                                break;
                        case CHANNEL:
                                on_channel(fd);
                                break;
                        case PAIR:
                                on_pair(fd);
                                break;
                        case RELAY:
                        case ECHO:
                                on_bytes(fd);
                                break;
                        }
                }
        }
}

/* --- the command and its notifier ---------------------------------------------------------- */

static void scope(void)
{
        /* Newer than Debian 12's headers: handled_access_fs, _net and scoped. */
        const uint64_t rules[3] = { 0, 0, LANDLOCK_SCOPES_SIGNAL };
        int fd = (int)syscall(SYS_landlock_create_ruleset, rules, sizeof(rules), 0);

        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
                die_errno(STATUS_LOCK, errno, "landlock");
        close(fd);
}

static NORETURN void command(char **argv, int channel)
{
        uid_t uid = number(opt->user);
        struct confine c = { .set_ids = !getuid(), .uid = uid, .gid = uid, .no_new_privs = true };
        const char *stage;
        int r = confine_apply(&c, &stage);

        if (r < 0)
                die_errno(STATUS_LOCK, -r, "%s", stage);
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a change of ids forgets it */
        if (opt->scope)
                scope();
        r = notify_enter(channel, opt->hold || opt->own || !notify_can_take());
        if (r < 0)
                die_errno(STATUS_LOCK, -r, "enter");
        syscall(SYS_close_range, 3, ~0U, 0);
        execvp(argv[0], argv);
        _exit(127);
}

static const char *text(unsigned n)
{
        static char room[8][16];
        static unsigned next;
        struct wr w = wr_of(room[next %= 8], 15);

        wr_u64(&w, n);
        next++;
        return wr_cstr(&w);
}

static NORETURN void notifier(int listener, int channel, unsigned door)
{
        const char *argv[32] = { "airlock-notify", "--listener", text((unsigned)listener) };
        unsigned n = 3;
        unsigned uid = getuid() ? getuid() : number(opt->user);

        argv[n++] = "--mode";
        argv[n++] = opt->off ? "off" : "on";
        argv[n++] = "--unix";
        argv[n++] = opt->task ? "task" : "pidns";
        if (!opt->off) {
                argv[n++] = "--proxy";
                argv[n++] = text((unsigned)channel);
                argv[n++] = "--redirect-port";
                argv[n++] = text(door);
        }
        argv[n++] = "--task-uid";
        argv[n++] = text(uid);
        argv[n++] = "--task-gid";
        argv[n++] = getuid() ? text(getgid()) : text(uid);
        if (opt->own) {
                argv[n++] = "--uid";
                argv[n++] = opt->own;
                argv[n++] = "--gid";
                argv[n++] = opt->own;
        }
        fcntl(listener, F_SETFD, 0);
        fcntl(channel, F_SETFD, 0);
        execv(opt->notify, (char *const *)(uintptr_t)argv);
        die_errno(STATUS_LOCK, errno, "%s", opt->notify);
}

static int open_door(unsigned *port)
{
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)*port) };
        socklen_t len = sizeof(a);
        int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 8192) < 0 ||
            getsockname(fd, (struct sockaddr *)&a, &len) < 0)
                die_errno(STATUS_LOCK, errno, "the proxy's door");
        *port = ntohs(a.sin_port);
        return fd;
}

static pid_t fork_or_die(void)
{
        pid_t pid = fork();

        if (pid < 0)
                die_errno(STATUS_LOCK, errno, "fork");
        return pid;
}

int main(int argc, char **argv)
{
        static struct options o;
        struct rlimit files;
        int enter[2], channel[2], status = 0;
        char **cmd = read_options(&o, argv);
        pid_t agent, notify, relay;
        unsigned door_port = o.door;

        (void)argc;
        opt = &o;
        if (o.log)
                log_fd = open(o.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, enter) < 0 ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0)
                die_errno(STATUS_LOCK, errno, "channels");
        int door = open_door(&door_port);

        agent = fork_or_die();
        if (!agent)
                command(cmd, enter[0]);
        close(enter[0]);
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        notify = fork_or_die();
        if (!notify)
                notifier(enter[1], channel[1], door_port);
        close(channel[1]);
        close(enter[1]);
        relay = fork_or_die();
        if (!relay)
                proxy(door, channel[0]);
        close(channel[0]);
        if (o.pid_file) {
                int fd = open(o.pid_file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
                const char *pid = text((unsigned)notify);

                if (fd < 0 || write_full(fd, pid, strlen(pid)) < 0)
                        die_errno(STATUS_LOCK, errno, "%s", o.pid_file);
                close(fd);
        }
        while (waitpid(agent, &status, 0) < 0 && errno == EINTR)
                ;
        kill(notify, SIGKILL);
        kill(relay, SIGKILL);
        while (wait(NULL) > 0 || errno == EINTR)
                ;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
