/* base/sum.c - a child that hashes what its parent says is there. */
#include "base/sum.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

static void child(int fd, int told, int result) NORETURN;
static void child(int fd, int told, int result)
{
        static LARGE_BUFFER char buf[256 << 10];
        char hex[SHA256_HEX];
        struct sha256 s;
        uint64_t at = 0, len;

        sha256_init(&s);
        while (read_full(told, &len, sizeof(len)) == sizeof(len)) {
                while (at < len) {
                        size_t want = len - at < sizeof(buf) ? (size_t)(len - at) : sizeof(buf);
                        ssize_t n = pread(fd, buf, want, (off_t)at);

                        if (n <= 0)
                                _exit(1);
                        sha256_add(&s, buf, (size_t)n);
                        at += (uint64_t)n;
                }
        }
        sha256_end_hex(&s, hex);
        _exit(write_full(result, hex, sizeof(hex)) < 0);
}

int sum_start(struct sum *s, int fd)
{
        int told[2], result[2], r;

        *s = (struct sum){ .told = -1, .result = -1, .pid = -1 };
        if (pipe2(told, O_CLOEXEC) < 0)
                return -errno;
        if (pipe2(result, O_CLOEXEC) < 0) {
                r = -errno;
                goto no_result;
        }
        s->pid = fork();
        if (s->pid < 0) {
                r = -errno;
                goto no_child;
        }
        if (!s->pid) {
                close(told[1]);
                close(result[0]);
                child(fd, told[0], result[1]);
        }
        close(told[0]);
        close(result[1]);
        s->told = told[1];
        s->result = result[0];
        return 0;
no_child:
        close(result[0]);
        close(result[1]);
no_result:
        close(told[0]);
        close(told[1]);
        return r;
}

void sum_tell(struct sum *s, uint64_t len)
{
        /* A child that is gone gives no hash: that is noticed at the end. */
        if (s->told >= 0 && write_full(s->told, &len, sizeof(len)) < 0) {
                close(s->told);
                s->told = -1;
        }
}

int sum_end(struct sum *s, char hex[static SHA256_HEX])
{
        bool whole = s->told >= 0;

        if (whole)
                close(s->told);
        if (s->result >= 0) {
                whole = read_full(s->result, hex, SHA256_HEX) == SHA256_HEX && whole;
                close(s->result);
                while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        } else {
                whole = false;
        }
        *s = (struct sum){ .told = -1, .result = -1, .pid = -1 };
        return whole ? 0 : -EIO;
}
