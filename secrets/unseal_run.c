/* secrets/unseal_run.c - PID 1's orders: descriptors for the session, the session, its end. */
#include "base/confine.h"
#include "base/io.h"
#include "secrets/filter.h"
#include "secrets/leak.h"
#include "secrets/unseal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define SCAN_MS 120000         /* from ENDED to the next order */
#define ORDER_MAX (512L * 1024) /* bytes of a session's words and environment */
#define WORDS_MAX 64UL
#define CAP(n) (UINT64_C(1) << (n))

static char *words[WORDS_MAX + 1];
static LARGE_BUFFER char *variables[SESSION_VARS + 1];

/* --- what PID 1 asks for -------------------------------------------------------------------- */

static int next_order(struct unseal *u, struct msg *m)
{
        struct pollfd p = { .fd = u->o.control, .events = POLLIN };
        int fd = -1;
        int r = poll(&p, 1, u->ran ? SCAN_MS : -1) ? msg_receive(u->o.control, m, &fd) : -ETIMEDOUT;

        if (r < 0)
                fail(u, STATUS_AGAIN, "PID 1 does not say what to do next: %s",
                     r == -EPIPE ? "it is gone" : strerror(-r));
        return fd;
}

static NORETURN void wrong_order(struct unseal *u)
{
        fail(u, STATUS_AGAIN, "PID 1 asked for what can't be done: %s", strerror(EPROTO));
}

/* Takes @fd. */
static void lend(struct unseal *u, uint32_t number, int fd)
{
        struct session *s = &u->session;

        if (fd < 0 || s->pass_count == COUNT(s->pass))
                wrong_order(u);
        if (number == LEND_PROGRAM) {
                s->program = fd;
                return;
        }
        if (number < LEND_FIRST || number >= LEND_FIRST + LEND_COUNT ||
            dup3(fd, (int)number, O_CLOEXEC) < 0)
                wrong_order(u);
        close(fd);
        s->pass[s->pass_count++] = (int)number;
}

/* The strings from @at on, up to an empty one, into @list; the place behind that. */
static size_t take_strings(struct unseal *u, char *text, size_t len, size_t at, char **list,
                           size_t max)
{
        size_t n = 0;

        for (; at < len && text[at]; at += strlen(text + at) + 1) {
                if (n == max)
                        wrong_order(u);
                list[n++] = text + at;
        }
        list[n] = NULL;
        return at + 1;
}

/* Takes @fd, whose bytes stay mapped: the session's words and variables lie in them. */
static void take_order(struct unseal *u, int fd)
{
        struct session *s = &u->session;
        struct stat st;
        char *text;
        size_t len, at;

        if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < 2 || st.st_size > ORDER_MAX)
                wrong_order(u);
        len = (size_t)st.st_size;
        text = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        close(fd);
        if (text == MAP_FAILED || text[len - 1])
                wrong_order(u);
        s->cwd = text;
        at = take_strings(u, text, len, strlen(text) + 1, words, WORDS_MAX);
        take_strings(u, text, len, at, variables, SESSION_VARS);
        if (!words[0])
                wrong_order(u);
        s->argv = words;
}

/* What PID 1 gave, and the secrets over it. */
static void make_environment(struct unseal *u)
{
        const struct vars *v = u->vars;
        size_t n = 0;

        for (char **e = variables; *e; e++) {
                if (!vars_find(v, *e, strcspn(*e, "=")))
                        u->envp[n++] = *e;
        }
        for (size_t i = 0; i < v->count; i++) {
                const struct var *e = &v->list[i];
                bool withheld = unseal_lists(u->o.withhold, vars_name(v, e), e->name_len);

                u->envp[n++] = withheld ? unseal_placeholder(u, vars_name(v, e), e->name_len)
                                        : v->text + e->at;
        }
        u->envp[n] = NULL;
        u->session.envp = u->envp;
}

/* --- the session ------------------------------------------------------------------------------ */

/* A signalfd; what they were is what the session gets. */
static int catch_signals(struct unseal *u)
{
        static sigset_t before;
        sigset_t ours;

        sigemptyset(&ours);
        sigaddset(&ours, SIGCHLD);
        sigaddset(&ours, SIGTERM);
        sigaddset(&ours, SIGINT);
        sigaddset(&ours, SIGQUIT);
        sigaddset(&ours, SIGHUP);
        signal(SIGPIPE, SIG_IGN);
        if (sigprocmask(SIG_BLOCK, &ours, u->ran ? NULL : &before) < 0)
                return -errno;
        u->session.signals = &before;
        return signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
}

/*
 * What is left to do reads files of everyone, removes some, and passes bytes on. A
 * descriptor limit for the walk: not before the session has its own.
 */
static void keep_few_rights(struct unseal *u)
{
        static const uint16_t calls[] = {
                SYS_read, SYS_write, SYS_pread64, SYS_close, SYS_openat, SYS_fcntl, SYS_lseek,
                SYS_fstat, SYS_newfstatat, SYS_statx, SYS_fstatfs, SYS_getdents64,
                SYS_readlinkat, SYS_flistxattr, SYS_fgetxattr, SYS_unlinkat, SYS_ftruncate,
                SYS_ppoll, SYS_wait4, SYS_kill, SYS_sendmsg, SYS_recvmsg, SYS_clock_gettime,
                SYS_shmctl, SYS_shmat, SYS_shmdt, SYS_msgctl, SYS_msgrcv, SYS_munmap, SYS_keyctl,
                SYS_mq_open, SYS_mq_getsetattr, SYS_mq_timedreceive, SYS_mq_timedsend,
                SYS_exit_group, SYS_exit, SYS_rt_sigreturn, SYS_rt_sigprocmask,
                SYS_restart_syscall, /* poll goes on with it after a stop */
#ifdef SYS_open
                SYS_open, SYS_poll, SYS_unlink, SYS_readlink, SYS_stat, SYS_lstat,
#endif
        };
        struct confine few = {
                .keep_caps = CAP(CAP_DAC_OVERRIDE) | CAP(CAP_DAC_READ_SEARCH) | CAP(CAP_FOWNER) |
                             CAP(CAP_KILL) | CAP(CAP_IPC_OWNER),
                .no_new_privs = true,
        };
        struct rlimit files;
        const char *stage = "raise the number of descriptors";
        int r = 0;

        if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < LEAK_DEPTH + 32 &&
            files.rlim_cur < files.rlim_max) {
                files.rlim_cur = files.rlim_max;
                setrlimit(RLIMIT_NOFILE, &files); /* if not, deep directories are told of */
        }
        r = confine_apply(&few, &stage);
        if (!r) {
                stage = "filter system calls";
                r = filter_allow(calls, COUNT(calls));
        }
        if (r < 0) {
                kill(-u->session.pid, SIGKILL);
                kill(u->session.pid, SIGKILL);
                fail(u, STATUS_AGAIN, "%s: %s", stage, strerror(-r));
        }
}

static void begin(struct unseal *u)
{
        struct timespec t;

        if (u->ran)
                return;
        clock_gettime(CLOCK_REALTIME, &t);
        u->since_s = t.tv_sec;
        u->phase = "setup";
        u->ran = true;
}

/* @last: no other will be asked for, so nothing that starts one is needed any more. */
static void run_session(struct unseal *u, bool last)
{
        struct session *s = &u->session;
        struct msg ended = { .type = MSG_ENDED };
        const char *stage;
        int signals = catch_signals(u);
        int r;

        begin(u);
        masker_init(u->mask, u->search);
        r = signals < 0 ? signals : session_start(s, &stage);
        if (r < 0)
                fail(u, STATUS_AGAIN, "start the setup session: %s", strerror(-r));
        while (s->pass_count)
                close(s->pass[--s->pass_count]);
        if (s->program >= 0)
                close(s->program);
        s->program = -1;
        if (last)
                keep_few_rights(u);
        r = session_watch(s, signals);
        if (r < 0) {
                kill(-s->pid, SIGKILL);
                fail(u, STATUS_AGAIN, "watch the setup session: %s",
                     r == -EPIPE ? "PID 1 is gone" : strerror(-r));
        }
        close(signals);
        if (last)
                close(s->to);
        ended.error = s->wait_status;
        unseal_take_line(u, ended.text, sizeof(ended.text));
        r = msg_send(u->o.control, &ended, -1);
        if (r < 0)
                fail(u, STATUS_AGAIN, "tell PID 1 that the session has ended: %s", strerror(-r));
}

void unseal_serve(struct unseal *u)
{
        struct session *s = &u->session;
        bool few = false;

        s->program = -1;
        s->mask = u->mask;
        s->control = u->o.control;
        s->to = u->o.output;
        for (;;) {
                struct msg m = { 0 };
                int fd = next_order(u, &m);

                switch (m.type) {
                case MSG_LEND:
                        lend(u, m.kind, fd);
                        break;
                case MSG_RUN:
                        if (few)
                                wrong_order(u);
                        take_order(u, fd);
                        make_environment(u);
                        few = !m.kind;
                        run_session(u, few);
                        break;
                case MSG_SCAN:
                        if (u->ran && !few)
                                keep_few_rights(u);
                        return;
                default:
                        wrong_order(u);
                }
        }
}
