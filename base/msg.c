/* base/msg.c - messages of one size, and at most one descriptor, over SOCK_SEQPACKET. */
#include "base/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

union control {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 4)];
};

int msg_send(int channel, const struct msg *m, int fd)
{
        struct iovec io = { (void *)(uintptr_t)m, sizeof(*m) };
        union control control = { 0 };
        struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1 };
        ssize_t n;

        if (fd >= 0) {
                struct cmsghdr *c = &control.align;

                h.msg_control = control.bytes;
                h.msg_controllen = CMSG_SPACE(sizeof(int));
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(c), &fd, sizeof(int));
        }
        do
                n = sendmsg(channel, &h, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

/*
 * Takes the first descriptor and closes any other; returns how many there were. The
 * kernel puts all of a message's descriptors into one header, and no other kind comes.
 */
static unsigned take_descriptors(struct msghdr *h, int *fd)
{
        const struct cmsghdr *c = CMSG_FIRSTHDR(h);
        unsigned count = 0;

        if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                return 0;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
                int one;

                memcpy(&one, (const char *)c + at, sizeof(one));
                if (!count++)
                        *fd = one;
                else
                        close(one);
        }
        return count;
}

int msg_receive(int channel, struct msg *m, int *fd)
{
        struct iovec io = { m, sizeof(*m) };
        union control control;
        struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes) };
        unsigned count;
        ssize_t n;

        *fd = -1;
        do
                n = recvmsg(channel, &h, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        count = take_descriptors(&h, fd);
        if (n == sizeof(*m) && count <= 1 && !(h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
            memchr(m->text, '\0', sizeof(m->text)))
                return 0;
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
        return n ? -EPROTO : -EPIPE;
}

int msg_ask(int channel, const struct msg *m, int fd, int ms)
{
        struct pollfd p = { .fd = channel, .events = POLLIN };
        struct msg answer;
        int got, r = msg_send(channel, m, fd);

        if (r < 0)
                return r;
        do
                r = poll(&p, 1, ms);
        while (r < 0 && errno == EINTR);
        if (r <= 0)
                return r ? -errno : -ETIMEDOUT;
        r = msg_receive(channel, &answer, &got);
        if (r < 0)
                return r;
        if (got >= 0)
                close(got);
        return answer.type == MSG_DONE ? -answer.error : -EPROTO;
}

int msg_client(int channel)
{
        struct msg client = { .type = MSG_CLIENT };
        int ends[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        r = fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : msg_send(channel, &client, ends[1]);
        close(ends[1]);
        if (r < 0)
                close(ends[0]);
        return r < 0 ? r : ends[0];
}
