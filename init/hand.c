/* init/hand.c - a ring of jobs in shared memory, one end each, and two futexes to sleep on. */
#include "init/hand.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS 256
#define LOOK_MS 100 /* how often we look whether the helper lives */

struct job {
        int dir;
        uint32_t mode, mtime_ns;
        int64_t mtime;
        uint64_t at, size;
        char name[NAME_MAX + 1], path[HAND_PATH];
};

/* @given is ours to write, @done and what failed the helper's; both only grow. */
struct hand_jobs {
        _Atomic uint32_t given, done;
        _Atomic uint32_t idle, waited_for; /* who sleeps, and wants to be woken */
        _Atomic int failed;                /* -errno of the first; 0 */
        char failed_path[HAND_PATH];       /* written before @failed */
        struct job job[JOBS];
};

static void sleep_on(_Atomic uint32_t *word, uint32_t while_it_is, unsigned ms)
{
        struct timespec t = { .tv_nsec = ms * 1000000L };

        syscall(SYS_futex, word, FUTEX_WAIT, while_it_is, ms ? &t : NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *word)
{
        syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* --- the helper -------------------------------------------------------------------------- */

static int make(const struct job *j, int archive)
{
        static LARGE_BUFFER char buf[HAND_FILE_MAX];
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { j->mtime, j->mtime_ns } };
        AUTO_CLOSE int fd = openat(j->dir, j->name,
                                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, j->mode);
        int r;

        if (fd < 0)
                return -errno;
        for (uint64_t got = 0; got < j->size;) {
                ssize_t n = pread(archive, buf, (size_t)(j->size - got), (off_t)(j->at + got));

                if (n <= 0)
                        return n < 0 ? -errno : -EBADMSG;
                r = write_full(fd, buf, (size_t)n);
                if (r < 0)
                        return r;
                got += (uint64_t)n;
        }
        return futimens(fd, times) < 0 ? -errno : 0;
}

static void help(struct hand_jobs *q, int archive) NORETURN;
static void help(struct hand_jobs *q, int archive)
{
        for (uint32_t done = 0;;) {
                const struct job *j = &q->job[done % JOBS];
                int r;

                while (atomic_load(&q->given) == done) {
                        atomic_store(&q->idle, 1);
                        sleep_on(&q->given, done, 0);
                        atomic_store(&q->idle, 0);
                }
                r = atomic_load(&q->failed) ? 0 : make(j, archive);
                if (r < 0) {
                        memcpy(q->failed_path, j->path, sizeof(j->path));
                        atomic_store(&q->failed, r);
                }
                atomic_store(&q->done, ++done);
                if (atomic_load(&q->waited_for))
                        wake(&q->done);
        }
}

/* --- ours -------------------------------------------------------------------------------- */

static bool has_second_processor(void)
{
        cpu_set_t set;

        CPU_ZERO(&set);
        return !sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) > 1;
}

void hand_start(struct hand *h, int archive)
{
        pid_t me = getpid();
        void *shared;

        *h = (struct hand){ .jobs = NULL };
        if (!has_second_processor())
                return;
        shared = mmap(NULL, sizeof(*h->jobs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                      -1, 0);
        if (shared == MAP_FAILED)
                return;
        /* A fork, but for the descriptors: what we open and close later holds for it too. */
        h->pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
        if (!h->pid) {
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != me)
                        _exit(1);
                help(shared, archive);
        }
        if (h->pid < 0)
                munmap(shared, sizeof(*h->jobs));
        else
                h->jobs = shared;
}

uint64_t hand_give(struct hand *h, const struct hand_file *f)
{
        struct hand_jobs *q = h->jobs;
        uint32_t given;
        struct job *j;

        if (!q || f->size > HAND_FILE_MAX)
                return 0;
        given = atomic_load(&q->given);
        if (given - atomic_load(&q->done) == JOBS || given == UINT32_MAX)
                return 0;
        j = &q->job[given % JOBS];
        *j = (struct job){ .dir = f->dir, .mode = f->mode, .mtime = f->mtime,
                           .mtime_ns = f->mtime_ns, .at = f->at, .size = f->size };
        memcpy(j->name, f->name, strnlen(f->name, sizeof(j->name) - 1));
        memcpy(j->path, f->path, strnlen(f->path, sizeof(j->path) - 1));
        atomic_store(&q->given, given + 1);
        if (atomic_load(&q->idle))
                wake(&q->given);
        return (uint64_t)given + 1;
}

bool hand_done(const struct hand *h, uint64_t number)
{
        return !number || !h->jobs || atomic_load(&h->jobs->done) >= number ||
               atomic_load(&h->jobs->failed);
}

int hand_wait(struct hand *h, char path[static HAND_PATH])
{
        struct hand_jobs *q = h->jobs;
        uint32_t done;

        path[0] = '\0';
        if (!q)
                return 0;
        atomic_store(&q->waited_for, 1);
        while ((done = atomic_load(&q->done)) != atomic_load(&q->given)) {
                sleep_on(&q->done, done, LOOK_MS);
                if (atomic_load(&q->done) == done && waitpid(h->pid, NULL, WNOHANG) == h->pid) {
                        h->pid = 0;
                        hand_end(h);
                        return -EIO;
                }
        }
        atomic_store(&q->waited_for, 0);
        memcpy(path, q->failed_path, HAND_PATH);
        return atomic_load(&q->failed);
}

void hand_end(struct hand *h)
{
        if (h->pid > 0) {
                kill(h->pid, SIGKILL);
                while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        if (h->jobs)
                munmap(h->jobs, sizeof(*h->jobs));
        *h = (struct hand){ .jobs = NULL };
}
