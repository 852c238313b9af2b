/* netfilter/sock.c - sockets by address and port. */
#include "netfilter/sock.h"

#include "base/rd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define ORIGINAL_DST 80 /* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST */
#define BACKLOG 4096

static uint32_t the_mark;

void sock_mark(uint32_t mark)
{
        the_mark = mark;
}

socklen_t endpoint_to(const struct endpoint *e, struct sockaddr_storage *s)
{
        memset(s, 0, sizeof(*s));
        if (e->address.family == 4) {
                struct sockaddr_in *in = (struct sockaddr_in *)s;

                in->sin_family = AF_INET;
                in->sin_port = htons(e->port);
                memcpy(&in->sin_addr, e->address.byte, 4);
                return sizeof(*in);
        }
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)s;

        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(e->port);
        memcpy(&in6->sin6_addr, e->address.byte, 16);
        return sizeof(*in6);
}

void endpoint_of(struct endpoint *e, const struct sockaddr_storage *s)
{
        *e = (struct endpoint){ 0 };
        if (s->ss_family == AF_INET) {
                const struct sockaddr_in *in = (const struct sockaddr_in *)s;

                e->address = address_of_v4((const uint8_t *)&in->sin_addr);
                e->port = ntohs(in->sin_port);
        } else if (s->ss_family == AF_INET6) {
                const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)s;

                e->address = address_of_v6((const uint8_t *)&in6->sin6_addr);
                e->port = ntohs(in6->sin6_port);
        }
}

static int set(int fd, int level, int option, int value)
{
        return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

void sock_tune(int fd)
{
        /* A unix socket knows none of these, and loses nothing by it. */
        if (set(fd, IPPROTO_TCP, TCP_NODELAY, 1) < 0 ||
            set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) < 0 ||
            set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60) < 0)
                return;
}

int sock_outside(const struct address *a, int type)
{
        AUTO_CLOSE int fd = socket(a->family == 4 ? AF_INET : AF_INET6,
                                   type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int r;

        if (fd < 0)
                return -errno;
        if (the_mark) {
                r = set(fd, SOL_SOCKET, SO_MARK, (int)the_mark);
                if (r < 0)
                        return r;
        }
        if (type == SOCK_STREAM)
                sock_tune(fd);
        return fd_take(&fd);
}

int sock_connect(int fd, const struct endpoint *to)
{
        struct sockaddr_storage s;
        socklen_t len = endpoint_to(to, &s);

        if (connect(fd, (struct sockaddr *)&s, len) == 0 || errno == EINPROGRESS)
                return 0;
        return -errno;
}

int sock_progress(int fd, const struct endpoint *to)
{
        struct sockaddr_storage s;
        socklen_t len = endpoint_to(to, &s);

        if (connect(fd, (struct sockaddr *)&s, len) == 0 || errno == EISCONN)
                return 0;
        return -errno;
}

int sock_error(int fd)
{
        int err = 0;
        socklen_t len = sizeof(err);

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
                return -errno;
        return -err;
}

int sock_nonblocking(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static int bound(const struct endpoint *at, int type)
{
        struct sockaddr_storage s;
        socklen_t len = endpoint_to(at, &s);
        AUTO_CLOSE int fd = socket(s.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        if ((type == SOCK_STREAM && set(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0) ||
            (s.ss_family == AF_INET6 && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0))
                return -errno;
        if (bind(fd, (struct sockaddr *)&s, len) < 0)
                return -errno;
        return fd_take(&fd);
}

int sock_listen(const struct endpoint *at)
{
        AUTO_CLOSE int fd = bound(at, SOCK_STREAM);

        if (fd < 0)
                return fd;
        return listen(fd, BACKLOG) < 0 ? -errno : fd_take(&fd);
}

int sock_bind_udp(const struct endpoint *at)
{
        AUTO_CLOSE int fd = bound(at, SOCK_DGRAM);
        int r;

        if (fd < 0)
                return fd;
        r = at->address.family == 4 ? set(fd, IPPROTO_IP, IP_PKTINFO, 1)
                                    : set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        return r < 0 ? r : fd_take(&fd);
}

int sock_listen_unix(const char *path)
{
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        size_t len = strlen(path);
        struct stat st;

        if (!len || len >= sizeof(un.sun_path))
                return -ENAMETOOLONG;
        memcpy(un.sun_path, path, len + 1);
        AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        /* The socket of a proxy that is gone; another kind of file stays, and stops us. */
        if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
            connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0 && errno == ECONNREFUSED &&
            unlink(path) < 0)
                return -errno;
        if (bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
                return -errno;
        return listen(fd, BACKLOG) < 0 ? -errno : fd_take(&fd);
}

int sock_local(int fd, struct endpoint *e)
{
        struct sockaddr_storage s = { 0 };
        socklen_t len = sizeof(s);

        if (getsockname(fd, (struct sockaddr *)&s, &len) < 0)
                return -errno;
        endpoint_of(e, &s);
        return 0;
}

int sock_peer(int fd, struct endpoint *e)
{
        struct sockaddr_storage s = { 0 };
        socklen_t len = sizeof(s);

        if (getpeername(fd, (struct sockaddr *)&s, &len) < 0)
                return -errno;
        endpoint_of(e, &s);
        return 0;
}

int sock_original(int fd, struct endpoint *e)
{
        struct sockaddr_storage local = { 0 }, s = { 0 };
        socklen_t len = sizeof(local);
        bool v4;

        if (getsockname(fd, (struct sockaddr *)&local, &len) < 0)
                return -errno;
        v4 = local.ss_family == AF_INET;
        len = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if (getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, ORIGINAL_DST, &s, &len) < 0)
                return -errno;
        endpoint_of(e, &s);
        return 0;
}

void sock_reset(int fd)
{
        struct linger hard = { .l_onoff = 1 };

        if (fd < 0)
                return;
        /* An AF_UNIX socket has no reset: its end is enough. */
        if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) < 0)
                shutdown(fd, SHUT_RDWR);
        close(fd);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
        return a->port == b->port && address_equal(&a->address, &b->address);
}

uint32_t endpoint_v4(const struct endpoint *e)
{
        struct rd r = rd_of(e->address.byte, 4);

        return e->address.family == 4 ? rd_be32(&r) : 0;
}

void endpoint_put(struct wr *w, const struct endpoint *e)
{
        bool v6 = e->address.family == 6;

        if (v6)
                wr_char(w, '[');
        address_put(w, &e->address);
        wr_fmt(w, v6 ? "]:%u" : ":%u", (unsigned)e->port);
}

static bool port_parse(uint16_t *port, const char *text)
{
        unsigned n = 0;

        if (!*text || strlen(text) > 5)
                return false;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return false;
                n = n * 10 + (unsigned)(*text - '0');
        }
        *port = (uint16_t)n;
        return n <= UINT16_MAX;
}

bool endpoint_parse(struct endpoint *e, const char *text)
{
        static const uint8_t loopback[4] = { 127, 0, 0, 1 };
        const char *colon = strrchr(text, ':');
        size_t len = colon ? (size_t)(colon - text) : 0;

        *e = (struct endpoint){ .address = address_of_v4(loopback) };
        if (!port_parse(&e->port, colon ? colon + 1 : text))
                return false;
        if (!len)
                return true;
        if (text[0] == '[' && len > 2 && text[len - 1] == ']') {
                text++;
                len -= 2;
        }
        return address_parse(&e->address, text, len) == ADDRESS_OK;
}
