/* agent/keeper.c - starts one program, and answers for all that comes of it. */
#include "agent/keeper.h"

#include "agent/cage.h"
#include "base/wr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STACK_LEN (64U << 10)
#define TREE_MAX 4096   /* processes seen in one round of killing */
#define ROUNDS_MAX 2000 /* of a millisecond */

/* What the leader leaves behind when it can't become the program. */
struct failure {
        int err;
        char stage[56];
};

struct leader {
        const struct launch *launch;
        struct failure *failure;
};

/* By the kernel's own call: libc keeps 32 to 34 for itself, and whoever started us may not. */
static void reset_signals(void)
{
        static const unsigned long dfl[4]; /* struct sigaction of the kernel: SIG_DFL is 0 */
        sigset_t none;

        for (int n = 1; n <= 64; n++)
                syscall(SYS_rt_sigaction, n, dfl, NULL, 8); /* SIGKILL and SIGSTOP stay */
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

/* execvp(3), but the PATH is the child's, and a script needs its first line. */
static int run_file(const struct launch *l)
{
        char full[PATH_MAX];
        const char *dir = l->path;
        int err = ENOENT;

        if (strchr(l->file, '/')) {
                execve(l->file, l->argv, l->envp);
                return errno;
        }
        if (!l->file[0])
                return ENOENT;
        while (dir) {
                const char *colon = strchr(dir, ':');
                size_t n = colon ? (size_t)(colon - dir) : strlen(dir);
                struct wr w = wr_of(full, sizeof(full) - 1);

                wr_bytes(&w, n ? dir : ".", n ? n : 1);
                wr_fmt(&w, "/%s", l->file);
                if (!w.full) {
                        execve(wr_cstr(&w), l->argv, l->envp);
                        if (errno == EACCES)
                                err = EACCES;
                        else if (errno != ENOENT && errno != ENOTDIR)
                                return errno;
                }
                dir = colon ? colon + 1 : NULL;
        }
        return err;
}

/* Shares the keeper's memory while that waits: touches nothing but its own failure. */
static int leader_main(void *argument)
{
        const struct leader *me = argument;
        const struct launch *l = me->launch;
        const char *stage = "";
        int r = 0;

        setsid();
        if (l->tty && ioctl(l->in, TIOCSCTTY, 0) < 0)
                r = errno;
        /* Ours lie above 2: keeper_main saw to it. */
        if (!r && (dup2(l->in, 0) < 0 || dup2(l->out, 1) < 0 || dup2(l->err, 2) < 0))
                r = errno;
        if (!r && syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) < 0)
                for (int fd = 3; fd < 64; fd++)
                        fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (!r && chdir(l->cwd) < 0)
                r = errno;
        prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
        if (!r && l->grants)
                r = -cage_enter(l->grants, &stage);
        reset_signals();
        if (!r)
                r = run_file(l);
        me->failure->err = r;
        strncpy(me->failure->stage, stage, sizeof(me->failure->stage) - 1);
        _exit(127);
}

static pid_t start_leader(const struct launch *l, struct failure *failure)
{
        static char stack[STACK_LEN] LARGE_BUFFER __attribute__((aligned(16)));
        struct leader me = { l, failure };
        bool apart = l->grants && cage_needs_namespaces(l->grants);
        pid_t pid;

        /* A user namespace can't be left to a process that shares memory. */
        pid = clone(leader_main, stack + sizeof(stack),
                    (apart ? 0 : CLONE_VM) | CLONE_VFORK | SIGCHLD, &me);
        if (pid < 0)
                failure->err = errno;
        return pid;
}

/* --- killing all of it ---------------------------------------------------------------------- */

/* Adds the children of @pid to @list. Returns the new count. */
static size_t add_children(pid_t pid, pid_t *list, size_t count)
{
        char path[64], text[8192];
        struct wr w = wr_of(path, sizeof(path) - 1);
        ssize_t n;
        pid_t number = 0;

        wr_fmt(&w, "/proc/%d/task/%d/children", pid, pid);
        AUTO_CLOSE int fd = open(wr_cstr(&w), O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return count;
        while ((n = read(fd, text, sizeof(text))) > 0)
                for (ssize_t i = 0; i < n; i++) {
                        if (text[i] >= '0' && text[i] <= '9') {
                                number = number * 10 + (text[i] - '0');
                        } else {
                                if (number && count < TREE_MAX)
                                        list[count++] = number;
                                number = 0;
                        }
                }
        return count;
}

/* SIGKILL for everybody below us. What is orphaned by it becomes our child: next round. */
static void kill_tree(pid_t leader)
{
        static pid_t list[TREE_MAX] LARGE_BUFFER;
        size_t count = add_children(getpid(), list, 0), i = 0;

        if (leader > 0)
                kill(-leader, SIGKILL);
        /* Deepest last, and each parent is stopped before its children are read. */
        for (; i < count; i++) {
                kill(list[i], SIGSTOP);
                count = add_children(list[i], list, count);
        }
        for (i = 0; i < count; i++)
                kill(list[i], SIGKILL);
}

struct keeper {
        int sock;
        pid_t leader; /* 0: reaped */
};

static void tell(const struct keeper *k, enum keeper_what what, int value, const char *stage)
{
        struct keeper_word word = { (int32_t)what, value, "" };

        strncpy(word.stage, stage, sizeof(word.stage) - 1);
        while (send(k->sock, &word, sizeof(word), MSG_NOSIGNAL) < 0 && errno == EINTR)
                ;
}

/* False: nobody is left. */
static bool reap(struct keeper *k)
{
        for (;;) {
                int status;
                pid_t pid = waitpid(-1, &status, WNOHANG);

                if (pid == 0)
                        return true;
                if (pid < 0)
                        return errno != ECHILD;
                if (pid == k->leader) {
                        k->leader = 0;
                        tell(k, KEEPER_EXITED, status, "");
                }
        }
}

/* Until nobody is left, or for two seconds: what another user runs can't be killed. */
static bool kill_all(struct keeper *k)
{
        for (unsigned round = 0; round < ROUNDS_MAX; round++) {
                struct timespec pause = { 0, 1000000 };

                kill_tree(k->leader);
                if (!reap(k))
                        return true;
                nanosleep(&pause, NULL);
                if (!reap(k))
                        return true;
        }
        return false;
}

static void obey(struct keeper *k)
{
        char order;
        ssize_t n = recv(k->sock, &order, 1, 0);

        if (n < 0 && errno == EINTR)
                return;
        if (n <= 0) {
                kill_all(k);
                _exit(0);
        }
        if (order == KEEPER_KILL)
                kill_all(k);
        else if (k->leader)
                kill(-k->leader, SIGINT);
}

/* All descriptors but these few close; they are above 2 afterwards. */
static void close_others(int *const keep[], size_t count)
{
        unsigned from = 0;

        for (size_t i = 0; i < count; i++)
                if (*keep[i] <= 2)
                        *keep[i] = fcntl(*keep[i], F_DUPFD_CLOEXEC, 3);
        for (;;) {
                unsigned next = UINT_MAX;

                for (size_t i = 0; i < count; i++)
                        if ((unsigned)*keep[i] >= from && (unsigned)*keep[i] < next)
                                next = (unsigned)*keep[i];
                if (next > from)
                        syscall(SYS_close_range, from, next - (next != UINT_MAX), 0U);
                if (next == UINT_MAX)
                        return;
                from = next + 1;
        }
}

NORETURN static void keeper_main(struct launch l, int sock)
{
        struct keeper k = { .sock = sock };
        int *const keep[] = { &k.sock, &l.in, &l.out, &l.err };
        struct failure here = { 0 }, *failure = &here;
        struct pollfd watched[2];
        sigset_t set;

        prctl(PR_SET_NAME, "airlock-keeper", 0, 0, 0);
        setsid();
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
        close_others(keep, COUNT(keep));
        sigfillset(&set);
        sigprocmask(SIG_SETMASK, &set, NULL);
        if (l.grants) /* the leader may get memory of its own */
                failure = mmap(NULL, sizeof(*failure), PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (failure == MAP_FAILED)
                _exit(1);
        k.leader = start_leader(&l, failure);
        if (k.leader < 0 || failure->err) {
                tell(&k, KEEPER_FAILED, failure->err, failure->stage);
                _exit(0);
        }
        tell(&k, KEEPER_STARTED, k.leader, "");
        close(l.in);
        close(l.out);
        close(l.err);
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        watched[0] = (struct pollfd){ .fd = k.sock, .events = POLLIN };
        watched[1] = (struct pollfd){ .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
                                      .events = POLLIN };
        while (reap(&k)) {
                struct signalfd_siginfo info;

                if (poll(watched, COUNT(watched), -1) < 0)
                        continue;
                while (read(watched[1].fd, &info, sizeof(info)) > 0)
                        ;
                if (watched[0].revents)
                        obey(&k);
        }
        _exit(0);
}

int keeper_start(const struct launch *l)
{
        int pair[2];
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        pid = fork();
        if (pid == 0)
                keeper_main(*l, pair[1]);
        if (pid < 0) {
                int err = errno;

                close(pair[0]);
                close(pair[1]);
                return -err;
        }
        close(pair[1]);
        fcntl(pair[0], F_SETFL, O_NONBLOCK);
        return pair[0];
}

void keeper_tell(int keeper, enum keeper_order order)
{
        char c = (char)order;

        while (send(keeper, &c, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EINTR)
                ;
}
