/*
 * netfilter/notify_unix.c - connects unix sockets by path or abstract name.
 *
 * A container engine's socket that is mounted somewhere is a way out under whatever name, so
 * names say nothing. Two things do: the agent's own bind(2) passed here, so a socket that we
 * saw bound is the task's; and the kernel says who listens on a connected socket, 0 being
 * nobody of this pid namespace. To ask it, somebody must be connected: a socket of ours is,
 * and takes the place of the agent's when the answer is good. Only the first connect to a
 * server that we did not see bound loses the agent's options that way.
 */
#include "netfilter/notify.h"

#include "base/wr.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

/* Where the agent wants to: an open file, or an abstract name. */
struct goal {
        struct unix_name name;
        struct stat st; /* of the file */
        union address to;
        socklen_t to_len;
};

static int find_file(struct call *c, const struct sockaddr_un *to, size_t len, struct goal *g)
{
        char path[sizeof(to->sun_path) + 1] = "";
        struct wr w = wr_of(g->to.un.sun_path, sizeof(g->to.un.sun_path) - 1);

        memcpy(path, to->sun_path, len);
        c->file = agent_open(&c->agent, path);
        if (c->file < 0)
                return c->file == -ELOOP || c->file == -EXDEV ? -EACCES : c->file;
        if (fstat(c->file, &g->st) < 0 || !S_ISSOCK(g->st.st_mode))
                return -ECONNREFUSED;
        g->name = (struct unix_name){ .device = g->st.st_dev, .inode = g->st.st_ino };
        g->to.un.sun_family = AF_UNIX;
        wr_str(&w, "/proc/self/fd/");
        wr_u64(&w, (uint64_t)c->file);
        wr_cstr(&w);
        g->to_len = sizeof(g->to.un);
        return 0;
}

static int find_goal(struct call *c, const struct sockaddr_un *to, size_t len, struct goal *g)
{
        size_t name_len = len - offsetof(struct sockaddr_un, sun_path);

        memset(g, 0, sizeof(*g));
        if (len <= offsetof(struct sockaddr_un, sun_path) || len > sizeof(*to))
                return -EINVAL;
        if (to->sun_path[0])
                return find_file(c, to, name_len, g);
        memcpy(&g->to, to, len);
        g->to_len = (socklen_t)len;
        g->name = (struct unix_name){ .text = g->to.un.sun_path + 1, .len = name_len - 1 };
        return 0;
}

/* --- is it the task's? ------------------------------------------------------------------- */

/* A file that was found to be the task's is known by its inode, device and last change. */
static struct msg_address file_mark(const struct goal *g)
{
        uint64_t words[2] = { g->st.st_dev, (uint64_t)g->st.st_ctim.tv_sec * 1000000000U +
                                                    (uint64_t)g->st.st_ctim.tv_nsec };
        struct msg_address mark = { .family = AF_UNIX };

        memcpy(mark.bytes, words, sizeof(words));
        return mark;
}

static bool is_known(struct notifier *n, const struct goal *g)
{
        struct msg_address mark = file_mark(g);
        struct note *known = g->name.text ? NULL : notes_find(&n->inside, g->st.st_ino);

        return known && !memcmp(&known->peer, &mark, sizeof(mark));
}

static void remember(struct notifier *n, const struct goal *g)
{
        struct note *known, evicted;

        if (g->name.text)
                return;
        known = notes_find(&n->inside, g->st.st_ino);
        if (!known)
                known = notes_add(&n->inside, g->st.st_ino, &evicted);
        known->peer = file_mark(g);
}

enum whose { THE_TASKS, UNKNOWN, NOT_HERE /* not in this network namespace, if anywhere */ };

/* Is the socket of this name one that we saw bound? */
static enum whose look_up(struct notifier *n, const struct unix_name *name)
{
        uint64_t socket_inode;

        if (notify_diag_find(n, name, &socket_inode) < 0)
                return UNKNOWN;
        if (!socket_inode)
                return NOT_HERE;
        return notes_find(&n->bound, socket_inode) ? THE_TASKS : UNKNOWN;
}

static enum whose find_out(struct notifier *n, const struct call *c, const struct goal *g)
{
        struct unix_name name = g->name;
        enum whose whose;

        if (is_known(n, g))
                return THE_TASKS;
        whose = look_up(n, &name);
        if (whose == NOT_HERE && !name.text && agent_file_id(c->file, &name.device, &name.inode) &&
            (name.device != g->name.device || name.inode != g->name.inode))
                whose = look_up(n, &name);
        if (whose == THE_TASKS)
                remember(n, g);
        return whose;
}

/* Does a process of this pid namespace listen at the other end? */
static bool peer_is_here(int fd)
{
        struct ucred peer = { .pid = 0 };
        socklen_t len = sizeof(peer);

        return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) && peer.pid > 0;
}

/* --- connect ----------------------------------------------------------------------------- */

static int type_of(const struct stream *s, int *type)
{
        int domain = AF_UNIX;
        socklen_t len = sizeof(domain);

        *type = SOCK_STREAM;
        if (s->note) {
                *type = s->note->type;
                return s->note->domain == AF_UNIX ? 0 : -EAFNOSUPPORT;
        }
        if (getsockopt(s->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
            getsockopt(s->fd, SOL_SOCKET, SO_TYPE, type, &len) < 0)
                return -errno;
        return domain == AF_UNIX ? 0 : -EAFNOSUPPORT;
}

static int in_place(struct notifier *n, struct call *c, struct stream *s, const struct goal *g)
{
        bool kept;
        int r = notify_connect(n, c, s->fd, &g->to, g->to_len, &kept);

        /* Another may have taken an abstract name since. */
        if (!r && g->name.text && !n->task_only && !peer_is_here(s->fd)) {
                shutdown(s->fd, SHUT_RDWR);
                r = -EACCES;
        }
        return notify_release(n, s, r, kept);
}

/* Nobody knows whose server it is: a socket of ours asks, and becomes the agent's. */
static int by_probe(struct notifier *n, struct call *c, int type, const struct goal *g)
{
        int flags, r = agent_flags(&c->agent, (int)c->arg[0], &flags);

        if (r < 0)
                return r;
        AUTO_CLOSE int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, &g->to.any, g->to_len) < 0)
                return -errno;
        if (!peer_is_here(fd))
                return -EACCES;
        if (!(flags & O_NONBLOCK))
                fcntl(fd, F_SETFL, O_RDWR);
        r = agent_put(&c->agent, fd, (int)c->arg[0], flags, false);
        if (r < 0)
                return r;
        remember(n, g);
        return 0;
}

/* A server that we did not see bound: refused, or asked for, and then @s is out of the agent. */
static int ask_first(struct notifier *n, struct call *c, struct stream *s, const struct goal *g,
                     enum whose whose)
{
        struct sockaddr_un other;
        socklen_t len = sizeof(other);
        int type, r = s->fd < 0 ? 0 : type_of(s, &type);

        if (s->fd < 0)
                type = SOCK_STREAM;
        else if (!r && !getpeername(s->fd, (struct sockaddr *)&other, &len))
                r = -EISCONN;
        if (!r)
                r = n->task_only ? whose == NOT_HERE ? -ECONNREFUSED : -EACCES
                                 : by_probe(n, c, type, g);
        if (!r && s->note) {
                close(s->fd);
                notes_drop(&n->held, s->note);
                return 0;
        }
        return notify_release(n, s, r, false);
}

int notify_unix(struct notifier *n, struct call *c, struct stream *s,
                const struct sockaddr_un *to, size_t len)
{
        struct goal g;
        enum whose whose;
        int type, r = find_goal(c, to, len, &g);

        if (r < 0)
                return notify_release(n, s, r, false);
        whose = find_out(n, c, &g);
        if (whose != THE_TASKS)
                return ask_first(n, c, s, &g, whose);
        if (s->fd < 0)
                r = notify_replace(n, c, AF_UNIX, SOCK_STREAM, s);
        else
                r = type_of(s, &type);
        return r < 0 ? notify_release(n, s, r, false) : in_place(n, c, s, &g);
}
