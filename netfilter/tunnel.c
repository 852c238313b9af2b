/*
 * netfilter/tunnel.c - bytes both ways, unread.
 *
 * What the buffers hold from before goes first. Then each way is socket, pipe, socket by
 * splice(2), so that bytes are not copied; where the kernel can't (an odd socket, gVisor)
 * they go through a buffer. A pipe is held only while it holds bytes, and while it does the
 * reader is not armed: that is the backpressure.
 */
#include "netfilter/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define ONE_MOVE ((size_t)256 * 1024) /* bytes, then others have their turn */

struct way {
        struct side *from, *to;
        struct buf **in, **out; /* from before: in first, unless it is what out came from */
        struct pipe *pipe;
        uint64_t *count;
};

static struct way up_way(struct conn *c)
{
        return (struct way){ &c->client, &c->server, &c->up_in, &c->up_out, &c->up_pipe,
                             &c->up };
}

static struct way down_way(struct conn *c)
{
        return (struct way){ &c->server, &c->client, &c->down_in, &c->down_out, &c->down_pipe,
                             &c->down };
}

static bool way_pending(const struct way *w)
{
        return *w->in || *w->out || w->pipe->pending;
}

/* What is left in the buffers. 0 or -errno. */
static int drain_buffers(struct way *w)
{
        int r = conn_flush(w->to, w->out);

        if (r < 0 || *w->out || !*w->in)
                return r;
        *w->count += buf_len(*w->in);
        *w->out = *w->in;
        *w->in = NULL;
        return conn_flush(w->to, w->out);
}

static int drain_pipe(struct way *w)
{
        while (w->pipe->pending) {
                ssize_t n = splice(w->pipe->out, NULL, w->to->fd, NULL, w->pipe->pending,
                                   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                w->pipe->pending -= (uint32_t)n;
        }
        pipe_give(w->pipe);
        return 0;
}

static int copy_in(struct way *w)
{
        ssize_t n = conn_read(w->from, w->in);

        if (n < 0)
                return (int)n;
        return drain_buffers(w);
}

/* Takes from the socket into the pipe, and from there on. 0 or -errno. */
static int splice_in(struct way *w)
{
        ssize_t n;

        if (w->pipe->in < 0) {
                int r = pipe_take(w->pipe);

                if (r < 0)
                        return r;
        }
        do
                n = splice(w->from->fd, NULL, w->pipe->in, NULL, ONE_MOVE,
                           SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        while (n < 0 && errno == EINTR);
        if (n > 0) {
                w->pipe->pending = (uint32_t)n;
                *w->count += (uint64_t)n;
                return drain_pipe(w);
        }
        pipe_give(w->pipe);
        if (n == 0)
                w->from->eof = true;
        else if (errno != EAGAIN)
                return -errno;
        return 0;
}

static int way_move(struct conn *c, struct way *w, bool readable)
{
        int r = drain_buffers(w);

        if (r == 0 && w->pipe->pending)
                r = drain_pipe(w);
        if (r < 0 || way_pending(w) || !readable || w->from->eof)
                return r;
        r = c->copying ? copy_in(w) : splice_in(w);
        if (r == -EINVAL || r == -ENOSYS || r == -EMFILE || r == -ENFILE) {
                c->copying = true;
                r = copy_in(w);
        }
        return r;
}

/* The end goes on once everything before it did. */
static void way_end(struct way *w)
{
        if (!w->from->eof || w->to->shut || way_pending(w))
                return;
        shutdown(w->to->fd, SHUT_WR);
        w->to->shut = true;
}

static void way_arm(const struct way *w, uint32_t *from, uint32_t *to)
{
        if (way_pending(w))
                *to |= EPOLLOUT;
        else if (!w->from->eof)
                *from |= EPOLLIN;
}

static void arm(struct proxy *p, struct conn *c)
{
        struct way up = up_way(c), down = down_way(c);
        uint32_t client = 0, server = 0;

        way_arm(&up, &client, &server);
        way_arm(&down, &server, &client);
        conn_arm(p, c, &c->client, client);
        conn_arm(p, c, &c->server, server);
}

static void settle(struct proxy *p, struct conn *c, int r)
{
        struct way up = up_way(c), down = down_way(c);

        if (r < 0) {
                conn_reset(p, c); /* one side broke: the other may know */
                return;
        }
        way_end(&up);
        way_end(&down);
        if (c->client.shut && c->server.shut) {
                conn_close(p, c);
                return;
        }
        if (c->client.shut || c->server.shut)
                conn_wait(p, c, WAIT_HALF);
        arm(p, c);
}

void tunnel_event(struct proxy *p, struct conn *c, bool client, uint32_t events)
{
        struct way up = up_way(c), down = down_way(c);
        bool readable = events & (EPOLLIN | EPOLLHUP | EPOLLERR);
        int r = way_move(c, &up, client && readable);

        if (r == 0)
                r = way_move(c, &down, !client && readable);
        settle(p, c, r);
}

void tunnel_begin(struct proxy *p, struct conn *c)
{
        conn_go(c, CONN_TUNNEL);
        conn_no_deadline(c);
        c->relayed = true;
        /* Both may have spoken already: the client often sends its hello with CONNECT. */
        tunnel_event(p, c, true, 0);
}
