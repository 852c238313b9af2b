/*
 * tests/bench/exec_load.c - a client in C that loads an exec-server and prints one figure.
 *
 *     exec_load URL latency COUNT        µs from start to exited of /bin/true, the median
 *     exec_load URL rate AT_ONCE COUNT   processes per second
 *     exec_load URL output MIB           MB/s of one program's output
 *     exec_load URL read PATH COUNT      µs for readFile, the median
 *     exec_load URL write PATH BYTES COUNT
 *     exec_load - startup COUNT PROGRAM ARGUMENT...   µs until it prints its address
 *
 * It is made of the client that the agent uses, so its own work counts as well: for both
 * servers alike.
 */
#include "agent/client.h"
#include "base/clock.h"
#include "base/digits.h"
#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define COUNT_MAX 100000
#define PATIENCE_MS 30000

static struct client client;
static uint64_t times[COUNT_MAX];

static uint64_t now_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t number(const char *text, uint64_t max)
{
        uint64_t n;

        if (!text || !digits_parse(text, max, &n) || !n)
                die(STATUS_USAGE, "a number from 1 to %llu is missing", (unsigned long long)max);
        return n;
}

static void say(uint64_t n)
{
        char line[24];
        struct wr w = wr_of(line, sizeof(line));

        wr_u64(&w, n);
        wr_char(&w, '\n');
        if (write_full(STDOUT_FILENO, line, w.len) < 0)
                die(STATUS_OUTPUT, "stdout");
}

static int by_size(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return (x > y) - (x < y);
}

static uint64_t median(size_t n)
{
        qsort(times, n, sizeof(*times), by_size);
        return times[n / 2];
}

/* The next event that is of interest to anybody. */
static struct client_event next(void)
{
        struct pollfd fds[CLIENT_POLL];
        struct client_event e;
        uint64_t end = now_ms() + PATIENCE_MS;

        while (now_ms() < end) {
                unsigned n;

                while (client_next(&client, &e)) {
                        if (e.kind == CLIENT_LOST || e.kind == CLIENT_DOWN || e.code)
                                die(STATUS_AGAIN, "%s", e.text);
                        if (e.kind != CLIENT_STARTED && e.kind != CLIENT_READY)
                                return e;
                }
                n = client_poll(&client, fds);
                if (poll(fds, n, client_wait_ms(&client, now_ms(), PATIENCE_MS)) < 0)
                        die_errno(STATUS_AGAIN, errno, "poll");
                client_step(&client, fds, n, now_ms());
        }
        die(STATUS_AGAIN, "nothing came within 30 s");
}

static void start(const char *const *argv)
{
        static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
        struct client_command cmd = { .argv = argv, .cwd = "/", .env = env };

        if (!client_start(&client, &cmd))
                die(STATUS_AGAIN, "no room for a process");
}

static const char *const true_argv[] = { "/bin/true", NULL };

static uint64_t latency(size_t count)
{
        for (size_t i = 0; i < count; i++) {
                uint64_t begin = now_us();

                start(true_argv);
                while (next().kind != CLIENT_EXITED)
                        ;
                times[i] = now_us() - begin;
                while (next().kind != CLIENT_CLOSED)
                        ;
        }
        return median(count);
}

static uint64_t rate(size_t at_once, size_t count)
{
        uint64_t begin = now_us();
        size_t begun = 0, ended = 0;

        while (ended < count) {
                for (; begun < count && begun - ended < at_once; begun++)
                        start(true_argv);
                ended += next().kind == CLIENT_CLOSED;
        }
        return count * 1000000 / (now_us() - begin);
}

static uint64_t output(uint64_t mib)
{
        char size[24];
        struct wr w = wr_of(size, sizeof(size) - 1);
        const char *argv[] = { "/usr/bin/head", "-c", size, "/dev/zero", NULL };
        uint64_t begin = now_us(), got = 0;

        wr_u64(&w, mib << 20);
        wr_cstr(&w);
        start(argv);
        for (;;) {
                struct client_event e = next();

                if (e.kind == CLIENT_OUTPUT)
                        got += e.len;
                if (e.kind == CLIENT_CLOSED)
                        break;
        }
        if (got != mib << 20)
                die(STATUS_AGAIN, "%llu bytes came", (unsigned long long)got);
        return got / (now_us() - begin);
}

static void answered(uint64_t request)
{
        struct client_event e;

        if (!request)
                die(STATUS_AGAIN, "no room for a request");
        do
                e = next();
        while (e.kind != CLIENT_ANSWER || e.request != request);
}

static uint64_t read_file_median(const char *path, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                uint64_t begin = now_us();

                answered(client_read_file(&client, path));
                times[i] = now_us() - begin;
        }
        return median(count);
}

static uint64_t write_file_median(const char *path, size_t size, size_t count)
{
        char *bytes = calloc(1, size);

        if (!bytes)
                die(STATUS_AGAIN, "out of memory");
        for (size_t i = 0; i < count; i++) {
                uint64_t begin = now_us();

                answered(client_write_file(&client, path, bytes, size));
                times[i] = now_us() - begin;
        }
        free(bytes);
        return median(count);
}

static uint64_t startup(size_t count, char **argv)
{
        for (size_t i = 0; i < count; i++) {
                uint64_t begin = now_us();
                char line[256];
                int out[2];
                pid_t pid;

                if (pipe(out) < 0)
                        die_errno(STATUS_AGAIN, errno, "pipe");
                pid = fork();
                if (pid == 0) {
                        dup2(out[1], STDOUT_FILENO);
                        close(out[0]);
                        close(out[1]);
                        execvp(argv[0], argv);
                        _exit(127);
                }
                close(out[1]);
                if (read(out[0], line, sizeof(line)) <= 0)
                        die(STATUS_AGAIN, "%s does not start", argv[0]);
                times[i] = now_us() - begin;
                close(out[0]);
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
        }
        return median(count);
}

static uint64_t load(int argc, char **argv)
{
        const char *what = argv[2], *a = argc > 3 ? argv[3] : NULL, *b = argc > 4 ? argv[4] : NULL;

        if (!strcmp(what, "latency"))
                return latency(number(a, COUNT_MAX));
        if (!strcmp(what, "rate"))
                return rate(number(a, CLIENT_PROCESSES), number(b, COUNT_MAX));
        if (!strcmp(what, "output"))
                return output(number(a, 4096));
        if (!strcmp(what, "read") && a)
                return read_file_median(a, number(b, COUNT_MAX));
        if (!strcmp(what, "write") && a && argc > 5)
                return write_file_median(a, number(b, 64U << 20), number(argv[5], COUNT_MAX));
        die(STATUS_USAGE, "%s: not a load", what);
}

int main(int argc, char **argv)
{
        struct client_target t;

        log_role("exec_load");
        signal(SIGPIPE, SIG_IGN);
        if (argc < 4)
                die(STATUS_USAGE, "exec_load URL WHAT ...");
        if (!strcmp(argv[2], "startup")) {
                if (argc < 5)
                        die(STATUS_USAGE, "a program is missing");
                say(startup(number(argv[3], COUNT_MAX), argv + 4));
                return 0;
        }
        if (client_url(&t, argv[1]) != REMOTE_OK)
                die(STATUS_USAGE, "%s: no URL", argv[1]);
        client_open(&client, &t);
        answered(client_metadata(&client, "/")); /* connected, before a clock runs */
        say(load(argc, argv));
        client_close(&client);
        return 0;
}
