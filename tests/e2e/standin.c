/*
 * tests/e2e/standin.c - PID 1's part around airlock-unseal, for the proof.
 *
 *     standin UNSEAL OPTION… -- COMMAND…     the session gets our environment
 *
 * Our stdin is the key. Prints "session" when the session has printed something, and after
 * the scan, with everybody else dead, "agent STATUS"; then waits for a minute. What else the
 * session prints goes to stderr.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 244 /* of struct msg, base/msg.h */
#define SCAN 8
#define RUN 11

static void kill_all_but(pid_t unseal)
{
        DIR *d = opendir("/proc");
        struct dirent *e;

        while (d && (e = readdir(d))) {
                int pid = atoi(e->d_name);

                if (pid > 1 && pid != unseal)
                        kill(pid, SIGKILL);
        }
        closedir(d);
}

static void put(int fd, const char *s)
{
        if (write(fd, s, strlen(s) + 1) < 0)
                exit(2);
}

static void order(int control, char **command)
{
        int fd = memfd_create("session", MFD_CLOEXEC);
        char bytes[SIZE] = { RUN };
        struct iovec io = { bytes, SIZE };
        union {
                struct cmsghdr h;
                char bytes[CMSG_SPACE(sizeof(int))];
        } c = { .h = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
                       .cmsg_type = SCM_RIGHTS } };
        struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &c,
                            .msg_controllen = sizeof(c) };

        put(fd, "/");
        for (; *command; command++)
                put(fd, *command);
        put(fd, "");
        for (char **e = environ; *e; e++)
                put(fd, *e);
        memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
        if (sendmsg(control, &h, 0) < 0)
                exit(2);
        close(fd);
}

int main(int argc, char **argv)
{
        char bytes[4096];
        char *full[64] = { argv[1], "--control", "100", "--output", "101" };
        int control[2], out[2], status = 0, first = 1, n = 5;
        ssize_t len;
        pid_t pid;

        char **command = argv + argc;

        for (int i = 2; i < argc && n < 63; i++) {
                if (!strcmp(argv[i], "--")) {
                        command = argv + i + 1;
                        break;
                }
                full[n++] = argv[i];
        }
        if (argc < 3 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0 ||
            pipe2(out, O_CLOEXEC) < 0)
                return 2;
        pid = fork();
        if (!pid) {
                dup2(control[1], 100);
                dup2(out[1], 101);
                execv(full[0], full);
                _exit(127);
        }
        close(control[1]);
        close(out[1]);
        dup2(open("/dev/null", O_RDONLY), 0);
        if (recv(control[0], bytes, SIZE, 0) == SIZE)
                order(control[0], command);
        while ((len = read(out[0], bytes, sizeof(bytes))) > 0) {
                if (first)
                        dprintf(1, "session\n");
                else
                        dprintf(2, "%.*s", (int)len, bytes);
                first = 0;
        }
        if (recv(control[0], bytes, SIZE, 0) == SIZE) {
                kill_all_but(pid);
                memset(bytes, 0, SIZE);
                bytes[0] = SCAN;
                send(control[0], bytes, SIZE, MSG_NOSIGNAL);
        }
        waitpid(pid, &status, 0);
        kill(-1, SIGKILL);
        while (wait(NULL) > 0 || errno == EINTR)
                ;
        dprintf(1, "agent %d\n", WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status));
        sleep(60);
        return 0;
}
