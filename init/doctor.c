/*
 * init/doctor.c - `airlock doctor`: what a task would find here.
 *
 * Each line is `ok` or `no`, what was looked at, what was found, and for a no what would
 * unlock it. What can be tried is tried, in a child, and never guessed from capability
 * bits. Nothing is changed.
 */
#include "base/base.h"
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "base/ruleset.h"
#include "base/wr.h"
#include "init/command.h"
#include "init/lock.h"
#include "init/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#define UNLIMITED "unlimited"

/* Needed for a task with its network off; anything else is for the operator to know. */
static bool task_possible = true;
static enum lock best_lock = LOCKED_NOT;
static int output_status = STATUS_OK;

static void put_line(struct wr *w)
{
        wr_char(w, '\n');
        if (write_full(STDOUT_FILENO, w->buf, w->len) < 0)
                output_status = STATUS_OUTPUT;
}

/* @unlock says what would turn a no into an ok; NULL where nothing needs saying. */
static void say(bool ok, const char *what, const char *detail, const char *unlock)
{
        char line[LOG_LINE];
        struct wr w = wr_of(line, sizeof(line) - 1);

        wr_fmt(&w, "%s  %s: ", ok ? "ok" : "no", what);
        wr_plain(&w, detail, strlen(detail));
        if (!ok && unlock)
                wr_fmt(&w, " - %s", unlock);
        w.cap++; /* the newline's place */
        put_line(&w);
}

static void need(bool ok, const char *what, const char *detail, const char *unlock)
{
        say(ok, what, detail, unlock);
        task_possible &= ok;
}

/* --- who we are -------------------------------------------------------------------- */

static void look_at_pid(void)
{
        char text[64];
        struct wr w = wr_of(text, sizeof(text));

        wr_fmt(&w, "process %d", (int)getpid());
        say(getpid() == 1, "PID 1", wr_cstr(&w),
            "make airlock the ENTRYPOINT and don't share the host's pid namespace; or use --box");
}

static void look_at_user(void)
{
        char text[64];
        struct wr w = wr_of(text, sizeof(text));

        wr_fmt(&w, "uid %u, gid %u", getuid(), getgid());
        say(true, "user", wr_cstr(&w), NULL);
}

/* Names by number, capabilities(7); those of newer kernels appear as numbers. */
static const char *const cap_names[] = {
        "chown",         "dac_override",     "dac_read_search", "fowner",
        "fsetid",        "kill",             "setgid",          "setuid",
        "setpcap",       "linux_immutable",  "net_bind_service", "net_broadcast",
        "net_admin",     "net_raw",          "ipc_lock",        "ipc_owner",
        "sys_module",    "sys_rawio",        "sys_chroot",      "sys_ptrace",
        "sys_pacct",     "sys_admin",        "sys_boot",        "sys_nice",
        "sys_resource",  "sys_time",         "sys_tty_config",  "mknod",
        "lease",         "audit_write",      "audit_control",   "setfcap",
        "mac_override",  "mac_admin",        "syslog",          "wake_alarm",
        "block_suspend", "audit_read",       "perfmon",         "bpf",
        "checkpoint_restore",
};

static void look_at_caps(void)
{
        uint64_t caps = confine_permitted();
        char text[1024];
        struct wr w = wr_of(text, sizeof(text));

        for (unsigned i = 0; i < 64; i++) {
                if (!(caps >> i & 1))
                        continue;
                if (w.len)
                        wr_char(&w, ' ');
                if (i < COUNT(cap_names))
                        wr_str(&w, cap_names[i]);
                else
                        wr_u64(&w, i);
        }
        say(true, "capabilities", caps ? wr_cstr(&w) : "none", NULL);
}

static const char *seccomp_word(int mode)
{
        switch (mode) {
        case 0:
                return "no filter around this container";
        case 2:
                return "a filter of the engine's";
        default:
                return "unknown";
        }
}

static void look_at_prctl(void)
{
        say(true, "no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? "set" : "not set",
            NULL);
        say(true, "seccomp", seccomp_word(prctl(PR_GET_SECCOMP)), NULL);
}

/* --- what can be made, tried in a child ----------------------------------------------- */

/* 0, or the errno of @attempt in a forked child. */
static int in_child(int (*attempt)(void))
{
        pid_t pid = fork();
        int status;

        if (pid < 0)
                return errno;
        if (!pid)
                _exit(attempt() < 0 ? errno : 0);
        while (waitpid(pid, &status, 0) < 0) {
                if (errno != EINTR)
                        return errno;
        }
        return WIFEXITED(status) ? WEXITSTATUS(status) : EPERM; /* a filter killed it */
}

static int make_user(void)
{
        return unshare(CLONE_NEWUSER);
}

/* In a user namespace of our own when we hold no right to do it here. */
static int make_mount(void)
{
        if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
                return -1;
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return -1;
        return mount("airlock", "/", "tmpfs", MS_NOSUID | MS_NODEV, "size=4k");
}

static int make_net(void)
{
        if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
                return -1;
        return 0;
}

static void look_at_landlock(void)
{
        int abi = landlock_abi();
        char text[24];
        struct wr w = wr_of(text, sizeof(text) - 1);

        if (abi)
                wr_fmt(&w, "ABI %d", abi);
        else
                wr_str(&w, "none");
        say(abi >= RULESET_SCOPE_ABI, "Landlock", wr_cstr(&w),
            "a kernel from 6.12 on: before it an agent that has PID 1's own user can end the proxy "
            "by a signal, and its task with it");
}

static void look_at_namespaces(void)
{
        static const struct {
                const char *what;
                int (*attempt)(void);
                const char *unlock;
        } tries[] = {
                { "user namespaces", make_user,
                  "a seccomp profile that allows unshare, and user.max_user_namespaces above 0" },
                { "network namespaces", make_net, "user namespaces, or CAP_SYS_ADMIN" },
                { "mounts", make_mount, "user namespaces, or CAP_SYS_ADMIN (run --box needs it)" },
        };

        for (size_t i = 0; i < COUNT(tries); i++) {
                int err = in_child(tries[i].attempt);

                say(!err, tries[i].what, err ? strerror(err) : "can be made", tries[i].unlock);
        }
}

/* Each is tried in a child; the first that holds is a task's, unless network.lock names one. */
static void look_at_locks(void)
{
        int program = program_open("airlock-lock");

        for (enum lock lock = LOCKED_NETNS; lock < LOCK_NAMES && program >= 0; lock++) {
                char what[24];
                char why[LOCK_WHY];
                struct wr w = wr_of(what, sizeof(what) - 1);
                bool holds = !lock_try(program, lock, why);
                bool first = holds && best_lock == LOCKED_NOT;

                wr_fmt(&w, "lock %s", lock_name(lock));
                if (first)
                        best_lock = lock;
                say(holds, wr_cstr(&w),
                    !holds                  ? why
                    : first                 ? "holds; a task's, unless it names another"
                    : lock == LOCKED_CLOSED ? "holds, for \"off\": unix sockets alone, not even 127.0.0.1"
                                            : "holds",
                    NULL);
        }
        task_possible &= best_lock != LOCKED_NOT;
}

/* --- limits ------------------------------------------------------------------------------ */

/* The first of @paths that can be read: its first line in @text, or false. */
static bool first_line(const char *const paths[2], char *text, size_t cap)
{
        for (size_t i = 0; i < 2; i++) {
                if (read_file(AT_FDCWD, paths[i], text, cap) <= 0)
                        continue;
                text[strcspn(text, "\n")] = '\0';
                return true;
        }
        return false;
}

static void look_at_limits(void)
{
        static const struct {
                const char *what;
                const char *paths[2]; /* cgroup v2, v1; as a container sees its own */
        } limits[] = {
                { "memory limit",
                  { "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes" } },
                { "process limit",
                  { "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max" } },
        };

        for (size_t i = 0; i < COUNT(limits); i++) {
                char text[64];

                if (!first_line(limits[i].paths, text, sizeof(text))) {
                        say(false, limits[i].what, "can't be read",
                            "mount the cgroup at /sys/fs/cgroup");
                        continue;
                }
                /* v1 says "none" with a number just below 2^63. */
                if (!strcmp(text, "max") || strlen(text) == strlen("9223372036854771712"))
                        say(false, limits[i].what, UNLIMITED, "give the container a limit");
                else
                        say(true, limits[i].what, text, NULL);
        }
}

/* --- what a task finds -------------------------------------------------------------------- */

static void look_at_terminal(void)
{
        say(true, "terminal", isatty(STDIN_FILENO) ? "stdin is one" : "none on stdin", NULL);
}

static void look_at_files(void)
{
        struct statvfs root;
        bool read_only = statvfs("/", &root) == 0 && (root.f_flag & ST_RDONLY);

        say(true, "root file system", read_only ? "read-only" : "writable", NULL);
        say(access("/proc/self/fd", R_OK) == 0, "/proc",
            access("/proc/self/fd", R_OK) == 0 ? "mounted" : "not mounted",
            "mount proc at /proc: git and bash miss it sooner or later");
        say(access("/dev/termination-log", W_OK) == 0, "termination log",
            access("/dev/termination-log", F_OK) == 0 ? "/dev/termination-log" : "none",
            "Kubernetes makes one; elsewhere it is not needed");
}

/* Finds @name in PATH as execvp would. */
static bool find_program(const char *name, char *path, size_t cap)
{
        const char *dir = getenv("PATH");

        if (!dir)
                dir = "/usr/local/bin:/bin:/usr/bin";
        for (;;) {
                size_t len = strcspn(dir, ":");
                struct wr w = wr_of(path, cap);
                struct stat st;

                wr_bytes(&w, len ? dir : ".", len ? len : 1);
                wr_fmt(&w, "/%s", name);
                if (w.len < cap && !w.full && stat(wr_cstr(&w), &st) == 0 &&
                    S_ISREG(st.st_mode) && access(path, X_OK) == 0)
                        return true;
                if (!dir[len])
                        return false;
                dir += len + 1;
        }
}

static void look_at_program(const char *name, const char *unlock)
{
        char path[PATH_MAX];
        bool found = find_program(name, path, sizeof(path));

        need(found, name, found ? path : "not in PATH", unlock);
}

static int verdict(void)
{
        static const char any[] = "verdict: tasks can run here, with any network.agent\n";
        static const char off[] = "verdict: tasks can run here, with network.agent \"off\" alone\n";
        static const char no[] = "verdict: a task can't run here: see the lines with no\n";
        const char *text = !task_possible ? no : best_lock == LOCKED_CLOSED ? off : any;

        if (write_full(STDOUT_FILENO, text, strlen(text)) < 0)
                output_status = STATUS_OUTPUT;
        if (output_status != STATUS_OK)
                return output_status;
        return task_possible ? STATUS_OK : STATUS_LOCK;
}

int command_doctor(int argc, char **argv)
{
        if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
                return help_print("doctor");
        if (argc > 1) {
                log_line(LOG_ERROR, "doctor: unexpected argument %s", argv[1]);
                return STATUS_USAGE;
        }
        look_at_pid();
        look_at_user();
        look_at_caps();
        look_at_prctl();
        look_at_landlock();
        look_at_namespaces();
        look_at_limits();
        look_at_terminal();
        look_at_files();
        look_at_program("git", "install git in the image");
        look_at_program("bash", "install bash in the image");
        look_at_locks();
        return verdict();
}
