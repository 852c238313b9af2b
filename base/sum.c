/* base/sum.c - the sum; and a child that takes it of what its parent says is there. */
#include "base/sum.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

void sum_init(struct sum_state *s)
{
        static const char name[] = "airlock layer sum";
        struct sha256 h;

        for (uint64_t i = 0; i < SUM_WORDS; i += SHA256_LEN / sizeof(*s->key)) {
                uint8_t digest[SHA256_LEN];

                sha256_init(&h);
                sha256_add(&h, name, sizeof(name));
                sha256_add(&h, &i, sizeof(i));
                sha256_end(&h, digest);
                memcpy(s->key + i, digest, sizeof(digest));
        }
        sha256_init(&s->all);
        s->len = 0;
}

void sum_blocks(struct sum_state *s, const uint64_t *words, size_t count)
{
        for (; count; count--, words += SUM_WORDS) {
                __uint128_t sum = 0;

                for (size_t i = 0; i < SUM_WORDS; i += 2)
                        sum += (__uint128_t)(words[i] + s->key[i]) *
                               (words[i + 1] + s->key[i + 1]);
                sha256_add(&s->all, &sum, sizeof(sum));
                s->len += SUM_BLOCK;
        }
}

void sum_last(struct sum_state *s, uint64_t words[static SUM_WORDS], size_t len,
              char hex[static SHA256_HEX])
{
        uint64_t whole = s->len + len;

        if (len) {
                memset((char *)words + len, 0, SUM_BLOCK - len);
                sum_blocks(s, words, 1);
        }
        sha256_add(&s->all, &whole, sizeof(whole));
        sha256_end_hex(&s->all, hex);
}

/* --- the child -------------------------------------------------------------------------- */

static LARGE_BUFFER uint64_t buf[(256 << 10) / sizeof(uint64_t)];

/* All of these bytes of the file, or the child has no sum to tell. */
static void read_all(int fd, uint64_t at, size_t len)
{
        for (size_t got = 0; got < len;) {
                ssize_t n = pread(fd, (char *)buf + got, len - got, (off_t)(at + got));

                if (n <= 0)
                        _exit(1);
                got += (size_t)n;
        }
}

static void child(int fd, int told, int result) NORETURN;
static void child(int fd, int told, int result)
{
        static LARGE_BUFFER struct sum_state s;
        char hex[SHA256_HEX];
        uint64_t len = 0, now;

        sum_init(&s);
        while (read_full(told, &now, sizeof(now)) == sizeof(now)) {
                len = now;
                while (len - s.len >= SUM_BLOCK) {
                        uint64_t left = len - s.len;
                        size_t want = left < sizeof(buf) ? (size_t)left : sizeof(buf);

                        want -= want % SUM_BLOCK;
                        read_all(fd, s.len, want);
                        sum_blocks(&s, buf, want / SUM_BLOCK);
                }
        }
        read_all(fd, s.len, (size_t)(len - s.len));
        sum_last(&s, buf, (size_t)(len - s.len), hex);
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
        /* A child that is gone gives no sum: that is noticed at the end. */
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
