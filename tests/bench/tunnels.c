/*
 * tests/bench/tunnels.c - a client that asks proxies for tunnels.
 *
 *     tunnels setup PROXY TARGET N        p50 and p99 in microseconds of connect to 200
 *     tunnels rate  PROXY TARGET C MS     tunnels a second by C clients at once
 *     tunnels move  PROXY TARGET PATH     MB/s of one GET through a tunnel
 *     tunnels hold  PROXY TARGET N        holds N open, says "held", waits for stdin
 *     tunnels get   PROXY TARGET C MS     GETs a second by C clients over TLS, kept alive
 *     tunnels shake PROXY TARGET N        p50 and p99 in microseconds of connect to the first
 *                                         answer over TLS
 *
 * PROXY and TARGET are ports of 127.0.0.1; PROXY 0 is the target itself. TLS is for
 * "bench.example" and believes every certificate.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NAME "bench.example"

static int proxy, target;
static const char *host = "127.0.0.1";

static double now_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void fail(const char *what)
{
        perror(what);
        exit(1);
}

static int begin(int flags)
{
        struct sockaddr_in to = { .sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)(proxy ? proxy : target)) };
        int on = 1, fd = socket(AF_INET, SOCK_STREAM | flags, 0);

        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (fd < 0)
                fail("socket");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
                fail("connect");
        return fd;
}

static void ask(int fd)
{
        char text[128];
        int n = snprintf(text, sizeof(text),
                         "CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n", host, target,
                         host, target);

        if (write(fd, text, (size_t)n) != n)
                fail("write");
}

/* Reads the whole head of the answer. */
static void answer(int fd)
{
        char buf[2048];
        size_t len = 0;

        while (len < sizeof(buf) - 1) {
                ssize_t n = read(fd, buf + len, sizeof(buf) - 1 - len);

                if (n <= 0)
                        fail("no answer");
                len += (size_t)n;
                buf[len] = '\0';
                if (strstr(buf, "\r\n\r\n"))
                        break;
        }
        if (!strstr(buf, " 200"))
                fail("refused");
}

static int tunnel(void)
{
        int fd = begin(0);

        if (proxy) {
                ask(fd);
                answer(fd);
        }
        return fd;
}

/* A reset, so that no port is left in TIME_WAIT. */
static void end(int fd)
{
        struct linger hard = { 1, 0 };

        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        close(fd);
}

static int by_value(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static void show(double *took, int n)
{
        qsort(took, (size_t)n, sizeof(*took), by_value);
        printf("%.1f %.1f\n", took[n / 2], took[n * 99 / 100]);
}

static void setup(int n)
{
        double *took = calloc((size_t)n, sizeof(*took));

        for (int i = 0; i < n; i++) {
                double start = now_us();
                int fd = tunnel();

                took[i] = now_us() - start;
                end(fd);
        }
        show(took, n);
        free(took);
}

static void rate(int clients, int ms)
{
        double start = now_us(), stop = start + ms * 1000.0;
        int ep = epoll_create1(0);
        long done = 0;

        for (int i = 0; i < clients; i++) {
                struct epoll_event e = { .events = EPOLLIN };

                e.data.fd = begin(0);
                ask(e.data.fd);
                epoll_ctl(ep, EPOLL_CTL_ADD, e.data.fd, &e);
        }
        while (now_us() < stop) {
                struct epoll_event got[64];
                int n = epoll_wait(ep, got, 64, 100);

                for (int i = 0; i < n; i++) {
                        struct epoll_event e = { .events = EPOLLIN };

                        answer(got[i].data.fd);
                        end(got[i].data.fd);
                        done++;
                        e.data.fd = begin(0);
                        ask(e.data.fd);
                        epoll_ctl(ep, EPOLL_CTL_ADD, e.data.fd, &e);
                }
        }
        printf("%.0f\n", (double)done / ((now_us() - start) / 1e6));
}

static void move(const char *path)
{
        static char buf[1 << 18];
        char text[256];
        int fd = tunnel();
        int n = snprintf(text, sizeof(text),
                         "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
        double start = now_us(), total = 0;
        ssize_t got;

        if (write(fd, text, (size_t)n) != n)
                fail("write");
        while ((got = read(fd, buf, sizeof(buf))) > 0)
                total += (double)got;
        printf("%.0f\n", total / (now_us() - start));
        close(fd);
}

static void hold(int n)
{
        char c;

        for (int i = 0; i < n; i++)
                tunnel();
        printf("held\n");
        fflush(stdout);
        if (read(0, &c, 1) < 0)
                fail("stdin");
}

/* ---- TLS ---- */

static SSL *open_tls(SSL_CTX *context)
{
        SSL *tls = SSL_new(context);

        SSL_set_tlsext_host_name(tls, NAME);
        SSL_set_fd(tls, tunnel());
        if (SSL_connect(tls) != 1)
                fail("TLS");
        return tls;
}

static void close_tls(SSL *tls)
{
        end(SSL_get_fd(tls));
        SSL_free(tls);
}

static void tls_ask(SSL *tls)
{
        char text[128];
        int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: " NAME ":%d\r\n\r\n",
                         target);

        if (SSL_write(tls, text, n) != n)
                fail("TLS write");
}

static void tls_answer(SSL *tls)
{
        char buf[4096], *body = NULL, *length;
        int len = 0;

        while (!body || buf + len < body + 4 + atoi(length + 17)) {
                int n = SSL_read(tls, buf + len, (int)sizeof(buf) - 1 - len);

                if (n <= 0)
                        fail("no answer over TLS");
                len += n;
                buf[len] = '\0';
                body = strstr(buf, "\r\n\r\n");
                length = strcasestr(buf, "\r\ncontent-length:");
                if (body && (!length || strncmp(buf, "HTTP/1.1 200", 12) != 0))
                        fail("another answer");
        }
}

/* Every client has one request under way. */
static void get(SSL_CTX *context, int clients, int ms)
{
        SSL **all = calloc((size_t)clients, sizeof(SSL *));
        double start;
        long done = 0;

        for (int i = 0; i < clients; i++) {
                all[i] = open_tls(context);
                tls_ask(all[i]);
        }
        start = now_us();
        while (now_us() < start + ms * 1000.0)
                for (int i = 0; i < clients; i++, done++) {
                        tls_answer(all[i]);
                        tls_ask(all[i]);
                }
        printf("%.0f\n", (double)done / ((now_us() - start) / 1e6));
}

static void shake(SSL_CTX *context, int n)
{
        double *took = calloc((size_t)n, sizeof(*took));

        for (int i = 0; i < n; i++) {
                double start = now_us();
                SSL *tls = open_tls(context);

                tls_ask(tls);
                tls_answer(tls);
                took[i] = now_us() - start;
                close_tls(tls);
        }
        show(took, n);
        free(took);
}

int main(int argc, char **argv)
{
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        struct rlimit files;

        if (argc < 5)
                return 2;
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        proxy = atoi(argv[2]);
        target = atoi(argv[3]);
        if (!strcmp(argv[1], "setup"))
                setup(atoi(argv[4]));
        else if (!strcmp(argv[1], "rate") && argc > 5)
                rate(atoi(argv[4]), atoi(argv[5]));
        else if (!strcmp(argv[1], "move"))
                move(argv[4]);
        else if (!strcmp(argv[1], "hold"))
                hold(atoi(argv[4]));
        else if (!strcmp(argv[1], "get") && argc > 5)
                host = NAME, get(context, atoi(argv[4]), atoi(argv[5]));
        else if (!strcmp(argv[1], "shake"))
                host = NAME, shake(context, atoi(argv[4]));
        else
                return 2;
        return 0;
}
