/*
 * tests/e2e/init_child.c - what test_init.py lets airlock be the init of.
 *
 *   orphans N    N double-forked processes that end at the same moment; prints
 *                "born", waits for a line on stdin, ends them, prints "ended", waits
 *   signals      prints the number of every signal it gets, 1 to 64; ends at SIGUSR2
 *   fds          prints its open descriptors
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int orphans(int n)
{
        int gate[2];
        char c;

        if (pipe(gate) < 0)
                return 1;
        if (!fork()) {
                for (int i = 0; i < n; i++) {
                        pid_t pid = fork();

                        if (pid < 0)
                                _exit(1);
                        if (!pid) {
                                close(gate[1]);
                                _exit(read(gate[0], &c, 1) != 0);
                        }
                }
                _exit(0);
        }
        int status;

        wait(&status);
        puts(status ? "fork failed" : "born");
        fflush(stdout);
        if (read(0, &c, 1) < 0)
                return 1;
        close(gate[1]);
        puts("ended");
        fflush(stdout);
        return read(0, &c, 1) < 0;
}

static int signals(void)
{
        uint64_t all = ~UINT64_C(0);

        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
        puts("ready");
        fflush(stdout);
        for (;;) {
                siginfo_t info;
                long n = syscall(SYS_rt_sigtimedwait, &all, &info, NULL, 8);

                if (n == SIGUSR2)
                        return 0;
                printf("%ld\n", n);
                fflush(stdout);
        }
}

static int fds(void)
{
        for (int fd = 0; fd < 1024; fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        dprintf(1, "%d ", fd);
        dprintf(1, "\n");
        return 0;
}

int main(int argc, char **argv)
{
        if (argc == 3 && !strcmp(argv[1], "orphans"))
                return orphans(atoi(argv[2]));
        if (argc == 2 && !strcmp(argv[1], "signals"))
                return signals();
        if (argc == 2 && !strcmp(argv[1], "fds"))
                return fds();
        return 2;
}
