/* netfilter/pool.c - the pools: one mapping for buffers, a short stack of idle pipes. */
#include "netfilter/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define WARM_BUFFERS 16 /* keep their pages while they are free */
#define WARM_PIPES 32
/* What one splice moves at most: a full pipe. Larger ones cost more cache than they save. */
#define PIPE_BYTES (256 * 1024)

static struct buf bufs[BUF_COUNT] LARGE_BUFFER;
static struct buf *free_bufs;
static uint32_t fresh; /* bufs[fresh] and later were never used */
static uint32_t warm; /* free ones that still have their pages */
static uint8_t *pages;

static struct pipe idle_pipes[WARM_PIPES];
static uint32_t idle_count;

int pool_open(void)
{
        void *at = mmap(NULL, (size_t)BUF_COUNT * BUF_LEN, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (at == MAP_FAILED)
                return -errno;
        /* A huge page would charge a quiet proxy 2 MB for its first buffer. */
        madvise(at, (size_t)BUF_COUNT * BUF_LEN, MADV_NOHUGEPAGE);
        pages = at;
        return 0;
}

struct buf *buf_take(void)
{
        struct buf *b = free_bufs;

        if (b) {
                free_bufs = b->next;
                if (warm)
                        warm--;
        } else if (fresh < BUF_COUNT) {
                b = &bufs[fresh];
                b->bytes = pages + (size_t)fresh++ * BUF_LEN;
        } else {
                return NULL;
        }
        b->from = 0;
        b->to = 0;
        return b;
}

void buf_give(struct buf **buf)
{
        struct buf *b = *buf;

        if (!b)
                return;
        *buf = NULL;
        if (warm >= WARM_BUFFERS)
                madvise(b->bytes, BUF_LEN, MADV_DONTNEED);
        else
                warm++;
        b->next = free_bufs;
        free_bufs = b;
}

void buf_wipe(struct buf *b)
{
        if (b)
                explicit_bzero(b->bytes, BUF_LEN);
}

uint8_t *buf_room(struct buf *b, size_t *room)
{
        if (b->from && b->to > BUF_LEN / 2) {
                memmove(b->bytes, b->bytes + b->from, b->to - b->from);
                b->to -= b->from;
                b->from = 0;
        }
        *room = BUF_LEN - b->to;
        return b->bytes + b->to;
}

int pipe_take(struct pipe *p)
{
        int fds[2];

        if (idle_count) {
                *p = idle_pipes[--idle_count];
                return 0;
        }
        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        /* Refused where the user's share of pipe memory is used up: a small one works too. */
        fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
        *p = (struct pipe){ .out = fds[0], .in = fds[1] };
        return 0;
}

void pipe_give(struct pipe *p)
{
        if (p->in < 0)
                return;
        if (!p->pending && idle_count < WARM_PIPES) {
                idle_pipes[idle_count++] = *p;
        } else {
                close(p->in);
                close(p->out);
        }
        *p = (struct pipe){ -1, -1, 0 };
}
