/* netfilter/notify_calls.c - which watched call is answered how. */
#include "netfilter/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* The note of the pair's end that the agent's descriptor @fd is; NULL: it is none. */
static struct note *udp_of(struct notifier *n, const struct call *c)
{
        uint64_t inode;

        return agent_socket(&c->agent, (int)c->arg[0], &inode) < 0 ? NULL
                                                                   : notes_find(&n->udp, inode);
}

/* AF_UNSPEC takes a connection back, and a netlink socket's one is to the kernel anyway. */
static int connect_nowhere(struct notifier *n, struct stream *s, const union address *to,
                           size_t len)
{
        int r = s->fd < 0 ? 0 : connect(s->fd, &to->any, (socklen_t)len) < 0 ? -errno : 0;

        if (!s->note)
                return notify_release(n, s, r, false);
        return r;
}

static int on_connect(struct notifier *n, struct call *c)
{
        size_t len = (uint32_t)c->arg[2];
        struct stream s = { .fd = -1 };
        union address to = { .any.sa_family = AF_UNSPEC };
        int r = address_read(c, c->arg[1], len, &to);

        if (!r)
                r = notify_acquire(n, c, &s);
        if (r < 0)
                return r == -EISCONN && to.any.sa_family == AF_UNSPEC ? 0 : r;
        if (s.udp)
                return notify_udp_connect(s.udp, &to);
        switch (to.any.sa_family) {
        case AF_INET:
        case AF_INET6:
                return notify_stream(n, c, &s, &to);
        case AF_UNIX:
                return notify_unix(n, c, &s, &to.un, len);
        case AF_UNSPEC:
        case AF_NETLINK:
                return connect_nowhere(n, &s, &to, len);
        default:
                return notify_release(n, &s, -EAFNOSUPPORT, false);
        }
}

/* Lets go of the socket: what is bound or listens must be closed when the agent closes it. */
static void let_go(struct notifier *n, uint64_t inode)
{
        struct note *held = notes_find(&n->held, inode);

        if (!held)
                return;
        if (held->fd >= 0)
                close(held->fd);
        notes_drop(&n->held, held);
}

/* The kernel binds it, after we wrote down that the task did. */
static int on_bind(struct notifier *n, struct call *c)
{
        struct note *s, evicted;
        union address a;
        uint64_t inode;
        int r = agent_socket(&c->agent, (int)c->arg[0], &inode);

        if (r < 0)
                return r == -EACCES ? r : CALL_CONTINUE; /* the kernel's word for it */
        s = notes_find(&n->udp, inode);
        if (s)
                return notify_udp_call(n, c, s);
        if (!agent_waits(&c->agent))
                return -ESRCH;
        let_go(n, inode);
        s = notes_find(&n->bound, inode);
        if (!s)
                s = notes_add(&n->bound, inode, &evicted);
        if (!address_read(c, c->arg[1], (uint32_t)c->arg[2], &a) && !address_of(&a, &s->bound))
                s->bound = (struct msg_address){ 0 };
        return CALL_CONTINUE;
}

static int on_listen(struct notifier *n, const struct call *c)
{
        uint64_t inode;

        if (!agent_socket(&c->agent, (int)c->arg[0], &inode))
                let_go(n, inode);
        return CALL_CONTINUE;
}

/* Made here and kept, because the agent's own could not be taken. */
static int make_stream(struct notifier *n, struct call *c)
{
        int type = (int)c->arg[1] & 0xf, flags = (int)c->arg[1];
        struct note *s, evicted;
        struct stat st;
        int r;

        n->hold = true;
        AUTO_CLOSE int fd = socket((int)c->arg[0], type | SOCK_CLOEXEC | (flags & SOCK_NONBLOCK),
                                   (int)c->arg[2]);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        s = notes_add(&n->held, st.st_ino, &evicted);
        if (evicted.inode && evicted.fd >= 0)
                close(evicted.fd);
        s->domain = (uint16_t)c->arg[0];
        s->type = (uint16_t)type;
        r = agent_put(&c->agent, fd, -1, flags, true);
        if (r < 0) {
                notes_drop(&n->held, s);
                return r;
        }
        s->fd = fd_take(&fd);
        return CALL_ANSWERED;
}

static int on_socket(struct notifier *n, struct call *c)
{
        if (((int)c->arg[1] & 0xf) != SOCK_DGRAM)
                return make_stream(n, c);
        /* AF_UNIX ones are refused by value; a call that is not INET's is not for us. */
        return c->arg[0] == AF_INET || c->arg[0] == AF_INET6 ? notify_udp_socket(n, c)
                                                             : -EAFNOSUPPORT;
}

int notify_call(struct notifier *n, struct call *c)
{
        struct note *s;

        switch (c->nr) {
        case SYS_connect:
                return on_connect(n, c);
        case SYS_bind:
                return on_bind(n, c);
        case SYS_listen:
                return on_listen(n, c);
        case SYS_socket:
                return on_socket(n, c);
        case SYS_socketpair:
                return notify_udp_pair(n, c);
        default:
                s = udp_of(n, c);
                return s ? notify_udp_call(n, c, s) : CALL_CONTINUE;
        }
}
