/* agent/way.c - see way.h. */
#include "agent/way.h"

#include "base/confine.h"
#include "base/environ.h"
#include "base/io.h"
#include "base/log.h"
#include "base/msg.h"
#include "base/ruleset.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define ANSWER_MS 10000
#define KEY_MAX 1025 /* bytes with the NUL: what the proxy can inject */
#define SECRET "MODEL_KEY" /* what the rule calls it */

extern char **environ;

/* The program beside us. */
static int sibling(const char *name)
{
        char path[PATH_MAX + 32];
        ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
        char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;

        if (!slash)
                return n < 0 ? -errno : -ENOENT;
        strcpy(slash + 1, name);
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
        int ends[2];
        pid_t pid;

        if (program < 0)
                return o->exec_fd >= 0 ? -errno : program;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        pid = fork();
        if (!pid) {
                setsid();
                enter_domain();
                fresh_signals();
                dup2(ends[1], STDIN_FILENO);
                dup2(ends[1], STDOUT_FILENO);
                syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
                _exit(STATUS_NOT_FOUND);
        }
        close(ends[1]);
        if (pid < 0) {
                close(ends[0]);
                return -EAGAIN;
        }
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        return ends[0];
}

/* --- the proxy ------------------------------------------------------------------------------------------ */

static int start_proxy(const struct loop_options *o, int control)
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
        if (o->ca_bundle) {
                argv[3] = "--ca-bundle";
                argv[4] = o->ca_bundle;
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

static void put_policy(struct wr *w, const struct loop_options *o, const struct model_url *u,
                       bool key)
{
        static const char plain[] = "/-._~:";
        static const char *const ends[] = { "/responses", "/chat/completions" };

        wr_str(w, "mode limited\nrule host=");
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
        if (o->upstream) {
                wr_str(w, "upstream ");
                wr_percent(w, o->upstream, strlen(o->upstream), plain);
                wr_str(w, "\n");
        }
}

/* The key goes into a memfd and nowhere else; the proxy overwrites it there. */
static int send_key(int control, const char *key)
{
        struct msg m = { .type = MSG_SECRETS };
        char text[sizeof(SECRET) + KEY_MAX + 1];
        struct wr w = wr_of(text, sizeof(text));
        AUTO_CLOSE int fd = memfd_create("key", MFD_CLOEXEC);
        int r = fd < 0 ? -errno : 0;

        wr_fmt(&w, SECRET "=%s", key);
        wr_char(&w, '\0');
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

static int set_up(int control, const struct loop_options *o, const struct model_url *u,
                  const char *key)
{
        char policy[4096];
        struct wr w = wr_of(policy, sizeof(policy));
        struct msg m = { .type = MSG_POLICY, .kind = POLICY_MODEL };
        int ends[2], r;

        put_policy(&w, o, u, key);
        r = w.full ? -EMSGSIZE : send_file(control, &m, policy, w.len);
        if (!r && key)
                r = send_key(control, key);
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
static int take_key(const struct loop_options *o, const struct model_url *u, char *key)
{
        const char *value = getenv(o->key_env);
        size_t len = value ? strlen(value) : 0;
        int r = len < KEY_MAX ? 0 : -EMSGSIZE;

        *key = '\0';
        if (len && !u->https)
                log_line(LOG_WARN, "%s: a key is not sent over plain HTTP; going on without it",
                         o->key_env);
        else if (len && !r)
                memcpy(key, value, len + 1);
        environ_wipe(environ, o->key_env);
        return r;
}

int way_proxy(const struct loop_options *o, const struct model_url *u)
{
        char key[KEY_MAX];
        int ends[2], r = take_key(o, u, key);

        if (r < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return r < 0 ? r : -errno;
        AUTO_CLOSE int control = ends[0];
        r = start_proxy(o, ends[1]);
        close(ends[1]);
        if (!r)
                r = set_up(control, o, u, *key ? key : NULL);
        explicit_bzero(key, sizeof(key));
        return r;
}
