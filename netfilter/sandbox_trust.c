/* netfilter/sandbox_trust.c - the proxy's authority for the sandbox's command. */
#include "netfilter/sandbox_trust.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* What is in the pipe: the proxy wrote all of it before it took its policy. */
static ssize_t take_certificate(int from, char *pem, size_t cap)
{
        ssize_t n;

        if (fcntl(from, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        n = read(from, pem, cap);
        return n < 0 && errno == EAGAIN ? 0 : n < 0 ? -errno : n;
}

static NORETURN void become_trust(const char *program, char *folder, int in, int out)
{
        char *argv[] = { (char[]){ "airlock-trust" }, (char[]){ "--dir" }, folder, NULL };

        if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
                _exit(1);
        execve(program, argv, environ);
        _exit(errno == ENOENT ? 127 : 126);
}

/* Lines become strings. */
static int read_variables(struct sandbox_trust *t, int from)
{
        ssize_t n = read_full(from, t->variables, sizeof(t->variables) - 2);

        if (n < 0)
                return (int)n;
        t->variables[n] = t->variables[n + 1] = '\0';
        for (char *p = t->variables; (p = strchr(p, '\n')); p++)
                *p = '\0';
        return 0;
}

static int run_trust(struct sandbox_trust *t, const char *program, const char *pem, size_t len)
{
        int in[2], out[2], r, status = 0;
        pid_t pid;

        if (pipe2(in, O_CLOEXEC) < 0)
                return -errno;
        if (pipe2(out, O_CLOEXEC) < 0) {
                r = -errno;
                close(in[0]);
                close(in[1]);
                return r;
        }
        pid = fork();
        if (!pid)
                become_trust(program, t->folder, in[0], out[1]);
        close(in[0]);
        close(out[1]);
        r = pid < 0 ? -errno : write_full(in[1], pem, len); /* fits into a pipe */
        close(in[1]);
        if (r == -EPIPE)
                r = 0; /* it ended at once: its status tells why */
        if (!r)
                r = read_variables(t, out[0]);
        close(out[0]);
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (!r && status)
                r = WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : -EIO;
        return r;
}

int sandbox_trust_open(struct sandbox_trust *t, int from, const char *airlock_trust)
{
        static const char template[] = "/tmp/.airlock-trust-XXXXXX";
        char pem[SANDBOX_TRUST_MAX];
        ssize_t n = take_certificate(from, pem, sizeof(pem));
        int r;

        if (n <= 0)
                return (int)n;
        memcpy(t->folder, template, sizeof(template));
        if (!mkdtemp(t->folder) || chmod(t->folder, 0755) < 0) {
                t->folder[0] = '\0';
                return -errno;
        }
        r = run_trust(t, airlock_trust, pem, (size_t)n);
        if (r < 0)
                sandbox_trust_close(t);
        return r;
}

/* The command may have put things there: only files go, and a folder that is empty then. */
void sandbox_trust_close(struct sandbox_trust *t)
{
        static const char names[][16] = { "ca.pem", "ca-bundle.pem", "cacerts.jks" };
        AUTO_CLOSE int dir = t->folder[0] ? open(t->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
                                                                    O_NOFOLLOW) : -1;

        for (size_t i = 0; i < COUNT(names) && dir >= 0; i++)
                unlinkat(dir, names[i], 0);
        if (t->folder[0])
                rmdir(t->folder);
        t->folder[0] = '\0';
}
