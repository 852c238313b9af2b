/* init/stop.c - TERM, grace, KILL; and who "everyone" is. */
#include "init/stop.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/wr.h"
#include "init/sig.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PID_LIMIT (4 * 1024 * 1024) /* PID_MAX_LIMIT of 64-bit kernels */
#define REAP_MAX 4096               /* dead in a round */
#define PASSES_MAX 64               /* over /proc */
#define STRANGER_POLL_MS 5          /* whoever is not our child ends without a SIGCHLD */

/*
 * --- Our descendants, through /proc ------------------------------------------------
 *
 * A set of pids as bits: half a megabyte of .bss of which only touched pages exist.
 */
struct family {
        uint64_t bits[PID_LIMIT / 64];
        pid_t highest;
        unsigned found;
        unsigned signalled;
        bool grew; /* in this pass */
        bool saw_spared;
};

static LARGE_BUFFER struct family family;

static bool family_has(pid_t pid)
{
        return pid > 0 && pid < PID_LIMIT && family.bits[pid / 64] >> (pid % 64) & 1;
}

static void family_add(pid_t pid)
{
        family.bits[pid / 64] |= UINT64_C(1) << (pid % 64);
        if (pid > family.highest)
                family.highest = pid;
        family.found++;
        family.grew = true;
}

static void family_clear(void)
{
        memset(family.bits, 0, ((size_t)family.highest / 64 + 1) * sizeof(family.bits[0]));
        family.highest = 0;
        family.found = 0;
        family.signalled = 0;
        family.saw_spared = false;
}

/* A decimal number that is all of @text up to @end; -1 for anything else. */
static pid_t parse_pid(const char *text, char end)
{
        pid_t n = 0;

        if (*text < '0' || *text > '9')
                return -1;
        for (; *text >= '0' && *text <= '9'; text++) {
                n = n * 10 + (*text - '0');
                if (n >= PID_LIMIT)
                        return -1;
        }
        return *text == end ? n : -1;
}

#define THREADS_FIELD 16 /* of /proc/PID/stat, counted from the parent */

/* A main thread that has ended is a zombie, however many others of its process run on. */
static bool has_threads(const char *parent)
{
        for (unsigned n = 0; n < THREADS_FIELD && parent; n++) {
                parent = strchr(parent, ' ');
                parent += parent != NULL;
        }
        return !parent || strncmp(parent, "1 ", 2) != 0;
}

/*
 * `PID (NAME) STATE PPID …`: the name may hold anything, so the last ')' counts.
 * Returns the parent, 0 where that can't be told, or -1: gone, or a zombie, which has no
 * use for a signal.
 */
static pid_t parent_of(int proc, const char *pid)
{
        char path[32];
        char stat[1536]; /* 52 numbers, should all of them be long */
        struct wr w = wr_of(path, sizeof(path) - 1);
        const char *at;
        ssize_t n;

        wr_fmt(&w, "%s/stat", pid);
        n = read_file(proc, wr_cstr(&w), stat, sizeof(stat));
        if (n < 0)
                return n == -ENOENT || n == -ESRCH ? -1 : 0;
        at = strrchr(stat, ')');
        if (!at || at[1] != ' ' || !at[2] || at[3] != ' ')
                return 0;
        if (at[2] == 'X' || (at[2] == 'Z' && !has_threads(at + 4)))
                return -1;
        return parse_pid(at + 4, ' ');
}

static pid_t spared[STOP_SPARED];

bool stop_is_spared(pid_t pid)
{
        for (size_t i = 0; i < COUNT(spared); i++) {
                if (spared[i] == pid)
                        return true;
        }
        return false;
}

static bool any_spared(void)
{
        for (size_t i = 0; i < COUNT(spared); i++) {
                if (spared[i])
                        return true;
        }
        return false;
}

void stop_spare(pid_t pid)
{
        for (size_t i = 0; i < COUNT(spared); i++) {
                if (!spared[i]) {
                        spared[i] = pid;
                        return;
                }
        }
}

void stop_spare_no_more(pid_t pid)
{
        for (size_t i = 0; i < COUNT(spared); i++) {
                if (spared[i] == pid)
                        spared[i] = 0;
        }
}

/* PID 1 answers for everybody: who entered from outside (docker exec) has no parent here. */
static bool is_ours(pid_t pid, pid_t parent)
{
        pid_t self = getpid();

        if (parent < 0)
                return false;
        return parent == self || family_has(parent) || (self == 1 && pid != 1);
}

/* @fd is @pid's, or -1 where the kernel has no pidfd_open (before Linux 5.3). */
static bool send(int fd, pid_t pid, int signal)
{
        if (fd < 0)
                return !kill(pid, signal);
        return !syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
}

/* Is the process gone, or one that we had better not signal by its number? */
static bool is_lost(int err)
{
        return err != ENOSYS && (getpid() != 1 || err == ESRCH || err == ENOENT || err == EINVAL);
}

/*
 * The descriptor is opened before the parent is read: should the number have gone to
 * a stranger in between, the descriptor's process is dead and the signal hits nobody.
 * PID 1 asks while the world stands still, and does without: there might be none left.
 */
static void visit(int proc, const char *name, int signal)
{
        pid_t pid = parse_pid(name, '\0');
        AUTO_CLOSE int fd = -1;

        if (pid <= 0 || family_has(pid))
                return;
        if (stop_is_spared(pid)) {
                family.saw_spared |= !faccessat(proc, name, X_OK, 0);
                return;
        }
        fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0 && is_lost(errno))
                return;
        if (!is_ours(pid, parent_of(proc, name)))
                return;
        family_add(pid);
        family.signalled += send(fd, pid, signal);
}

struct entry {
        uint64_t inode;
        int64_t offset;
        unsigned short length;
        unsigned char type;
        char name[];
};

/* Once over /proc. Not readdir(): it allocates. */
static int visit_all(int proc, int signal)
{
        _Alignas(struct entry) char buf[4096];

        if (lseek(proc, 0, SEEK_SET) < 0)
                return -errno;
        for (;;) {
                long n = syscall(SYS_getdents64, proc, buf, sizeof(buf));

                if (n <= 0)
                        return n ? -errno : 0;
                for (long at = 0; at < n;) {
                        const struct entry *e = (const void *)(buf + at);

                        visit(proc, e->name, signal);
                        at += e->length;
                }
        }
}

/* A /proc of another pid namespace has other numbers: it would name strangers. */
static bool numbers_are_ours(int proc)
{
        char self[16];
        ssize_t n = readlinkat(proc, "self", self, sizeof(self) - 1);

        if (n <= 0)
                return false;
        self[n] = '\0';
        return parse_pid(self, '\0') == getpid();
}

/*
 * Again until a pass finds nobody new: children are often listed before parents. Of those who
 * fork meanwhile there is always one more, whom the next call finds.
 */
static int signal_family(int signal)
{
        AUTO_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        unsigned passes = 0;
        int r;

        if (proc < 0)
                return -errno;
        if (!numbers_are_ours(proc))
                return -ENOENT;
        family_clear();
        do {
                family.grew = false;
                r = visit_all(proc, signal);
        } while (!r && family.grew && ++passes < PASSES_MAX);
        if (r < 0)
                return r;
        /* What hides our own program, which is nobody else's either, hides others (hidepid). */
        if (any_spared() && !family.saw_spared)
                return -EACCES;
        if (!family.found)
                return -ESRCH;
        return family.signalled ? 0 : -EPERM;
}

/*
 * Everybody but those spared. The world stands still meanwhile, which kill(-1) does in one
 * step: nobody forks behind our back, and a pid that was read names the same process.
 */
static int signal_others(int signal)
{
        int r;

        if (kill(-1, SIGSTOP) < 0)
                return -errno;
        r = signal_family(signal);
        if (signal != SIGKILL)
                kill(-1, SIGCONT);
        for (size_t i = 0; i < COUNT(spared); i++) {
                if (spared[i])
                        kill(spared[i], SIGCONT);
        }
        return r;
}

/* kill(-1) answers 0 also when it was refused everywhere: EPERM shows as survivors. */
int stop_signal(int signal)
{
        if (getpid() != 1)
                return signal_family(signal);
        if (any_spared())
                return signal_others(signal);
        return kill(-1, signal) < 0 ? -errno : 0;
}

/*
 * --- The wait ------------------------------------------------------------------------
 */
/*
 * Reaps what is dead, but not for ever: a storm of forks may be faster, until it is killed.
 * 1: there may be more; 0: we have living children; -1: none.
 */
static int reap(struct stop_count *count)
{
        pid_t pid = 1;

        for (unsigned n = 0; n < REAP_MAX && pid > 0; n++) {
                pid = waitpid(-1, NULL, WNOHANG);
                if (pid > 0) {
                        count->reaped += !stop_is_spared(pid);
                        stop_spare_no_more(pid);
                }
        }
        return pid > 0 ? 1 : pid;
}

/*
 * Elsewhere than PID 1 all that is ours hangs below our children, so /proc is not asked;
 * unless some of them are spared. Then whoever forks fast enough is in no listing, and the
 * listing of a storm comes to no end: it is made while the world stands still.
 */
static bool nobody_left(bool children)
{
        if (any_spared())
                return (getpid() == 1 ? signal_others(0) : signal_family(0)) == -ESRCH;
        return !children && (getpid() != 1 || (kill(-1, 0) < 0 && errno == ESRCH));
}

/*
 * Waits until nobody is left (0) or time is up (-ETIMEDOUT). @signal, if any, is sent
 * again whenever a child ended: its own children may have been forked behind our back.
 */
static int wait_gone(unsigned ms, int signal, struct stop_count *count)
{
        int64_t deadline = (int64_t)now_ms() + ms;
        siginfo_t info;

        for (;;) {
                int more = reap(count);
                bool children = more >= 0;
                int64_t left = deadline - (int64_t)now_ms();

                if (nobody_left(children)) {
                        reap(count); /* who died since is no process, but one to count */
                        return 0;
                }
                if (left <= 0)
                        return -ETIMEDOUT;
                if ((!children || any_spared()) && left > STRANGER_POLL_MS)
                        left = STRANGER_POLL_MS;
                if (left > INT_MAX)
                        left = INT_MAX;
                sig_wait(SIG_BIT(SIGCHLD), &info, more > 0 ? 0 : (int)left);
                if (signal)
                        stop_signal(signal);
        }
}

/* Who is left and why. /proc may be missing: then 1 stands for some. */
static int survivors(struct stop_count *count)
{
        int r = signal_family(0);

        if (r == -ESRCH)
                return 0; /* gone this moment */
        count->survivors = r && r != -EPERM ? 1 : family.found;
        return r == -EPERM ? -EPERM : -ETIMEDOUT;
}

int stop_everyone(unsigned grace_ms, unsigned kill_ms, struct stop_count *count)
{
        *count = (struct stop_count){ 0 };
        if (nobody_left(reap(count) >= 0))
                return 0;
        if (grace_ms) {
                stop_signal(SIGTERM);
                stop_signal(SIGCONT); /* a stopped process sees its TERM when it goes on */
                if (!wait_gone(grace_ms, 0, count))
                        return 0;
        }
        stop_signal(SIGKILL);
        if (!wait_gone(kill_ms, SIGKILL, count))
                return 0;
        return survivors(count);
}
