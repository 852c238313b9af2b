/* netfilter/sandbox.c - `airlock sandbox`: one command under the seal, outside a task. */
#include "netfilter/sandbox.h"

#include "base/io.h"
#include "base/log.h"
#include "base/msg.h"
#include "base/ruleset.h"
#include "base/wr.h"
#include "netfilter/enter.h"
#include "netfilter/idmap.h"
#include "netfilter/sandbox_options.h"
#include "netfilter/sandbox_trust.h"
#include "netfilter/unlock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define PROXY_MS 5000   /* for the proxy to take a policy or a channel */
#define PROXY_END_MS 1000
#define HTTP_PORT 3128  /* in a namespace that is ours alone any port is free */
#define FIRST_FD 3      /* where a program of ours finds its descriptors */
#define FDS_MAX 3
#define BACKLOG 4096

struct sandbox {
        struct sandbox_options o;
        sigset_t mask; /* as we were started */
        bool ignored_chld;
        pid_t self;
        pid_t proxy; /* 0: none */
        int control; /* -1: none */
        pid_t notify; /* airlock-notify, 0: none */
        pid_t command;
        struct sandbox_trust trust;
        char cwd[PATH_MAX];
        char own[PATH_MAX]; /* the program we are */
};

static LARGE_BUFFER char policy_text[SANDBOX_POLICY_MAX];
static LARGE_BUFFER struct sandbox the_sandbox;

/* --- what to do ----------------------------------------------------------------------- */

static void add_root(struct landlock *l, const char *path)
{
        if (path && *path == '/' && l->root_count < LANDLOCK_ROOTS_MAX)
                l->roots[l->root_count++] = path;
}

static enum status find_folders(struct sandbox *s)
{
        ssize_t n = readlink("/proc/self/exe", s->own, sizeof(s->own) - 1);

        if (n <= 0) {
                log_line(LOG_ERROR, "/proc is not mounted");
                return STATUS_LOCK;
        }
        s->own[n] = '\0';
        if (s->o.landlock.fs != FS_WORKSPACE_WRITE)
                return STATUS_OK;
        if (!getcwd(s->cwd, sizeof(s->cwd))) {
                log_errno(LOG_ERROR, errno, "find the working directory");
                return STATUS_LOCK;
        }
        add_root(&s->o.landlock, s->cwd);
        add_root(&s->o.landlock, "/tmp");
        add_root(&s->o.landlock, "/var/tmp");
        add_root(&s->o.landlock, "/dev/shm");
        add_root(&s->o.landlock, getenv("TMPDIR"));
        return STATUS_OK;
}

static enum status read_options(struct sandbox *s, char **argv)
{
        const char *word = "";
        enum sandbox_status parsed;

        s->o.lock = LOCK_COUNT;
        s->o.landlock = (struct landlock){ .fs = FS_WORKSPACE_WRITE, .scope = true };
        s->o.policy = policy_text;
        parsed = sandbox_parse(&s->o, argv, &word);
        if (parsed == SANDBOX_OK)
                return find_folders(s);
        log_line(LOG_ERROR, "%s %s (try 'airlock sandbox --help')", sandbox_status_str(parsed),
                 word);
        return STATUS_USAGE;
}

/* --- the proxy ------------------------------------------------------------------------ */

static void restore_signals(const struct sandbox *s)
{
        if (s->ignored_chld)
                signal(SIGCHLD, SIG_IGN);
        sigprocmask(SIG_SETMASK, &s->mask, NULL);
}

/* Above their places first, so that none covers another. */
static int arrange(const int *fds, size_t count)
{
        int above[FDS_MAX];

        for (size_t i = 0; i < count; i++) {
                above[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_FD + FDS_MAX);
                if (above[i] < 0)
                        return -errno;
        }
        for (size_t i = 0; i < count; i++) {
                if (dup2(above[i], FIRST_FD + (int)i) < 0)
                        return -errno;
        }
        return 0;
}

/* The path of @name beside us; a static text. */
static const char *beside(const struct sandbox *s, const char *name)
{
        static char path[PATH_MAX + 32];
        struct wr w = wr_of(path, sizeof(path));
        const char *slash = strrchr(s->own, '/');

        wr_fmt(&w, "%.*s/%s", (int)(slash - s->own), s->own, name);
        return wr_cstr(&w);
}

/* A program beside us, which ends when we do. */
static NORETURN void become(struct sandbox *s, char *const *argv, const int *fds, size_t count)
{
        int r = arrange(fds, count);

        if (r < 0)
                die_errno(STATUS_LOCK, -r, "arrange the descriptors of %s", argv[0]);
        setpgid(0, 0); /* the terminal's signals are for the command */
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != s->self)
                _exit(STATUS_LOCK);
        restore_signals(s);
        execve(beside(s, argv[0]), argv, environ);
        die_errno(STATUS_LOCK, errno, "start %s", beside(s, argv[0]));
}

/* Its descriptors @fds become 3, 4, … there. The pid or -errno. */
static pid_t start_program(struct sandbox *s, char *const *argv, const int *fds, size_t count)
{
        pid_t pid = fork();

        if (!pid)
                become(s, argv, fds, count);
        return pid < 0 ? -errno : pid;
}

/* @phase: the name that the journal will give to what comes. */
static int send_policy(const struct sandbox *s, const char *phase)
{
        struct msg m = { .type = MSG_POLICY };
        AUTO_CLOSE int fd = sealed_file("policy", s->o.policy, s->o.policy_len);

        memcpy(m.text, phase, strlen(phase));
        return fd < 0 ? fd : msg_ask(s->control, &m, fd, PROXY_MS);
}

/* What the proxy signs with is believed by the command, where airlock-trust is there. */
static int learn_trust(struct sandbox *s, int certificate)
{
        int r = sandbox_trust_open(&s->trust, certificate, beside(s, "airlock-trust"));

        if (r == -ENOENT)
                log_line(LOG_WARN, "airlock-trust is not beside us: what rules look into will "
                                   "not be trusted");
        return r == -ENOENT ? 0 : r;
}

/* @certificate is where the proxy writes the one that it signs with. */
static int start_proxy_with(struct sandbox *s, int certificate, int journal)
{
        char *argv[] = { (char[]){ "airlock-proxy" }, (char[]){ "--control" }, (char[]){ "3" },
                         (char[]){ "--ca-out-fd" }, (char[]){ "4" },
                         (char[]){ "--journal" }, (char[]){ "5" }, NULL };
        int pair[2], fds[FDS_MAX];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        fds[0] = pair[1];
        fds[1] = certificate;
        fds[2] = journal;
        if (journal < 0)
                argv[5] = NULL;
        s->proxy = start_program(s, argv, fds, journal >= 0 ? 3 : 2);
        close(pair[1]);
        s->control = pair[0];
        if (s->proxy < 0) {
                int r = (int)s->proxy;

                s->proxy = 0;
                return r;
        }
        return send_policy(s, s->o.prove ? "prove" : "sandbox");
}

static int start_proxy(struct sandbox *s)
{
        AUTO_CLOSE int journal = -1;
        int pem[2], r;

        if (s->o.journal) {
                journal = open(s->o.journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
                if (journal < 0)
                        return -errno;
        }
        if (pipe2(pem, O_CLOEXEC) < 0)
                return -errno;
        r = start_proxy_with(s, pem[1], journal);
        close(pem[1]);
        if (!r)
                r = learn_trust(s, pem[0]);
        close(pem[0]);
        return r;
}

/* A new channel on which the proxy takes listeners: our end, or -errno. */
static int open_channel(const struct sandbox *s)
{
        struct msg m = { .type = MSG_CHANNEL };
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        r = msg_ask(s->control, &m, pair[1], PROXY_MS);
        close(pair[1]);
        if (r < 0)
                close(pair[0]);
        return r < 0 ? r : pair[0];
}

/* --- the notifier --------------------------------------------------------------------- */

/* A listener of the proxy's on loopback, outside any namespace: its port or -errno. */
static int open_door(const struct sandbox *s, enum listener kind)
{
        struct msg m = { .type = MSG_LISTENER, .kind = kind };
        AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_in at = { .sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof(at);
        int r;

        if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, BACKLOG) < 0 ||
            getsockname(fd, (struct sockaddr *)&at, &len) < 0)
                return -errno;
        r = msg_ask(s->control, &m, fd, PROXY_MS);
        return r < 0 ? r : ntohs(at.sin_port);
}

/* airlock-notify, and our end of the channel that it waits on; -errno. */
static int start_notifier(struct sandbox *s, int proxy, int redirect_port, int http_port)
{
        char port[8], http[8], off[] = "off";
        struct wr w = wr_of(port, sizeof(port) - 1), h = wr_of(http, sizeof(http) - 1);
        char *argv[] = { (char[]){ "airlock-notify" }, (char[]){ "--listener" }, (char[]){ "3" },
                         (char[]){ "--unix" }, (char[]){ "task" },
                         (char[]){ "--mode" }, (char[]){ "on" }, (char[]){ "--proxy" },
                         (char[]){ "4" }, (char[]){ "--redirect-port" }, port,
                         (char[]){ "--http-port" }, http, NULL };
        int pair[2], fds[FDS_MAX];

        if (!s->proxy) {
                argv[6] = off;
                argv[7] = NULL;
        }
        wr_fmt(&w, "%u", (unsigned)redirect_port);
        wr_cstr(&w);
        wr_fmt(&h, "%u", (unsigned)http_port);
        wr_cstr(&h);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        fds[0] = pair[1];
        fds[1] = proxy;
        s->notify = start_program(s, argv, fds, s->proxy ? 2 : 1);
        close(pair[1]);
        if (s->notify > 0)
                return pair[0];
        close(pair[0]);
        redirect_port = (int)s->notify;
        s->notify = 0;
        return redirect_port;
}

/* Everything outside that the notify lock needs: its channel in @e, and the proxy's doors. */
static int arrange_notify(struct sandbox *s, struct enter *e, int proxy)
{
        int redirect_port = 0, door = 0;

        if (s->proxy) {
                door = open_door(s, LISTEN_PROXY);
                redirect_port = door < 0 ? door : open_door(s, LISTEN_NOTIFIED);
                if (redirect_port < 0)
                        return redirect_port;
                e->inside.http_port = (uint16_t)door;
        }
        e->inside.proxy = -1;
        e->notify = start_notifier(s, proxy, redirect_port, door);
        return e->notify < 0 ? e->notify : 0;
}

static void end_notifier(struct sandbox *s)
{
        if (!s->notify)
                return;
        kill(s->notify, SIGKILL);
        while (waitpid(s->notify, NULL, 0) < 0 && errno == EINTR)
                ;
        s->notify = 0;
}

/* --- the command ---------------------------------------------------------------------- */

static NORETURN void become_command(const struct sandbox *s, struct enter *e, char *const *argv)
{
        struct enter_failure f = { 0 };
        const char *stage = "start";
        int r = enter_lock(e, &stage);
        ssize_t n;

        if (!r) {
                restore_signals(s);
                r = enter_exec(e, argv);
                stage = "exec";
        }
        f.err = -r;
        memcpy(f.stage, stage, strnlen(stage, sizeof(f.stage) - 1));
        n = write(e->helper, &f, sizeof(f));
        _exit(n == sizeof(f) ? STATUS_LOCK : STATUS_CANNOT_EXEC);
}

/* Answers for ids until the command runs (0) or has failed (-errno, and @f). */
static int attend(int tell, pid_t pid, struct enter_failure *f)
{
        for (;;) {
                ssize_t n = read(tell, f, sizeof(*f));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n == 1) {
                        idmap_answer(tell, pid);
                        continue;
                }
                if (n != sizeof(*f))
                        return 0; /* closed by exec; or by an end that wait will tell of */
                f->stage[sizeof(f->stage) - 1] = '\0';
                waitpid(pid, NULL, 0);
                return f->err ? -f->err : -EPROTO;
        }
}

/* Starts @argv under @lock. Its pid, or -errno and @f. */
static pid_t start_under(struct sandbox *s, enum lock lock, char *const *argv, int exec_fd,
                         struct enter_failure *f)
{
        struct enter e = { .lock = lock, .landlock = s->o.landlock, .parent = s->self, .scribe = -1, .porch = -1,
                           .inside.proxy = -1, .notify = -1, .exec_fd = exec_fd,
                           .variables = s->trust.variables };
        AUTO_CLOSE int channel = -1;
        int tell[2], r;
        pid_t pid;

        *f = (struct enter_failure){ .stage = "start" };
        if (s->proxy) {
                channel = open_channel(s);
                if (channel < 0)
                        return channel;
                e.inside.proxy = channel;
                e.inside.http_port = HTTP_PORT;
        }
        r = lock == LOCK_NOTIFY ? arrange_notify(s, &e, channel) : 0;
        if (r < 0)
                return r;
        AUTO_CLOSE int notify = e.notify;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, tell) < 0)
                return -errno;
        e.helper = tell[1];
        pid = fork();
        if (!pid) {
                close(tell[0]);
                become_command(s, &e, argv);
        }
        close(tell[1]);
        r = pid < 0 ? -errno : attend(tell[0], pid, f);
        close(tell[0]);
        if (r < 0)
                end_notifier(s);
        return r < 0 ? r : pid;
}

/* --- waiting -------------------------------------------------------------------------- */

static int exit_status(int wait)
{
        return WIFSIGNALED(wait) ? STATUS_SIGNAL + WTERMSIG(wait) : WEXITSTATUS(wait);
}

/* The command without its proxy, or its notifier, reaches nothing; it ends all the same. */
static int helper_ended(struct sandbox *s, pid_t pid)
{
        log_line(LOG_ERROR, "%s ended: ending the command",
                 pid == s->proxy ? "the proxy" : "the notifier");
        if (pid == s->proxy)
                s->proxy = 0;
        else
                s->notify = 0;
        kill(s->command, SIGKILL);
        while (waitpid(s->command, NULL, 0) < 0 && errno == EINTR)
                ;
        return STATUS_LOCK;
}

/* Takes what has changed; true and *@status once it is over. */
static bool reap(struct sandbox *s, int *status)
{
        int wait;
        pid_t pid;

        while ((pid = waitpid(-1, &wait, WNOHANG | WUNTRACED)) > 0) {
                if (pid == s->command && WIFSTOPPED(wait)) {
                        raise(SIGSTOP); /* whoever waits for us sees it stopped */
                } else if (pid == s->command) {
                        *status = exit_status(wait);
                        return true;
                } else if (pid == s->notify && WIFEXITED(wait) && !WEXITSTATUS(wait)) {
                        s->notify = 0; /* nobody is left to notify of */
                } else if ((pid == s->proxy || pid == s->notify) && !WIFSTOPPED(wait)) {
                        *status = helper_ended(s, pid);
                        return true;
                }
        }
        return false;
}

static int attend_command(struct sandbox *s)
{
        sigset_t all;
        int status = STATUS_LOCK;

        sigfillset(&all);
        while (!reap(s, &status)) {
                siginfo_t info;
                int n = sigwaitinfo(&all, &info);

                /*
                 * What the terminal sent, the command got too: it is in our group. A broken
                 * pipe of our own is not its business.
                 */
                if (n > 0 && n != SIGCHLD && info.si_code <= 0 && info.si_pid != s->self)
                        kill(s->command, n);
        }
        return status;
}

static void end_proxy(struct sandbox *s)
{
        struct timespec rest = { PROXY_END_MS / 1000, PROXY_END_MS % 1000 * 1000000L };
        sigset_t chld;

        if (!s->proxy)
                return;
        close(s->control);
        sigemptyset(&chld);
        sigaddset(&chld, SIGCHLD);
        while (waitpid(s->proxy, NULL, WNOHANG) == 0) {
                if (sigtimedwait(&chld, NULL, &rest) < 0 && errno == EAGAIN)
                        kill(s->proxy, SIGKILL);
        }
}

/* --- the ladder ----------------------------------------------------------------------- */

/* Strongest first. */
static const enum lock ladder[] = { LOCK_NETNS, LOCK_NOTIFY, LOCK_CLOSED };

static bool wanted(const struct sandbox *s, enum lock lock)
{
        if (s->o.lock != LOCK_COUNT)
                return s->o.lock == lock;
        return lock != LOCK_CLOSED || s->o.net == SANDBOX_OFF;
}

/* Starts @argv under the first lock that holds, kept in s->o.lock. Its pid, or -a status. */
static pid_t start(struct sandbox *s, char *const *argv, int exec_fd)
{
        struct {
                enum lock lock;
                int err;
                struct enter_failure f;
        } failed[COUNT(ladder)];
        unsigned count = 0;

        for (size_t i = 0; i < COUNT(ladder); i++) {
                struct enter_failure f = { 0 };
                pid_t pid = wanted(s, ladder[i]) ? start_under(s, ladder[i], argv, exec_fd, &f) : 0;

                if (pid > 0) {
                        s->o.lock = ladder[i];
                        return pid;
                }
                if (!pid)
                        continue;
                if (!strcmp(f.stage, "exec")) {
                        log_errno(LOG_ERROR, f.err, "%s", argv[0]);
                        return f.err == ENOENT ? -STATUS_NOT_FOUND : -STATUS_CANNOT_EXEC;
                }
                failed[count].lock = ladder[i];
                failed[count].err = -pid;
                failed[count++].f = f;
        }
        for (unsigned i = 0; i < count; i++)
                log_line(LOG_ERROR, "lock %s: %s: %s - it %s", lock_name(failed[i].lock),
                         failed[i].f.stage, strerror(failed[i].err), unlock_hint(failed[i].lock));
        log_line(LOG_ERROR, "no lock holds here%s: not starting %s",
                 count ? "" : " for this command line", argv[0]);
        return -STATUS_LOCK;
}

/* The probe runs exactly as the command will, and must find every way out closed. */
static enum status prove(struct sandbox *s)
{
        static const char modes[][8] = { "off", "limited", "full" };
        char *argv[] = { (char[]){ "airlock-lock" }, (char[]){ "--probe" },
                         (char *)(uintptr_t)modes[s->o.net], (char[]){ "--quiet" }, NULL };
        AUTO_CLOSE int own = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        int status;

        s->command = start(s, argv, own);
        if (s->command < 0)
                return (enum status)-s->command;
        status = attend_command(s);
        end_notifier(s);
        if (!status && s->proxy && send_policy(s, "sandbox") < 0) {
                log_line(LOG_ERROR, "the proxy did not take its policy");
                return STATUS_LOCK;
        }
        if (status)
                log_line(LOG_ERROR, "lock %s does not hold: not starting %s",
                         lock_name(s->o.lock), s->o.argv[0]);
        return status ? STATUS_LOCK : STATUS_OK;
}

static void say_lock(const struct sandbox *s)
{
        int abi = landlock_abi();

        if (s->o.verbose || !abi)
                log_line(LOG_INFO, "lock %s; Landlock ABI %d; %s", lock_name(s->o.lock), abi,
                         landlock_say(&s->o.landlock, abi));
}

static int run(struct sandbox *s)
{
        int r = s->o.net == SANDBOX_OFF ? 0 : start_proxy(s);

        if (r < 0) {
                log_errno(LOG_ERROR, -r, "start the proxy");
                return STATUS_LOCK;
        }
        if (s->o.prove) {
                enum status proved = prove(s);

                if (proved != STATUS_OK)
                        return (int)proved;
        }
        s->command = start(s, s->o.argv, -1);
        if (s->command < 0)
                return -s->command;
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* not before: the child's maps need it */
        say_lock(s);
        return attend_command(s);
}

int sandbox_main(char **argv)
{
        struct sandbox *s = &the_sandbox;
        sigset_t all;
        int status;

        log_role("sandbox");
        s->control = -1;
        s->self = getpid();
        status = (int)read_options(s, argv);
        if (status)
                return status;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &s->mask);
        s->ignored_chld = signal(SIGCHLD, SIG_DFL) == SIG_IGN;
        status = run(s);
        end_notifier(s);
        end_proxy(s);
        sandbox_trust_close(&s->trust);
        return status;
}
