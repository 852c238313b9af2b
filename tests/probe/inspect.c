/*
 * tests/probe/inspect.c - netfilter/inspect.h between a listening port and one origin.
 *
 *     probe_inspect LISTEN ORIGIN NAME PORT POLICY CA-OUT ANCHORS SECRETS tls|clear
 *
 * Whoever connects to 127.0.0.1:LISTEN is looked into as a client of NAME:PORT, and what is
 * let through goes to 127.0.0.1:ORIGIN. Prints a line for each decision and the placeholders
 * at start. For the tests of inspection alone; airlock-proxy has the real loop.
 */
#include "base/io.h"
#include "netfilter/anchors.h"
#include "netfilter/inspect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define CONNECTIONS 64

struct line {
        int client, upstream; /* -1: none */
        bool connecting;
        struct inspect in;
};

static LARGE_BUFFER struct line lines[CONNECTIONS];
static LARGE_BUFFER char arena[POLICY_ARENA] __attribute__((aligned(16)));
static LARGE_BUFFER char text[POLICY_TEXT_MAX];
static LARGE_BUFFER struct anchors anchors;
static LARGE_BUFFER struct ca ca;
static struct policy policy;
static struct tls_random rng;
static struct tls_cache cache;
static struct tls_sessions sessions;
static struct inject inject;
static struct inspect_world world;
static struct policy_verdict verdict;
static uint16_t origin;
static bool with_tls;

static void fail(const char *what)
{
        perror(what);
        exit(1);
}

static void clock_now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        world.now_s = (uint64_t)t.tv_sec;
        clock_gettime(CLOCK_MONOTONIC, &t);
        world.now_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int tcp(uint16_t port, bool listening)
{
        struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (listening ? bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 64) < 0
                      : connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0 &&
                                errno != EINPROGRESS) {
                close(fd);
                return -1;
        }
        return fd;
}

static void line_close(struct line *l)
{
        if (l->client >= 0) {
                shutdown(l->client, SHUT_WR);
                for (int i = 0; i < 50; i++) { /* so that our last words are not reset away */
                        char rest[4096];
                        struct pollfd p = { l->client, POLLIN, 0 };

                        if (poll(&p, 1, 20) <= 0 || read(l->client, rest, sizeof(rest)) <= 0)
                                break;
                }
                close(l->client);
        }
        if (l->upstream >= 0)
                close(l->upstream);
        l->client = l->upstream = -1;
        inspect_wipe(&l->in);
}

static void line_run(struct line *l)
{
        for (;;) {
                const struct inspect_decision *d = &l->in.decision;

                switch (inspect_run(&l->in, &world)) {
                case INSPECT_WAIT:
                        return;
                case INSPECT_DIAL:
                        l->upstream = tcp(origin, false);
                        if (l->upstream < 0)
                                inspect_undialled(&l->in, &world, POLICY_DENY_UPSTREAM);
                        l->connecting = l->upstream >= 0;
                        break;
                case INSPECT_HANG_UP:
                        if (l->upstream >= 0) {
                                size_t len;
                                const uint8_t *out = tls_out(&l->in.upstream, &len);

                                (void)!write(l->upstream, out ? out : (const uint8_t *)"",
                                             out ? len : 0);
                                close(l->upstream);
                        }
                        l->upstream = -1;
                        break;
                case INSPECT_DECIDED:
                        printf("%s %u %s %s%s%s %llu/%llu\n", policy_reason_str(d->reason),
                               d->code, *d->method ? d->method : "-", *d->path ? d->path : "-",
                               d->why ? " " : "", d->why ? d->why : "",
                               (unsigned long long)d->up, (unsigned long long)d->down);
                        fflush(stdout);
                        break;
                case INSPECT_OVER:
                        line_close(l);
                        return;
                }
        }
}

/* Moves what can be moved. False: the descriptor can't be written to. */
static bool move(int fd, struct tls *t, short events, bool *eof)
{
        size_t len;
        uint8_t *in;
        const uint8_t *out;

        if (events & (POLLIN | POLLHUP | POLLERR) && (in = tls_in(t, &len)) != NULL) {
                ssize_t n = read(fd, in, len);

                if (n > 0)
                        tls_in_got(t, (size_t)n);
                else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                        *eof = true;
        }
        while ((out = tls_out(t, &len)) != NULL) {
                ssize_t n = write(fd, out, len);

                if (n < 0)
                        return errno == EAGAIN || errno == EINTR;
                tls_out_sent(t, (size_t)n);
        }
        return true;
}

static short wants(struct tls *t, bool eof)
{
        size_t len;

        return (short)((!eof && tls_in(t, &len) ? POLLIN : 0) | (tls_out(t, &len) ? POLLOUT : 0));
}

static void line_event(struct line *l, short client, short upstream)
{
        clock_now();
        if (l->upstream >= 0 && l->connecting && upstream) {
                int err = 0;
                socklen_t n = sizeof(err);

                getsockopt(l->upstream, SOL_SOCKET, SO_ERROR, &err, &n);
                l->connecting = false;
                if (err) {
                        close(l->upstream);
                        l->upstream = -1;
                        inspect_undialled(&l->in, &world, POLICY_DENY_UPSTREAM);
                } else {
                        inspect_dialled(&l->in, &world);
                }
        }
        /* Twice: what one side brought may be for the other. */
        for (int i = 0; i < 2 && l->client >= 0; i++) {
                if (!move(l->client, &l->in.client, i ? 0 : client, &l->in.client_eof))
                        inspect_lose(&l->in, &world);
                if (l->upstream >= 0 && inspect_has_upstream(&l->in) &&
                    !move(l->upstream, &l->in.upstream, i ? 0 : upstream, &l->in.upstream_eof))
                        l->in.upstream_eof = true;
                line_run(l);
        }
}

static void accept_one(int listener)
{
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;

        if (fd < 0)
                return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        for (size_t i = 0; i < CONNECTIONS; i++)
                if (lines[i].client < 0) {
                        clock_now();
                        lines[i].client = fd;
                        if (!inspect_init(&lines[i].in, &world, &verdict,
                                          with_tls ? INSPECT_TLS : INSPECT_CLEAR))
                                line_close(&lines[i]);
                        return;
                }
        close(fd);
}

static void prepare(char **argv)
{
        struct policy_error e = { 0 };
        struct host host;
        uint8_t key[32];
        struct wr w;
        ssize_t n;
        int fd;

        n = read_file(AT_FDCWD, argv[5], text, sizeof(text));
        if (n < 0 ||
            policy_parse(&policy, arena, sizeof(arena), text, (size_t)n, &e) != POLICY_OK) {
                fprintf(stderr, "%s:%u: expected %s\n", argv[5], e.line, e.expected);
                exit(1);
        }
        if (host_parse(&host, argv[3], strlen(argv[3])) != NAME_OK)
                fail(argv[3]);
        verdict = policy_host(&policy, &host, (uint16_t)atoi(argv[4]));
        verdict.host = host;
        verdict.port = (uint16_t)atoi(argv[4]);
        clock_now();
        if (tls_random_open(&rng) || !ca_open(&ca, &rng, world.now_s))
                fail("ca");
        w = wr_of(text, sizeof(text));
        ca_put_pem(&ca, &w);
        fd = open(argv[6], O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (fd < 0 || write_full(fd, w.buf, w.len))
                fail(argv[6]);
        close(fd);
        fd = *argv[7] ? open(argv[7], O_RDONLY) : anchors_open_image();
        if (fd < 0 || anchors_load(&anchors, fd))
                fail("anchors");
        close(fd);
        tls_random_bytes(&rng, key, sizeof(key));
        inject_init(&inject, key);
        n = *argv[8] ? read_file(AT_FDCWD, argv[8], text, sizeof(text)) : 0;
        if (n < 0 || inject_load(&inject, text, (size_t)n) != INJECT_OK)
                fail("secrets");
        tls_cache_init(&cache);
        world = (struct inspect_world){ .policy = &policy, .random = &rng, .ca = &ca,
                                        .cache = &cache, .sessions = &sessions,
                                        .trust = anchors_trust(&anchors), .inject = &inject };
        for (size_t i = 0; i < inject.count; i++)
                printf("placeholder %s=%s\n", inject.secrets[i].name,
                       inject.secrets[i].placeholder);
        printf("anchors %zu\n", anchors.count);
}

int main(int argc, char **argv)
{
        int listener;

        if (argc != 10)
                return 2;
        signal(SIGPIPE, SIG_IGN);
        prepare(argv);
        origin = (uint16_t)atoi(argv[2]);
        with_tls = !strcmp(argv[9], "tls");
        for (size_t i = 0; i < CONNECTIONS; i++)
                lines[i].client = lines[i].upstream = -1;
        listener = tcp((uint16_t)atoi(argv[1]), true);
        if (listener < 0)
                fail("listen");
        printf("ready\n");
        fflush(stdout);
        for (;;) {
                struct pollfd polls[1 + 2 * CONNECTIONS] = { { listener, POLLIN, 0 } };

                for (size_t i = 0; i < CONNECTIONS; i++) {
                        struct line *l = &lines[i];

                        polls[1 + 2 * i] = (struct pollfd){ -1, 0, 0 };
                        polls[2 + 2 * i] = polls[1 + 2 * i];
                        if (l->client >= 0)
                                polls[1 + 2 * i] = (struct pollfd){
                                        l->client, wants(&l->in.client, l->in.client_eof), 0 };
                        if (l->upstream >= 0)
                                polls[2 + 2 * i] = (struct pollfd){
                                        l->upstream,
                                        l->connecting ? POLLOUT
                                                      : wants(&l->in.upstream, l->in.upstream_eof),
                                        0 };
                        for (size_t k = 1; k < 3; k++)
                                if (!polls[k + 2 * i].events)
                                        polls[k + 2 * i].fd = -1;
                }
                if (poll(polls, COUNT(polls), -1) < 0 && errno != EINTR)
                        fail("poll");
                for (size_t i = 0; i < CONNECTIONS; i++)
                        if (lines[i].client >= 0 &&
                            (polls[1 + 2 * i].revents || polls[2 + 2 * i].revents))
                                line_event(&lines[i], polls[1 + 2 * i].revents,
                                           polls[2 + 2 * i].revents);
                if (polls[0].revents)
                        accept_one(listener);
        }
}
