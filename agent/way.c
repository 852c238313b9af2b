/* agent/way.c - see way.h. */
#include "agent/way.h"

#include "agent/client_inner.h"
#include "base/confine.h"
#include "base/digits.h"
#include "base/environ.h"
#include "base/io.h"
#include "base/log.h"
#include "base/msg.h"
#include "base/ruleset.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ANSWER_MS 10000
#define DYING_MS 2000 /* from SIGTERM to SIGKILL */
#define KEY_MAX 1025 /* bytes with the NUL: what the proxy can inject */
#define SECRET "MODEL_KEY" /* what the rule calls it */
#define UPSTREAM "UPSTREAM"  /* the same for a proxy's credentials */

/* The program beside us. */
static int sibling(const char *name)
{
        char path[PATH_MAX + 32];
        ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
        char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;

        if (!slash)
                return n < 0 ? -errno : -ENOENT;
        memcpy(slash + 1, name, strlen(name) + 1);
        n = open(path, O_PATH | O_CLOEXEC);
        return n < 0 ? -errno : (int)n;
}

/* Signals as a program expects them; whatever we had blocked is not. */
static void fresh_signals(void)
{
        sigset_t none;

        signal(SIGPIPE, SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Forks, with a stream between the two. Returns the descriptor of the caller's end, *@pid being 0
 * in the child; or -errno. The parent's end does not block.
 */
static int fork_beside(pid_t *pid)
{
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        *pid = fork();
        close(ends[*pid != 0]);
        if (!*pid)
                return ends[1];
        if (*pid < 0) {
                close(ends[0]);
                return -EAGAIN;
        }
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        return ends[0];
}

/* --- the exec-server --------------------------------------------------------------------------------- */

/* No signal and no ptrace goes out of it. A kernel without Landlock has the undumpable loop. */
static void enter_domain(void)
{
        AUTO_CLOSE int fd = landlock_abi() ? ruleset_new(FS_REFER, true) : -1;

        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (fd < 0 || ruleset_allow(fd, "/", FS_REFER) < 0 || ruleset_enter(fd) < 0)
                log_line(LOG_DEBUG, "no Landlock for the exec-server");
}

int way_exec(const struct loop_options *o)
{
        static const char *const argv[] = { "airlock-exec", "--listen", "stdio", NULL };
        AUTO_CLOSE int program = o->exec_fd >= 0 ? fcntl(o->exec_fd, F_DUPFD_CLOEXEC, 0)
                                                 : sibling("airlock-exec");
        pid_t pid = -1;
        int fd;

        if (program < 0)
                return o->exec_fd >= 0 ? -errno : program;
        fd = fork_beside(&pid);
        if (fd >= 0 && !pid) {
                setsid();
                enter_domain();
                fresh_signals();
                dup2(fd, STDIN_FILENO);
                dup2(fd, STDOUT_FILENO);
                syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
                _exit(STATUS_NOT_FOUND);
        }
        return fd;
}

/* --- programs that lead to another one ----------------------------------------------------------------- */

/* Waits for @events on @fd, or for the child's end. */
static void wait_for(int fd, short events, int child)
{
        struct pollfd p[] = { { .fd = fd, .events = events }, { .fd = child, .events = POLLIN } };

        while (poll(p, 2, -1) < 0 && errno == EINTR)
                ;
}

/* Watches over the program until the loop is gone, or it is itself. */
static NORETURN void keep(const struct client_target *t, int fd)
{
        pid_t pid = fork();
        int child, err;

        if (!pid) {
                setpgid(0, 0);
                enter_domain();
                err = wire_exec(t, fd, fd);
                log_errno(LOG_ERROR, err, "%s", t->argv[0]);
                _exit(STATUS_NOT_FOUND);
        }
        if (pid < 0)
                _exit(STATUS_AGAIN);
        setpgid(pid, pid); /* whoever comes first */
        child = (int)syscall(SYS_pidfd_open, pid, 0);
        if (child < 0) { /* the end of its input has to do */
                close(fd);
                waitpid(pid, NULL, 0);
                _exit(STATUS_OK);
        }
        wait_for(fd, 0, child); /* 0: a hang-up alone */
        kill(-pid, SIGTERM);
        poll(&(struct pollfd){ .fd = child, .events = POLLIN }, 1, DYING_MS);
        kill(-pid, SIGKILL);
        _exit(STATUS_OK);
}

/* Nothing of the loop's but its stderr and @fd, which is 3 from here on. */
static void forget_loop(int fd)
{
        setsid();
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        dup2(fd, 3);
        fcntl(3, F_SETFD, FD_CLOEXEC);
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        if (syscall(SYS_close_range, 4, ~0U, 0) < 0)
                for (int n = 4; n < 1024; n++)
                        close(n);
}

int way_program(const struct client_target *t)
{
        pid_t pid = -1;
        int fd = fork_beside(&pid);

        if (fd >= 0 && !pid) {
                char byte;

                forget_loop(fd);
                wait_for(3, POLLIN, -1);
                if (recv(3, &byte, 1, MSG_PEEK) != 1)
                        _exit(STATUS_OK); /* nobody wanted it */
                keep(t, 3);
        }
        return fd;
}

/* --- the proxy ------------------------------------------------------------------------------------------ */

static int start_proxy(const struct way *way, int control)
{
        char number[16];
        struct wr w = wr_of(number, sizeof(number) - 1);
        const char *argv[8] = { "airlock-proxy", "--control", number };
        AUTO_CLOSE int program = sibling("airlock-proxy");
        pid_t pid;

        if (program < 0)
                return program;
        wr_u64(&w, (uint64_t)control);
        wr_cstr(&w);
        if (way->ca_bundle) {
                argv[3] = "--ca-bundle";
                argv[4] = way->ca_bundle;
        }
        pid = fork();
        if (!pid) {
                setsid();
                fresh_signals();
                fcntl(control, F_SETFD, 0);
                dup2(STDERR_FILENO, STDOUT_FILENO);
                syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
                _exit(STATUS_NOT_FOUND);
        }
        return pid < 0 ? -errno : 0;
}

static int send_file(int control, struct msg *m, const char *text, size_t len)
{
        AUTO_CLOSE int fd = sealed_file("model", text, len);

        return fd < 0 ? fd : msg_ask(control, m, fd, ANSWER_MS);
}

/* A proxy to go through, and the credentials for it. */
struct upstream {
        const char *url; /* http://HOST:PORT; NULL: none */
        char text[512];
        char user[256];  /* "NAME:PASSWORD"; "": none */
};

/* Does $no_proxy, a comma list of names and their subdomains, name the host? */
static bool exempt(const char *list, const char *host)
{
        size_t len = strlen(host);

        while (list && *list) {
                const char *name = list + strspn(list, " ,.");
                size_t n = strcspn(name, " ,");

                if (n == 1 && *name == '*')
                        return true;
                if (n && n <= len && !strncasecmp(host + len - n, name, n) &&
                    (n == len || host[len - n - 1] == '.'))
                        return true;
                list = name + n;
        }
        return false;
}

static const char *variable(const char *lower, const char *upper)
{
        const char *value = getenv(lower);

        return value && *value ? value : getenv(upper);
}

/* NAME:PASSWORD as a URL has it: %XX is a byte. False: a broken one, a NUL, or too long. */
static bool take_user(struct upstream *up, const char *text, size_t len)
{
        size_t n = 0;

        for (size_t i = 0; i < len; i++) {
                int high = text[i] == '%' && len - i > 2 ? hex_value(text[i + 1]) : -1;
                int low = high >= 0 ? hex_value(text[i + 2]) : -1;

                if ((text[i] == '%' && low < 0) || !(high | low) || n + 1 == sizeof(up->user))
                        return false;
                up->user[n] = text[i];
                if (low >= 0) {
                        up->user[n] = (char)(high << 4 | low);
                        i += 2;
                }
                n++;
        }
        up->user[n] = '\0';
        return true;
}

/* --upstream, or what the environment says for such an URL. False: it is no http:// one. */
static bool find_upstream(struct upstream *up, const struct way *way)
{
        bool tls = way->model ? way->model->https : true;
        const char *to = way->model ? way->model->host : way->remotes[0]->at.host;
        const char *url = way->upstream, *at, *host;
        struct wr w = wr_of(up->text, sizeof(up->text) - 1);
        size_t n;

        *up = (struct upstream){ .url = NULL };
        if (!url && !exempt(variable("no_proxy", "NO_PROXY"), to))
                url = tls ? variable("https_proxy", "HTTPS_PROXY") : getenv("http_proxy");
        if (!url || !*url)
                return true;
        if (strncmp(url, "http://", 7) != 0)
                return false;
        host = url + 7;
        n = strcspn(host, "/");
        at = memrchr(host, '@', n);
        if (at && !take_user(up, host, (size_t)(at - host)))
                return false;
        host = at ? at + 1 : host;
        wr_fmt(&w, "http://%.*s", (int)strcspn(host, "/"), host);
        up->url = wr_cstr(&w);
        return !w.full;
}

static const char plain[] = "/-._~:";

static void put_model(struct wr *w, const struct model_url *u, bool key)
{
        static const char *const ends[] = { "/responses", "/chat/completions" };

        wr_str(w, "rule host=");
        wr_percent(w, u->host, strlen(u->host), plain);
        wr_fmt(w, " ports=%u methods=POST paths=", u->port);
        for (size_t i = 0; i < COUNT(ends); i++) {
                wr_str(w, i ? "," : "");
                wr_percent(w, u->path, strlen(u->path), plain);
                wr_str(w, ends[i]);
        }
        if (key)
                wr_str(w, " inject=Authorization value=Bearer%20%24%7B" SECRET "%7D");
        wr_str(w, "\n");
}

/* Where that name may lead. */
static void put_near(struct wr *w, const char *host, unsigned port)
{
        for (size_t i = 0; remote_is_name(host) && remote_near[i]; i++)
                wr_fmt(w, "rule host=%s ports=%u\n", remote_near[i], port);
}

static void put_policy(struct wr *w, const struct upstream *up, const struct way *way, bool key)
{
        wr_str(w, "mode limited\n");
        if (way->model) {
                put_model(w, way->model, key);
                put_near(w, way->model->host, way->model->port);
        }
        for (size_t i = 0; i < way->remote_count; i++) {
                const struct remote *at = &way->remotes[i]->at;

                wr_str(w, "rule host=");
                wr_percent(w, at->host, strlen(at->host), plain);
                wr_fmt(w, " ports=%u methods=GET,POST\n", at->port); /* a WebSocket needs both */
                put_near(w, at->host, at->port);
        }
        if (up->url) {
                wr_str(w, "upstream ");
                wr_percent(w, up->url, strlen(up->url), plain);
                wr_str(w, "\n");
        }
        if (*up->user)
                wr_str(w, "upstream-auth " UPSTREAM "\n");
}

/* They go into a memfd and nowhere else; the proxy overwrites them there. */
static int send_secrets(int control, const char *key, const char *user)
{
        struct msg m = { .type = MSG_SECRETS };
        char text[sizeof(SECRET) + KEY_MAX + 1 + sizeof(UPSTREAM) + 256];
        struct wr w = wr_of(text, sizeof(text));
        AUTO_CLOSE int fd = memfd_create("key", MFD_CLOEXEC);
        int r = fd < 0 ? -errno : 0;

        if (key) {
                wr_fmt(&w, SECRET "=%s", key);
                wr_char(&w, '\0');
        }
        if (*user) {
                wr_fmt(&w, UPSTREAM "=%s", user);
                wr_char(&w, '\0');
        }
        if (!r && w.full)
                r = -EMSGSIZE;
        if (!r)
                r = write_full(fd, text, w.len);
        explicit_bzero(text, sizeof(text));
        return r ? r : msg_ask(control, &m, fd, ANSWER_MS);
}

/* Holds the control channel for as long as the loop has the other end of a pipe. */
static int start_holder(int control, int channel)
{
        int ends[2];
        pid_t pid;
        char byte;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        pid = fork();
        if (!pid) {
                setsid();
                close(channel);
                close(ends[1]);
                for (int fd = 0; fd < 3; fd++)
                        close(fd);
                while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
                        ;
                _exit(control < 0);
        }
        close(ends[0]); /* the other one is closed by the loop's end */
        return pid < 0 ? -errno : 0;
}

static int set_up(int control, const struct way *way, const char *key)
{
        char policy[32 * 1024];
        struct wr w = wr_of(policy, sizeof(policy));
        struct msg m = { .type = MSG_POLICY, .kind = POLICY_MODEL };
        struct upstream up;
        int ends[2], r;

        if (!find_upstream(&up, way)) {
                log_line(LOG_ERROR, "the proxy to go through: not http://[NAME:PASSWORD@]HOST:PORT");
                return -EINVAL;
        }
        put_policy(&w, &up, way, key);
        r = w.full ? -EMSGSIZE : send_file(control, &m, policy, w.len);
        if (!r && (key || *up.user))
                r = send_secrets(control, key, up.user);
        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        m = (struct msg){ .type = MSG_CHANNEL, .kind = CHANNEL_MODEL };
        r = msg_ask(control, &m, ends[1], ANSWER_MS);
        close(ends[1]);
        if (!r)
                r = start_holder(control, ends[0]);
        if (r < 0)
                close(ends[0]);
        return r < 0 ? r : ends[0];
}

/* Out of the environment, which the proxy and the commands inherit. "": there is none. */
static int take_key(const struct way *way, char *key)
{
        const char *value = way->key_env ? getenv(way->key_env) : NULL;
        size_t len = value ? strlen(value) : 0;
        int r = len < KEY_MAX ? 0 : -EMSGSIZE;

        *key = '\0';
        if (len && !way->model->https)
                log_line(LOG_WARN, "%s: a key is not sent over plain HTTP; going on without it",
                         way->key_env);
        else if (len && !r)
                memcpy(key, value, len + 1);
        if (value)
                environ_wipe(environ, way->key_env);
        return r;
}

int way_proxy(const struct way *way)
{
        char key[KEY_MAX];
        int ends[2], r = take_key(way, key);

        if (r < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return r < 0 ? r : -errno;
        AUTO_CLOSE int control = ends[0];
        r = start_proxy(way, ends[1]);
        close(ends[1]);
        if (!r)
                r = set_up(control, way, *key ? key : NULL);
        explicit_bzero(key, sizeof(key));
        if (r < 0)
                return r;
        AUTO_CLOSE int channel = r;
        r = fcntl(channel, F_DUPFD_CLOEXEC, 3); /* 0 means none to a client */
        return r < 0 ? -errno : r;
}
