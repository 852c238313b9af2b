/*
 * tests/e2e/notify_legit.c - what programs do with sockets and must go on doing under the
 * notify lock. Each claim prints `ok NAME` or `BAD NAME detail`; exit 0 when all are ok.
 * 198.18.0.1 port 7 echoes; nothing is done about other ports.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int bad;

static void claim(int true, const char *name)
{
        int err = errno;

        if (true)
                printf("ok %s\n", name);
        else
                printf("BAD %s: %s\n", name, strerror(err));
        bad += !true;
        fflush(stdout);
}

static struct sockaddr_in v4(const char *text, int port)
{
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

        inet_pton(AF_INET, text, &a.sin_addr);
        return a;
}

static int to4(int fd, const char *text, int port)
{
        struct sockaddr_in a = v4(text, port);

        return connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static int echoes(int fd)
{
        char buf[5] = "";
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return send(fd, "hello", 5, MSG_NOSIGNAL) == 5 && poll(&p, 1, 5000) == 1 &&
               recv(fd, buf, 5, 0) == 5 && !memcmp(buf, "hello", 5);
}

static int tcp(int flags)
{
        return socket(AF_INET, SOCK_STREAM | flags, 0);
}

static void outward(void)
{
        int fd = tcp(SOCK_CLOEXEC), other, value = 0, r;
        socklen_t len = sizeof(value);
        struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(7) };
        struct epoll_event e = { .events = EPOLLOUT | EPOLLIN };
        struct linger linger = { 1, 3 };
        struct timeval tv = { 7, 0 };

        claim(!to4(fd, "198.18.0.1", 7) && echoes(fd), "blocking connect");
        claim(fcntl(fd, F_GETFD) == FD_CLOEXEC && !(fcntl(fd, F_GETFL) & O_NONBLOCK),
              "flags of the descriptor stay");
        claim(to4(fd, "198.18.0.1", 7) < 0 && errno == EISCONN, "EISCONN the second time");
        close(fd);

        fd = tcp(SOCK_NONBLOCK);
        r = to4(fd, "198.18.0.1", 7);
        claim(!r || errno == EINPROGRESS, "non-blocking connect");
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        claim(poll(&p, 1, 5000) == 1 && !getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len) &&
                      !value, "SO_ERROR is 0");
        claim(echoes(fd) && (fcntl(fd, F_GETFL) & O_NONBLOCK), "and it echoes");
        close(fd);

        fd = tcp(SOCK_NONBLOCK);
        int ep = epoll_create1(0);
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
        epoll_wait(ep, &e, 1, 0); /* EPOLLHUP of an unconnected socket */
        r = to4(fd, "198.18.0.1", 7);
        claim(epoll_wait(ep, &e, 1, 5000) == 1 && e.events & EPOLLOUT, "epoll before connect");
        claim(echoes(fd), "and it echoes too");
        close(fd);
        close(ep);

        fd = tcp(0);
        other = dup(fd);
        claim(!to4(fd, "198.18.0.1", 7) && echoes(other), "a dup'd descriptor is connected too");
        close(fd);
        close(other);

        fd = tcp(0);
        value = 1;
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof(value));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value));
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
        r = to4(fd, "198.18.0.1", 7);
        int keep = 0, nodelay = 0;
        struct linger l = { 0, 0 };
        getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keep, &len);
        getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len);
        len = sizeof(l);
        getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len);
        tv.tv_sec = 0;
        len = sizeof(tv);
        getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len);
        claim(!r && keep && nodelay && l.l_linger == 3 && tv.tv_sec == 7, "options are kept");
        claim(echoes(fd), "and that echoes");
        close(fd);

        fd = socket(AF_INET6, SOCK_STREAM, 0);
        inet_pton(AF_INET6, "2001:db8::7", &a6.sin6_addr);
        claim(!connect(fd, (struct sockaddr *)&a6, sizeof(a6)) && echoes(fd), "an IPv6 address");
        close(fd);
        fd = socket(AF_INET6, SOCK_STREAM, 0);
        value = 1;
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, sizeof(value));
        claim(!connect(fd, (struct sockaddr *)&a6, sizeof(a6)) && echoes(fd), "with V6ONLY");
        close(fd);
        fd = socket(AF_INET6, SOCK_STREAM, 0);
        inet_pton(AF_INET6, "::ffff:198.18.0.1", &a6.sin6_addr);
        claim(!connect(fd, (struct sockaddr *)&a6, sizeof(a6)) && echoes(fd), "a mapped address");
        close(fd);
}

static void bound(void)
{
        struct sockaddr_in a = v4("0.0.0.0", 0), b;
        socklen_t len = sizeof(a);
        int fd = tcp(0), one = 1;

        claim(!bind(fd, (struct sockaddr *)&a, sizeof(a)) &&
                      !getsockname(fd, (struct sockaddr *)&a, &len) && a.sin_port, "bind to any");
        close(fd);
        fd = tcp(0);
        claim(!bind(fd, (struct sockaddr *)&a, sizeof(a)) && !listen(fd, 5), "bind, close, bind");
        close(fd);
        fd = tcp(0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        claim(!bind(fd, (struct sockaddr *)&a, sizeof(a)) && !to4(fd, "198.18.0.1", 7) &&
                      echoes(fd), "bind and connect");
        len = sizeof(b);
        claim(!getsockname(fd, (struct sockaddr *)&b, &len) && b.sin_port == a.sin_port,
              "from the port that was bound");
        close(fd);
}

static int listener(struct sockaddr_in *a, const char *at, int backlog)
{
        int fd = tcp(0), one = 1;
        socklen_t len = sizeof(*a);

        *a = v4(at, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, (struct sockaddr *)a, sizeof(*a)) < 0 || listen(fd, backlog) < 0 ||
            getsockname(fd, (struct sockaddr *)a, &len) < 0)
                return -1;
        return fd;
}

static int server_of_thread;

static void *accept_late(void *unused)
{
        usleep(300000);
        for (int i = 0; i < 4; i++)
                close(accept(server_of_thread, NULL, NULL));
        return unused;
}

static void local(void)
{
        struct sockaddr_in a;
        socklen_t len = sizeof(a);
        int server = listener(&a, "127.0.0.1", 5), fd = tcp(0), in, value;
        char c;

        claim(!connect(fd, (struct sockaddr *)&a, sizeof(a)), "connect to a server of one's own");
        in = accept(server, NULL, NULL);
        claim(write(in, "x", 1) == 1 && read(fd, &c, 1) == 1 && c == 'x', "and be answered");
        close(in);
        claim(read(fd, &c, 1) == 0, "its end is seen");
        close(fd);

        fd = tcp(0);
        int to = to4(fd, "0.0.0.0", ntohs(a.sin_port));
        claim(!to, "0.0.0.0 is oneself");
        close(fd);
        close(accept(server, NULL, NULL));
        close(server);
        fd = tcp(0);
        claim(connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == ECONNREFUSED,
              "nobody listens");
        server = tcp(0);
        value = 1;
        setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value));
        claim(!bind(server, (struct sockaddr *)&a, sizeof(a)) && !listen(server, 5) &&
                      !connect(fd, (struct sockaddr *)&a, sizeof(a)), "the same socket again");
        close(fd);
        close(server);

        fd = tcp(SOCK_NONBLOCK);
        value = 0;
        if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
                value = -1;
        else if (errno == EINPROGRESS) {
                struct pollfd p = { .fd = fd, .events = POLLOUT };

                len = sizeof(value);
                poll(&p, 1, 3000);
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len);
        } else
                value = errno;
        claim(value == ECONNREFUSED, "nobody listens, non-blocking");
        close(fd);

        /* The queue of the server is full: a blocking connect waits, and nobody else does. */
        pthread_t t;
        int fds[4];
        server_of_thread = listener(&a, "127.0.0.1", 1);
        for (int i = 0; i < 2; i++)
                connect(fds[i] = tcp(0), (struct sockaddr *)&a, sizeof(a));
        pthread_create(&t, NULL, accept_late, NULL);
        fds[2] = tcp(0);
        claim(!connect(fds[2], (struct sockaddr *)&a, sizeof(a)), "a full queue is waited for");
        fds[3] = tcp(0);
        connect(fds[3], (struct sockaddr *)&a, sizeof(a));
        pthread_join(t, NULL);
        for (int i = 0; i < 4; i++)
                close(fds[i]);
        close(server_of_thread);

        struct sockaddr none = { .sa_family = AF_UNSPEC };
        server = listener(&a, "127.0.0.1", 5);
        fd = tcp(0);
        connect(fd, (struct sockaddr *)&a, sizeof(a));
        claim(!connect(fd, &none, sizeof(none)), "disconnect");
        close(fd);
        close(server);

        struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
        len = sizeof(a6);
        server = socket(AF_INET6, SOCK_STREAM, 0);
        if (!bind(server, (struct sockaddr *)&a6, sizeof(a6))) {
                listen(server, 5);
                getsockname(server, (struct sockaddr *)&a6, &len);
                fd = socket(AF_INET6, SOCK_STREAM, 0);
                claim(!connect(fd, (struct sockaddr *)&a6, sizeof(a6)), "::1");
                close(fd);
        }
        close(server);
        fd = tcp(0);
        struct sockaddr_in6 wrong = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
        claim(connect(fd, (struct sockaddr *)&wrong, sizeof(wrong)) < 0 && errno == EAFNOSUPPORT,
              "another family's address");
        claim(connect(fd, (struct sockaddr *)&a, 4) < 0 && errno == EINVAL, "a short address");
        claim(connect(-1, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == EBADF, "no descriptor");
        claim(connect(1, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == ENOTSOCK, "no socket");
        claim(connect(fd, (struct sockaddr *)8, sizeof(a)) < 0 && errno == EFAULT, "no memory");
        close(fd);
}

static socklen_t un(struct sockaddr_un *a, const char *path)
{
        memset(a, 0, sizeof(*a));
        a->sun_family = AF_UNIX;
        if (*path == '@') { /* abstract */
                strcpy(a->sun_path + 1, path + 1);
                return offsetof(struct sockaddr_un, sun_path) + strlen(path);
        }
        strcpy(a->sun_path, path);
        return sizeof(*a);
}

static void unix_once(const char *bind_path, const char *path, int type, const char *name)
{
        struct sockaddr_un a;
        socklen_t len = un(&a, bind_path);
        int server = socket(AF_UNIX, type, 0), fd, in, more;
        struct epoll_event e = { .events = EPOLLIN };
        int ep = epoll_create1(0);
        char c = 0;

        if (*bind_path != '@')
                unlink(bind_path);
        if (bind(server, (struct sockaddr *)&a, len) < 0 || listen(server, 5) < 0) {
                claim(0, name);
                return;
        }
        len = un(&a, path);
        fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
        int r = connect(fd, (struct sockaddr *)&a, len);
        in = r ? -1 : accept(server, NULL, NULL);
        fcntl(server, F_SETFL, O_RDWR | O_NONBLOCK);
        more = accept(server, NULL, NULL);
        r = !r && write(in, "x", 1) == 1 && epoll_wait(ep, &e, 1, 3000) == 1 &&
            read(fd, &c, 1) == 1 && c == 'x' && more < 0;
        claim(r, name);
        struct ucred peer = { .uid = 4242 };
        len = sizeof(peer);
        getsockopt(in, SOL_SOCKET, SO_PEERCRED, &peer, &len);
        if (peer.uid != getuid())
                claim(0, "the server sees the agent's user");
        close(in);
        close(fd);
        close(server);
        close(ep);
        fd = socket(AF_UNIX, type, 0);
        len = un(&a, path);
        if (!connect(fd, (struct sockaddr *)&a, len) || errno != ECONNREFUSED)
                claim(0, "a server that is gone refuses");
        close(fd);
}

static void *accept_unix_late(void *unused)
{
        usleep(200000);
        for (int i = 0; i < 3; i++)
                close(accept(server_of_thread, NULL, NULL));
        return unused;
}

/* The server's queue is full: who may wait waits, who may not is told so. */
static void full_unix_queue(void)
{
        struct sockaddr_un a;
        socklen_t len = un(&a, "full");
        int fds[4], n = 0, r;
        pthread_t t;

        server_of_thread = socket(AF_UNIX, SOCK_STREAM, 0);
        unlink("full");
        if (bind(server_of_thread, (struct sockaddr *)&a, len) || listen(server_of_thread, 1))
                claim(0, "a unix server");
        for (r = 0; !r && n < 4; n += !r) {
                fds[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
                r = connect(fds[n], (struct sockaddr *)&a, len);
        }
        claim(n == 2 && errno == EAGAIN, "a full unix queue is told");
        close(fds[n]);
        pthread_create(&t, NULL, accept_unix_late, NULL);
        fds[n] = socket(AF_UNIX, SOCK_STREAM, 0);
        claim(!connect(fds[n], (struct sockaddr *)&a, len), "a full unix queue is waited for");
        pthread_join(t, NULL);
        close(server_of_thread);
        for (int i = 0; i <= n; i++)
                close(fds[i]);
        unlink("full");
}

static void local_unix(void)
{
        struct sockaddr_un a;
        char dir[] = "/tmp/legit.XXXXXX", proc[64], buf[8] = "";
        int ends[2], fd;

        if (!mkdtemp(dir) || chdir(dir) < 0)
                exit(9);
        full_unix_queue();
        unix_once("s1", "s1", SOCK_STREAM, "a unix server by a relative path");
        char path[64];
        snprintf(path, sizeof(path), "%s/s2", dir);
        unix_once(path, path, SOCK_STREAM, "by an absolute path");
        unix_once(path, path, SOCK_SEQPACKET, "of packets");
        fd = open(dir, O_PATH | O_DIRECTORY);
        snprintf(proc, sizeof(proc), "/proc/self/fd/%d/s2", fd);
        unix_once(path, proc, SOCK_STREAM, "by /proc/self/fd");
        close(fd);
        if (symlink(path, "link")) {
        }
        unix_once(path, "link", SOCK_STREAM, "by a link");
        snprintf(proc, sizeof(proc), "@legit%d", getpid());
        unix_once(proc, proc, SOCK_STREAM, "by an abstract name");
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        socklen_t len = un(&a, "nothing");
        claim(connect(fd, (struct sockaddr *)&a, len) < 0 && errno == ENOENT, "no such socket");
        close(fd);

        claim(!socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) && write(ends[0], "ab", 2) == 2 &&
                      write(ends[0], "c", 1) == 1 && read(ends[1], buf, 8) == 2 &&
                      read(ends[1], buf, 8) == 1, "a pair of datagram sockets");
        close(ends[0]);
        close(ends[1]);
        claim(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "a pair of streams");
        close(ends[0]);
        close(ends[1]);
        unlink("s1");
        unlink("s2");
        unlink("link");
        if (chdir("/") || rmdir(dir)) {
        }
}

static void *resolve(void *wrong)
{
        for (int i = 0; i < 20; i++) {
                struct addrinfo *list, hints = { .ai_family = i % 2 ? AF_UNSPEC : AF_INET,
                                                 .ai_socktype = SOCK_STREAM };
                char host[32];

                snprintf(host, sizeof(host), "h%d.example", i);
                if (getaddrinfo(host, "80", &hints, &list)) {
                        __atomic_add_fetch((int *)wrong, 1, __ATOMIC_SEQ_CST);
                        continue;
                }
                freeaddrinfo(list);
        }
        return NULL;
}

static void names(void)
{
        pthread_t t[8];
        int wrong = 0, fd;
        struct sockaddr_in a = v4("8.8.8.8", 80);
        socklen_t len = sizeof(a);

        for (int i = 0; i < 8; i++)
                pthread_create(&t[i], NULL, resolve, &wrong);
        for (int i = 0; i < 8; i++)
                pthread_join(t[i], NULL);
        claim(!wrong, "160 names from 8 threads");
        fd = socket(AF_INET, SOCK_DGRAM, 0);
        claim(getpeername(fd, (struct sockaddr *)&a, &len) < 0 && errno == ENOTCONN, "ENOTCONN");
        a = v4("8.8.8.8", 80);
        claim(!connect(fd, (struct sockaddr *)&a, sizeof(a)) &&
                      !getsockname(fd, (struct sockaddr *)&a, &len) &&
                      a.sin_family == AF_INET && a.sin_addr.s_addr, "which address is mine?");
        int type = 0;
        len = sizeof(type);
        claim(!getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_DGRAM, "SO_TYPE");
        close(fd);
}

static void *connect_in_thread(void *failed)
{
        for (int i = 0; i < 25; i++) {
                int fd = tcp(0);

                if (to4(fd, "198.18.0.1", 7) || !echoes(fd))
                        __atomic_add_fetch((int *)failed, 1, __ATOMIC_SEQ_CST);
                close(fd);
        }
        return NULL;
}

static void processes(void)
{
        pthread_t t[16];
        int failed = 0, fd = tcp(0), status = -1;

        for (int i = 0; i < 16; i++)
                pthread_create(&t[i], NULL, connect_in_thread, &failed);
        for (int i = 0; i < 16; i++)
                pthread_join(t[i], NULL);
        claim(!failed, "400 connects from 16 threads");
        pid_t pid = fork();
        if (!pid)
                _exit(to4(fd, "198.18.0.1", 7) ? 1 : 0);
        waitpid(pid, &status, 0);
        claim(!status && echoes(fd), "a socket that a child connected");
        close(fd);
        pid = vfork();
        if (!pid) {
                fd = tcp(0);
                _exit(to4(fd, "198.18.0.1", 7) ? 1 : 0);
        }
        waitpid(pid, &status, 0);
        claim(!status, "connect after vfork");
        claim(!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "hide the memory");
        fd = tcp(0);
        claim(!to4(fd, "198.18.0.1", 7) && echoes(fd), "and connect all the same");
        close(fd);
}

int main(void)
{
        signal(SIGPIPE, SIG_IGN);
        alarm(50);
        outward();
        bound();
        local();
        local_unix();
        names();
        processes();
        return bad ? 1 : 0;
}
