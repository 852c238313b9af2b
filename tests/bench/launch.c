/*
 * tests/bench/launch.c - times one program as PID 1 of a new pid namespace.
 *
 *   launch start PROGRAM ARG…    clone -> the end of PID 1, payload exits at once
 *   launch stop PROGRAM ARG…     TERM to PID 1 -> its end, payload waits
 *   launch idle PROGRAM ARG…     prints PID 1's pid, waits for a line on stdin
 *
 * Prints microseconds. `stop` sends TERM 5 ms after the start, when the init sleeps.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static pid_t clone_pid1(char **argv)
{
        pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, 0);

        if (pid < 0) {
                perror("clone");
                exit(1);
        }
        if (!pid) {
                execv(argv[0], argv);
                _exit(127);
        }
        return pid;
}

int main(int argc, char **argv)
{
        double began;
        pid_t pid;
        pid_t got = 0;
        int status;

        if (argc < 3)
                return 2;
        began = now_us();
        pid = clone_pid1(argv + 2);
        if (!strcmp(argv[1], "stop")) {
                while (now_us() - began < 5000) /* awake: a sleeping CPU takes 200 us */
                        ;
                began = now_us();
                kill(pid, SIGTERM);
                while (!(got = waitpid(pid, &status, WNOHANG)))
                        ;
        } else if (!strcmp(argv[1], "idle")) {
                printf("%d\n", pid);
                fflush(stdout);
                getchar();
                kill(pid, SIGKILL);
        }
        if (!got)
                got = waitpid(pid, &status, 0);
        if (got != pid)
                return 1;
        printf("%.1f %d\n", now_us() - began, status);
        return 0;
}
