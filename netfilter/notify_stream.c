/* netfilter/notify_stream.c - the agent's stream sockets, connected here in its place. */
#include "netfilter/notify.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

/* The kernel's default range for ports that nobody asked for. */
#define FIRST_PORT 32768
#define PORTS 28232

int address_read(struct call *c, uint64_t at, uint64_t len, union address *a)
{
        int r;

        memset(a, 0, sizeof(*a));
        if (len > sizeof(a->room))
                return -EINVAL;
        r = agent_read(&c->agent, at, a, len);
        if (r < 0)
                return r;
        if (!agent_waits(&c->agent))
                return -ESRCH;
        if (len < sizeof(a->any.sa_family))
                return -EINVAL;
        if (a->any.sa_family == AF_INET)
                return len < sizeof(a->v4) ? -EINVAL : 0;
        if (a->any.sa_family == AF_INET6)
                return len < sizeof(a->v6) - sizeof(a->v6.sin6_scope_id) ? -EINVAL : 0;
        return 0;
}

/* False: neither IPv4 nor IPv6. */
bool address_of(const union address *a, struct msg_address *to)
{
        *to = (struct msg_address){ .family = a->any.sa_family };
        if (a->any.sa_family == AF_INET) {
                to->port = ntohs(a->v4.sin_port);
                memcpy(to->bytes, &a->v4.sin_addr, 4);
                return true;
        }
        if (a->any.sa_family != AF_INET6)
                return false;
        to->port = ntohs(a->v6.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
                to->family = AF_INET;
                memcpy(to->bytes, a->v6.sin6_addr.s6_addr + 12, 4);
        } else {
                memcpy(to->bytes, &a->v6.sin6_addr, 16);
        }
        return true;
}

/* @from as a socket of @domain wants it; its length. */
socklen_t address_put(const struct msg_address *from, int domain, union address *a)
{
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        memset(a, 0, sizeof(*a));
        if (domain == AF_INET) {
                a->v4.sin_family = AF_INET;
                a->v4.sin_port = htons(from->port);
                memcpy(&a->v4.sin_addr, from->bytes, 4);
                return sizeof(a->v4);
        }
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons(from->port);
        if (from->family == AF_INET6) {
                memcpy(&a->v6.sin6_addr, from->bytes, 16);
        } else if (from->family) {
                memcpy(a->v6.sin6_addr.s6_addr, mapped, sizeof(mapped));
                memcpy(a->v6.sin6_addr.s6_addr + 12, from->bytes, 4);
        }
        return sizeof(a->v6);
}

/* --- whose socket ------------------------------------------------------------------------ */

/* The socket that the agent means, taken out of it; its inode. */
static int take(struct call *c, struct stream *s, uint64_t *inode)
{
        int fd = agent_take(&c->agent, (int)c->arg[0]);
        struct stat st;

        if (fd < 0)
                return fd;
        if (!agent_waits(&c->agent) || fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode)) {
                close(fd);
                return -ENOTSOCK;
        }
        s->fd = fd;
        *inode = st.st_ino;
        return 0;
}

int notify_acquire(struct notifier *n, struct call *c, struct stream *s)
{
        uint64_t inode;
        int r = -EPERM;

        *s = (struct stream){ .fd = -1 };
        if (!n->hold)
                r = take(c, s, &inode);
        if (r == -EPERM || r == -EACCES || r == -ENOSYS)
                r = agent_socket(&c->agent, (int)c->arg[0], &inode);
        if (r < 0)
                return r;
        s->udp = notes_find(&n->udp, inode);
        if (s->udp && s->fd >= 0)
                close(fd_take(&s->fd));
        if (s->udp || s->fd >= 0)
                return 0;
        s->note = notes_find(&n->held, inode);
        if (s->note && s->note->connected)
                return -EISCONN;
        if (s->note)
                s->fd = s->note->fd;
        return 0;
}

/* The port that the agent gave the old socket, when it asked for a certain one. */
static void bind_again(struct notifier *n, uint64_t old, int fd, int domain)
{
        static const int one = 1;
        const struct note *b = old ? notes_find(&n->bound, old) : NULL;
        union address a;
        socklen_t len;

        if (!b || !b->bound.port)
                return;
        len = address_put(&b->bound, domain, &a);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, &a.any, len) < 0)
                log_errno(LOG_DEBUG, errno, "bind again");
}

/*
 * The descriptors of the agent that name the old socket beside this one keep it, and so
 * does an epoll set. This is the last resort.
 */
int notify_replace(struct notifier *n, struct call *c, int domain, int type, struct stream *s)
{
        int at = (int)c->arg[0], flags, r = agent_flags(&c->agent, at, &flags);
        struct note evicted;
        struct stat st;
        uint64_t old = 0;

        if (r < 0 || (r = agent_socket(&c->agent, at, &old)) < 0)
                return r;
        AUTO_CLOSE int fd = socket(domain, type | SOCK_CLOEXEC | (flags & O_NONBLOCK), 0);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        r = agent_put(&c->agent, fd, at, flags, false);
        if (r < 0)
                return r;
        s->note = notes_add(&n->held, st.st_ino, &evicted);
        if (evicted.inode && evicted.fd >= 0)
                close(evicted.fd);
        s->note->domain = (uint16_t)domain;
        s->note->type = (uint16_t)type;
        s->fd = s->note->fd = fd_take(&fd);
        if (domain != AF_UNIX)
                bind_again(n, old, s->fd, domain);
        return 0;
}

/*
 * A held socket is let go when it is connected, so that the agent's close(2) is the last
 * one; what failed may be tried again. One that was taken is only ours to close.
 */
int notify_release(struct notifier *n, struct stream *s, int r, bool kept)
{
        struct tcp_info info = { .tcpi_state = 0 };
        socklen_t len = sizeof(info.tcpi_state);

        if (!s->note) {
                if (!kept && s->fd >= 0)
                        close(s->fd);
                return r;
        }
        if (kept) {
                notes_drop(&n->held, s->note);
                return r;
        }
        if (r == -EINPROGRESS && s->note->domain != AF_UNIX) {
                getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len);
                if (info.tcpi_state == TCP_CLOSE)
                        return r;
        } else if (r && r != -EISCONN) {
                return r;
        }
        close(fd_take(&s->note->fd));
        s->note->connected = true;
        return r;
}

/* --- connect ----------------------------------------------------------------------------- */

/* Keeps a blocking connect until the other side has decided. */
static int wait_for(struct notifier *n, struct call *c, int fd, const union address *to,
                    socklen_t len, bool retry)
{
        struct pending *p = &n->pending[n->pending_count];

        if (n->pending_count == PENDING_MAX)
                return -ENOBUFS;
        n->pending_count++;
        *p = (struct pending){ .agent = c->agent, .fd = fd, .file = fd_take(&c->file),
                               .retry = retry, .to = *to, .to_len = len };
        p->agent.memory = -1;
        return CALL_ANSWERED;
}

/*
 * The agent's blocking socket must not block us: for the length of the call it does not
 * block. Only the agent's own threads could see that, on a socket that is not connected.
 */
int notify_connect(struct notifier *n, struct call *c, int fd, const union address *to,
                   socklen_t len, bool *kept)
{
        int flags = fcntl(fd, F_GETFL), r;
        bool blocking = !(flags & O_NONBLOCK);
        struct pollfd decided = { .fd = fd, .events = POLLOUT };
        struct timespec now = { 0 };

        *kept = false;
        if (blocking)
                fcntl(fd, F_SETFL, flags | O_NONBLOCK);
        r = connect(fd, &to->any, len) < 0 ? -errno : 0;
        if (blocking)
                fcntl(fd, F_SETFL, flags);
        if (!blocking || (r != -EINPROGRESS && r != -EALREADY && r != -EAGAIN))
                return r;
        if (r != -EAGAIN && ppoll(&decided, 1, &now, NULL) == 1)
                return connect(fd, &to->any, len) < 0 ? -errno : 0;
        r = wait_for(n, c, fd, to, len, r == -EAGAIN);
        *kept = r == CALL_ANSWERED;
        return r;
}

int notify_pending(struct pending *p)
{
        int flags = fcntl(p->fd, F_GETFL), r;

        if (flags < 0)
                return -errno;
        fcntl(p->fd, F_SETFL, flags | O_NONBLOCK);
        r = connect(p->fd, &p->to.any, p->to_len) < 0 ? -errno : 0;
        fcntl(p->fd, F_SETFL, flags);
        return r == -EAGAIN || r == -EALREADY || r == -EINPROGRESS ? CALL_CONTINUE : r;
}

static int socket_option(int fd, int option)
{
        int value;
        socklen_t len = sizeof(value);

        return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -errno : value;
}

/*
 * Binds it to a port of loopback, each in its turn, so that one is used again as late as
 * can be: after a second a connection that was closed no longer keeps it (tcp_tw_reuse). The
 * kernel's own choice takes milliseconds when most ports wait after a close, and finds none
 * in the end. An agent's server on a port, or one it bound, makes us take the next.
 */
static int bind_loopback(int fd, int domain)
{
        static const int one = 1;
        static unsigned next;
        int r = -1;

        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        for (unsigned tries = 0; tries < 256 && r < 0; tries++) {
                struct msg_address from = { .family = AF_INET, .bytes = { 127, 0, 0, 1 } };
                union address a;
                socklen_t len;

                from.port = (uint16_t)(FIRST_PORT + next++ % PORTS);
                len = address_put(&from, domain, &a);
                r = bind(fd, &a.any, len);
                if (r < 0 && errno != EADDRINUSE)
                        break; /* EINVAL: it is bound */
        }
        return r < 0 ? -errno : 0;
}

/* The port that it will come from: the proxy knows the connection by it. */
static int source_port(int fd, int domain)
{
        static const int zero;
        union address a = { .any.sa_family = AF_UNSPEC };
        struct msg_address bound;
        socklen_t got = sizeof(a);
        int r;

        if (!getpeername(fd, &a.any, &got))
                return -EISCONN;
        if (domain == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
        r = bind_loopback(fd, domain);
        if (r < 0 && r != -EINVAL)
                return -EADDRNOTAVAIL;
        got = sizeof(a);
        if (getsockname(fd, &a.any, &got) < 0)
                return -errno;
        return address_of(&a, &bound) && bound.port ? bound.port : -EINVAL;
}

/* The proxy says no: nobody answers there. A proxy that is gone is the end of the task. */
static int tell_proxy(struct notifier *n, struct call *c, const struct msg_address *to, int port)
{
        struct msg m = { .type = MSG_CONNECT, .pid = (uint32_t)c->agent.tid, .to = *to,
                         .from_port = (uint16_t)port };
        int r;

        agent_command(&c->agent, m.text, sizeof(m.text));
        r = msg_ask(n->proxy, &m, -1, ASK_MS);
        if (r == -EPIPE || r == -ECONNRESET || r == -EPROTO || r == -ETIMEDOUT)
                die_errno(STATUS_LOCK, -r, "ask the proxy");
        return r < 0 ? -ECONNREFUSED : 0;
}

/* Through the proxy: from a port that it was told about, to its one door for us. */
static int to_proxy(struct notifier *n, struct call *c, struct stream *s, int domain,
                    const struct msg_address *to, bool *kept)
{
        const struct msg_address door = { .family = AF_INET, .port = n->redirect_port,
                                          .bytes = { 127, 0, 0, 1 } };
        union address a;
        socklen_t len = address_put(&door, domain, &a);
        int port, r;

        if (n->off)
                return to->family == AF_INET6 ? -ENETUNREACH : -ECONNREFUSED;
        port = source_port(s->fd, domain);
        if (port < 0)
                return port;
        r = tell_proxy(n, c, to, port);
        if (!r)
                r = notify_connect(n, c, s->fd, &a, len, kept);
        /* The proxy's no, when it came before we had our answer. */
        return r == -ECONNRESET ? -ECONNREFUSED : r;
}

/* A service of the agent's own. Port 53 is a resolver, and the only one is the proxy. */
static bool is_own(struct notifier *n, struct msg_address *to)
{
        static const uint8_t unspecified[16];
        size_t len = to->family == AF_INET ? 4 : 16;

        if (!memcmp(to->bytes, unspecified, len)) /* Linux takes that for loopback */
                memcpy(to->bytes + (len == 4 ? 0 : 15), len == 4 ? "\x7f\0\0\1" : "\1",
                       len == 4 ? 4 : 1);
        return (to->port != 53 || n->off) && !notify_is_others(n, to->port) &&
               notify_is_local(n, to);
}

/* EAFNOSUPPORT and its kin, as the kernel says them; the socket's domain otherwise. */
static int domain_for(struct stream *s, const union address *to)
{
        int domain = s->note ? s->note->domain : socket_option(s->fd, SO_DOMAIN);
        int type = s->note ? s->note->type : socket_option(s->fd, SO_TYPE);

        if (domain == AF_UNIX)
                return -EINVAL;
        if (type != SOCK_STREAM || domain < 0)
                return -EACCES;
        return domain == to->any.sa_family ? domain : -EAFNOSUPPORT;
}

/*
 * Where net.ipv6.ip_nonlocal_bind is set, it may be bound to anybody's address, and the server
 * that it connects to would answer there.
 */
static bool comes_from_here(struct notifier *n, int fd)
{
        static const uint8_t unspecified[16];
        union address a = { .any.sa_family = AF_UNSPEC };
        struct msg_address from;
        socklen_t len = sizeof(a);

        if (getsockname(fd, &a.any, &len) < 0 || !address_of(&a, &from))
                return false;
        return !memcmp(from.bytes, unspecified, sizeof(unspecified)) || notify_is_local(n, &from);
}

int notify_stream(struct notifier *n, struct call *c, struct stream *s, const union address *to)
{
        struct msg_address where;
        union address a;
        bool kept = false;
        int domain, r = 0;

        if (s->fd < 0)
                r = notify_replace(n, c, to->any.sa_family, SOCK_STREAM, s);
        if (r < 0)
                return r;
        domain = domain_for(s, to);
        if (domain >= 0 && !comes_from_here(n, s->fd))
                domain = -EADDRNOTAVAIL;
        if (domain < 0 || !address_of(to, &where))
                return notify_release(n, s, domain < 0 ? domain : -EAFNOSUPPORT, false);
        if (!is_own(n, &where)) {
                r = to_proxy(n, c, s, domain, &where, &kept);
        } else if (where.port == n->redirect_port && !n->off) {
                r = -ECONNREFUSED; /* its connections are announced */
        } else {
                socklen_t len = address_put(&where, domain, &a);

                r = notify_connect(n, c, s->fd, &a, len, &kept);
        }
        return notify_release(n, s, r, kept);
}
