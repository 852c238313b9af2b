/*
 * tests/fuzz/exec_client.c - whatever a server says, cut in two anywhere: a process's events
 * begin with its start and end with its end, an answer comes once, and memory is bounded.
 */
#include "agent/client.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ASKED 4

struct seen {
        bool started, over;
        bool answered[64];
};

static void look(struct client *c, struct seen *s)
{
        struct client_event e;

        while (client_next(c, &e)) {
                if (e.kind == CLIENT_ANSWER) {
                        if (e.request >= 64 || s->answered[e.request])
                                abort();
                        s->answered[e.request] = true;
                }
                if (e.kind < CLIENT_STARTED || e.kind == CLIENT_DOWN)
                        continue;
                if (s->over || e.process != 1 || (s->started == (e.kind == CLIENT_STARTED)))
                        if (s->over || e.process != 1 || e.kind != CLIENT_LOST)
                                abort();
                s->started = true;
                s->over = e.kind == CLIENT_CLOSED || e.kind == CLIENT_LOST;
                if (e.kind == CLIENT_OUTPUT)
                        for (size_t i = 0; i < e.len; i++)
                                (void)*(const volatile char *)&e.bytes[i];
        }
        if (c->in.cap > 4U << 20 || c->message.cap > 4U << 20 || c->requests > 64)
                abort();
}

static void turn(struct client *c, struct seen *s)
{
        struct pollfd fds[CLIENT_POLL];
        unsigned n = client_poll(c, fds);

        if (n && poll(fds, n, 0) <= 0)
                n = 0;
        client_step(c, fds, n, 1000);
        look(c, s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const char *const argv[] = { "x", NULL };
        struct client_command cmd = { .argv = argv, .cwd = "/" };
        struct client_target t = { .at = { .host = "127.0.0.1", .port = 1 } };
        static struct client c;
        struct seen s = { 0 };
        int pair[2];
        size_t cut;

        if (len < 2 || len > 16384 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
                return 0;
        fcntl(pair[1], F_SETFL, O_NONBLOCK);
        cut = data[1] * (len - 2) / 255;
        t.transport = CLIENT_STDIO;
        t.in_fd = pair[0];
        t.out_fd = pair[0];
        client_open(&c, &t);
        if (client_start(&c, &cmd) != 1)
                abort();
        for (int i = 0; i < ASKED; i++)
                (void)!client_write(&c, 1, "x", 1);
        (void)!client_read_file(&c, "/x");
        turn(&c, &s);
        if (data[0] & 1) { /* as if it were a WebSocket that was just upgraded */
                c.target.transport = CLIENT_TCP;
                c.ws = (struct ws){ .server = true };
        }
        if (send(pair[1], data + 2, cut, MSG_NOSIGNAL) == (ssize_t)cut)
                turn(&c, &s);
        if (send(pair[1], data + 2 + cut, len - 2 - cut, MSG_NOSIGNAL) == (ssize_t)(len - 2 - cut))
                turn(&c, &s);
        shutdown(pair[1], SHUT_RDWR);
        for (int i = 0; i < 3; i++)
                turn(&c, &s);
        close(pair[1]);
        client_close(&c);
        return 0;
}
