/* netfilter/probe_process.c - the ways out that lead through other processes. */
#include "netfilter/probe_tries.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define FDS_MAX 1024

void probe_say_errno(struct wr *detail, int err)
{
        wr_str(detail, err ? strerror(err) : "opened");
}

/* Tries @attack on everybody outside: 0 when it worked, or its errno. */
static bool on_everybody(const struct probe *p, int (*attack)(int pid), struct wr *detail)
{
        int err = ESRCH;

        for (unsigned i = 0; i < p->pid_count; i++) {
                err = attack(p->pids[i]);
                if (!err) {
                        wr_fmt(detail, "process %d", p->pids[i]);
                        return false;
                }
        }
        probe_say_errno(detail, err);
        return true;
}

static int seize(int pid)
{
        if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
                return errno;
        ptrace(PTRACE_DETACH, pid, NULL, NULL);
        return 0;
}

static int read_stack(int pid)
{
        char byte;
        struct iovec here = { &byte, 1 }, there = { &byte, 1 };

        /* Our stack's address is hardly theirs: EFAULT means that we might have read. */
        if (process_vm_readv(pid, &here, 1, &there, 1, 0) < 0 && errno != EFAULT)
                return errno;
        return 0;
}

static int borrow(int pid)
{
        AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        int err = 0;

        if (pidfd < 0)
                return errno;
        for (int fd = 0; fd < 16; fd++) {
                AUTO_CLOSE int got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

                if (got >= 0)
                        return 0;
                err = errno;
        }
        return err == EBADF ? 0 : err; /* it was looked up: only the number was wrong */
}

static int open_below(int pid, const char *name, int flags)
{
        char path[48];
        struct wr w = wr_of(path, sizeof(path));

        wr_fmt(&w, "/proc/%d/%s", pid, name);
        return open(wr_cstr(&w), flags | O_CLOEXEC);
}

static int open_memory(int pid)
{
        AUTO_CLOSE int fd = open_below(pid, "mem", O_RDWR);

        return fd < 0 ? errno : 0;
}

static int join(int pid)
{
        static const char names[][8] = { "ns/net", "ns/user", "ns/mnt" };
        int err = 0;

        for (size_t i = 0; i < COUNT(names); i++) {
                AUTO_CLOSE int fd = open_below(pid, names[i], O_RDONLY);

                if (fd >= 0 && !setns(fd, 0))
                        return 0;
                err = errno;
        }
        return err;
}

/* Signal 0 asks for the right and sends nothing. PID 1 of a container heeds nobody's. */
static int send_signal(int pid)
{
        if (pid == 1)
                return EPERM;
        return kill(pid, 0) < 0 ? errno : 0;
}

bool probe_trace(const struct probe *p, int argument, struct wr *detail)
{
        (void)argument;
        return on_everybody(p, seize, detail);
}

bool probe_read_memory(const struct probe *p, int argument, struct wr *detail)
{
        (void)argument;
        return on_everybody(p, read_stack, detail);
}

bool probe_borrow(const struct probe *p, int argument, struct wr *detail)
{
        (void)argument;
        return on_everybody(p, borrow, detail);
}

bool probe_open_memory(const struct probe *p, int argument, struct wr *detail)
{
        (void)argument;
        return on_everybody(p, open_memory, detail);
}

bool probe_join(const struct probe *p, int argument, struct wr *detail)
{
        (void)argument;
        return on_everybody(p, join, detail);
}

bool probe_signal(const struct probe *p, int argument, struct wr *detail)
{
        (void)argument;
        return on_everybody(p, send_signal, detail);
}

/* In a child, which keeps what it got. Below a namespace of our own, more are harmless. */
bool probe_namespace(const struct probe *p, int flags, struct wr *detail)
{
        pid_t pid = fork();
        int status;

        if (pid < 0) {
                probe_say_errno(detail, errno);
                return false;
        }
        if (!pid)
                _exit(unshare(flags) < 0 ? errno : 0);
        if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status)) {
                wr_str(detail, "killed");
                return true;
        }
        probe_say_errno(detail, WEXITSTATUS(status));
        return WEXITSTATUS(status) || p->alone;
}

/* Sockets from before the lock, whatever their number; of 0 to 2 only those that lead out. */
bool probe_inherited(const struct probe *p, int argument, struct wr *detail)
{
        (void)p;
        (void)argument;
        for (int fd = 0; fd < FDS_MAX; fd++) {
                struct stat st;
                int domain = 0;
                socklen_t len = sizeof(domain);

                if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
                        continue;
                if (fd <= STDERR_FILENO &&
                    !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == AF_UNIX)
                        continue;
                wr_fmt(detail, "descriptor %d is a socket", fd);
                return false;
        }
        wr_str(detail, "none");
        return true;
}

/* What is typed that way is the operator's shell's to run, once we have ended. */
bool probe_type_ahead(const struct probe *p, int argument, struct wr *detail)
{
        AUTO_CLOSE int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
        char nothing = '\0';

        (void)p;
        (void)argument;
        if (ioctl(tty < 0 ? STDIN_FILENO : tty, TIOCSTI, &nothing) == 0) {
                wr_str(detail, "typed into the terminal");
                return false;
        }
        probe_say_errno(detail, errno);
        return true;
}

bool probe_ring(const struct probe *p, int argument, struct wr *detail)
{
        struct {
                uint32_t words[30];
        } params = { 0 };
        AUTO_CLOSE int fd = (int)syscall(SYS_io_uring_setup, 1, &params);

        (void)argument;
        probe_say_errno(detail, fd < 0 ? errno : 0);
        return fd < 0 || p->alone;
}
