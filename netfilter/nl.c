/* netfilter/nl.c - writes netlink messages, and reads what comes back. */
#include "netfilter/nl.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define ALIGN4(n) (((n) + 3U) & ~(size_t)3U)
#define NESTED 0x8000U /* NLA_F_NESTED as the unsigned number that it is */

struct nl nl_of(void *buf, size_t cap)
{
        return (struct nl){ .w = wr_of(buf, cap) };
}

/* Patches what was written before its value was known. */
static void patch(struct nl *n, size_t at, const void *value, size_t len)
{
        if (!n->w.full)
                memcpy(n->w.buf + at, value, len);
}

static void pad(struct nl *n)
{
        static const char zeros[4];

        wr_bytes(&n->w, zeros, ALIGN4(n->w.len) - n->w.len);
}

void nl_close(struct nl *n)
{
        uint32_t len = (uint32_t)(n->w.len - n->message);

        if (len)
                patch(n, n->message + offsetof(struct nlmsghdr, nlmsg_len), &len, sizeof(len));
        n->message = n->w.len;
}

void nl_message(struct nl *n, uint16_t type, uint16_t flags, const void *head, size_t head_len)
{
        struct nlmsghdr h = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags };

        nl_close(n);
        h.nlmsg_seq = ++n->seq;
        wr_bytes(&n->w, &h, sizeof(h));
        wr_bytes(&n->w, head, head_len);
        pad(n);
}

void nl_ask(struct nl *n)
{
        size_t at = n->message + offsetof(struct nlmsghdr, nlmsg_flags);
        uint16_t flags;

        n->ack = n->seq;
        if (n->w.full)
                return;
        memcpy(&flags, n->w.buf + at, sizeof(flags));
        flags |= NLM_F_ACK;
        patch(n, at, &flags, sizeof(flags));
}

void nl_put(struct nl *n, uint16_t type, const void *value, size_t len)
{
        uint16_t head[2] = { (uint16_t)(4 + len), type };

        wr_bytes(&n->w, head, sizeof(head));
        wr_bytes(&n->w, value, len);
        pad(n);
}

void nl_put_str(struct nl *n, uint16_t type, const char *value)
{
        nl_put(n, type, value, strlen(value) + 1);
}

void nl_put_be32(struct nl *n, uint16_t type, uint32_t value)
{
        uint8_t b[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                         (uint8_t)value };

        nl_put(n, type, b, sizeof(b));
}

size_t nl_nest(struct nl *n, uint16_t type)
{
        size_t nest = n->w.len;

        nl_put(n, (uint16_t)(type | NESTED), NULL, 0);
        return nest;
}

void nl_nested(struct nl *n, size_t nest)
{
        uint16_t len = (uint16_t)(n->w.len - nest);

        patch(n, nest, &len, sizeof(len));
}

bool nl_attribute(struct rd *r, uint16_t *type, struct rd *value)
{
        uint16_t head[2];
        const uint8_t *b = rd_left(r) ? rd_bytes(r, sizeof(head)) : NULL;

        if (!b)
                return false;
        memcpy(head, b, sizeof(head));
        if (head[0] < sizeof(head)) {
                r->bad = true;
                return false;
        }
        *type = head[1] & 0x3fff; /* without NLA_F_NESTED and NLA_F_NET_BYTEORDER */
        *value = rd_sub(r, head[0] - sizeof(head));
        if (value->bad)
                return false;
        /* The padding behind the last one may be missing. */
        b = rd_bytes(r, ALIGN4(head[0]) - head[0] < rd_left(r) ? ALIGN4(head[0]) - head[0]
                                                               : rd_left(r));
        return b != NULL;
}

int nl_open(int protocol)
{
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
        int on = 1;

        if (fd < 0)
                return -errno;
        /* An ack without the message that it is about; old kernels send both. */
        setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
        return fd;
}

int nl_adopt(int lent)
{
        AUTO_CLOSE int fd = fcntl(lent, F_DUPFD_CLOEXEC, 3);
        int on = 1;

        if (fd < 0 || setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)) < 0)
                return -errno;
        return fd_take(&fd);
}

/* Takes the next message off a datagram. False when there is none. */
static bool take_message(struct rd *r, struct nlmsghdr *h, struct rd *body)
{
        const uint8_t *b = rd_left(r) ? rd_bytes(r, sizeof(*h)) : NULL;

        if (!b)
                return false;
        memcpy(h, b, sizeof(*h));
        if (h->nlmsg_len < sizeof(*h)) {
                r->bad = true;
                return false;
        }
        *body = rd_sub(r, h->nlmsg_len - sizeof(*h));
        if (body->bad)
                return false;
        if (rd_left(r))
                rd_bytes(r, ALIGN4(h->nlmsg_len) - h->nlmsg_len);
        return !r->bad;
}

enum nl_verdict nl_judge(const void *datagram, size_t len, uint32_t ack, int *err)
{
        struct rd r = rd_of(datagram, len), body;
        enum nl_verdict verdict = NL_WAIT;
        struct nlmsghdr h;

        while (take_message(&r, &h, &body)) {
                const uint8_t *b;
                int32_t error;

                if (h.nlmsg_type != NLMSG_ERROR)
                        continue;
                b = rd_bytes(&body, sizeof(error));
                if (!b)
                        return NL_MALFORMED;
                memcpy(&error, b, sizeof(error));
                if (error) {
                        /* A positive one would be no errno; it is no success either. */
                        *err = error < 0 && error > -4096 ? error : -EPROTO;
                        return NL_FAILED;
                }
                if (h.nlmsg_seq == ack)
                        verdict = NL_DONE;
        }
        return r.bad ? NL_MALFORMED : verdict;
}

static int send_all(int fd, struct nl *n)
{
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        ssize_t sent;

        nl_close(n);
        if (n->w.full)
                return -EMSGSIZE;
        do {
                sent = sendto(fd, n->w.buf, n->w.len, 0, (struct sockaddr *)&kernel,
                              sizeof(kernel));
        } while (sent < 0 && errno == EINTR);
        if (sent < 0)
                return -errno;
        return (size_t)sent == n->w.len ? 0 : -EIO;
}

/* One datagram of the kernel's, and of nobody else's. Its length, or -errno. */
static ssize_t receive(int fd, void *buf, size_t cap, int64_t deadline_ms)
{
        for (;;) {
                struct sockaddr_nl from = { 0 };
                socklen_t from_len = sizeof(from);
                struct pollfd p = { .fd = fd, .events = POLLIN };
                int64_t left = deadline_ms - (int64_t)now_ms();
                ssize_t n;

                if (poll(&p, 1, left > 0 ? (int)left : 0) == 0)
                        return -ETIMEDOUT;
                n = recvfrom(fd, buf, cap, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from,
                             &from_len);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        continue;
                if (n < 0)
                        return -errno;
                if (from.nl_pid)
                        continue;
                return (size_t)n <= cap ? n : -EMSGSIZE;
        }
}

int nl_transact(int fd, struct nl *n, int ms)
{
        static LARGE_BUFFER uint32_t reply[NL_REPLY_MAX / 4];
        int64_t deadline = (int64_t)now_ms() + ms;
        enum nl_verdict verdict = NL_WAIT;
        int failed = 0, r = send_all(fd, n);

        if (r < 0)
                return r;
        /*
         * Answers are queued before sendto() returns, and the awaited one need not be the
         * last: what stands behind it is read too, without waiting, so that no error is
         * missed and none is left for the next transaction.
         */
        for (;;) {
                bool waiting = verdict == NL_WAIT && !failed;
                ssize_t got = receive(fd, reply, sizeof(reply), waiting ? deadline : 0);

                if (got == -ETIMEDOUT && !waiting)
                        return failed;
                if (got < 0)
                        return failed ? failed : (int)got;
                switch (nl_judge(reply, (size_t)got, n->ack, &r)) {
                case NL_WAIT:
                        break;
                case NL_DONE:
                        verdict = NL_DONE;
                        break;
                case NL_FAILED:
                        failed = failed ? failed : r;
                        break;
                case NL_MALFORMED:
                        failed = failed ? failed : -EPROTO;
                        break;
                }
        }
}

int nl_dump_open(struct nl_dump *d, int fd, struct nl *n, void *buf, size_t cap, int ms)
{
        *d = (struct nl_dump){ .fd = fd, .seq = n->seq, .deadline_ms = (int64_t)now_ms() + ms,
                               .buf = buf, .cap = cap, .rest = rd_of(buf, 0) };
        return send_all(fd, n);
}

int nl_dump_next(struct nl_dump *d, uint16_t *type, struct rd *body)
{
        for (;;) {
                struct nlmsghdr h;
                ssize_t got;

                while (take_message(&d->rest, &h, body)) {
                        int32_t error = 0;
                        const uint8_t *b;

                        if (h.nlmsg_seq != d->seq)
                                continue;
                        if (h.nlmsg_flags & NLM_F_DUMP_INTR)
                                return -EINTR;
                        if (h.nlmsg_type != NLMSG_DONE && h.nlmsg_type != NLMSG_ERROR) {
                                *type = h.nlmsg_type;
                                return 1;
                        }
                        /* An error where a dump should be: an ack of 0 is none. */
                        b = rd_left(body) ? rd_bytes(body, sizeof(error)) : NULL;
                        if (b)
                                memcpy(&error, b, sizeof(error));
                        if (error)
                                return error < 0 && error > -4096 ? error : -EPROTO;
                        return h.nlmsg_type == NLMSG_DONE ? 0 : -EPROTO;
                }
                if (d->rest.bad)
                        return -EPROTO;
                got = receive(d->fd, d->buf, d->cap, d->deadline_ms);
                if (got < 0)
                        return (int)got;
                d->rest = rd_of(d->buf, (size_t)got);
        }
}
