/*
 * tests/bench/notify_floor.c - what the kernel alone takes for a call that another process
 * answers.
 *
 *   notify_floor ROUNDS      prints, in microseconds: median of a system call that a second
 *                            process answers at once; and of one for which that process asks
 *                            a third one, over a socket
 *
 * As airlock-notify and airlock-proxy wait: poll(2) and epoll(7). Nothing is read or decided,
 * so that is the least a lock of this kind can add.
 */
#include "us.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SET_FLAGS _IOW('!', 4, uint64_t) /* SECCOMP_IOCTL_NOTIF_SET_FLAGS, Linux 6.6 */
#define MESSAGE 448                      /* bytes: about as a question to the proxy */

/* Says the same back, as the proxy says yes. */
static void agree(int channel)
{
        struct epoll_event e = { .events = EPOLLIN };
        int set = epoll_create1(0);
        char text[MESSAGE];

        epoll_ctl(set, EPOLL_CTL_ADD, channel, &e);
        while (epoll_wait(set, &e, 1, -1) == 1) {
                if (recv(channel, text, sizeof(text), 0) <= 0 ||
                    send(channel, text, sizeof(text), 0) < 0)
                        _exit(0);
        }
        _exit(1);
}

/* Of every second call it asks first. */
static void answer_all(int listener, int channel)
{
        static _Alignas(struct seccomp_notif) char buf[512];
        static char text[MESSAGE];
        struct seccomp_notif *got = (void *)buf;
        struct seccomp_notif_resp resp = { 0 };
        struct pollfd p[2] = { { .fd = listener, .events = POLLIN } };
        struct pollfd said = { .fd = channel, .events = POLLIN };

        ioctl(listener, SET_FLAGS, 1UL); /* the caller goes on on our processor */
        for (int ask = 0;; ask = !ask) {
                p[1] = (struct pollfd){ .fd = channel };
                if (poll(p, 2, -1) < 0 || p[0].revents & POLLHUP)
                        _exit(0);
                __builtin_memset(buf, 0, sizeof(buf));
                if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, got) < 0)
                        _exit(errno != ENOENT);
                if (ask && (send(channel, text, sizeof(text), 0) < 0 ||
                            poll(&said, 1, -1) != 1 ||
                            recv(channel, text, sizeof(text), 0) <= 0))
                        _exit(1);
                resp.id = got->id;
                ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
        }
}

static int listen_for_getppid(void)
{
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                            &program);
}

int main(int argc, char **argv)
{
        static double took[2][100000];
        int n = argc > 1 ? atoi(argv[1]) : 0, pair[2], listener;
        pid_t answering, agreeing;

        if (n < 1 || n > 100000 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
                return 2;
        agreeing = fork();
        if (!agreeing) {
                close(pair[0]);
                agree(pair[1]);
        }
        close(pair[1]);
        listener = listen_for_getppid();
        if (listener < 0)
                return 1;
        answering = fork();
        if (!answering)
                answer_all(listener, pair[0]);
        for (int i = 0; i < 2 * n; i++) {
                double start = us_now();

                syscall(SYS_getppid);
                took[i & 1][i / 2] = us_now() - start;
        }
        kill(answering, SIGKILL);
        kill(agreeing, SIGKILL);
        printf("%.1f %.1f\n", us_median(took[0], n), us_median(took[1], n));
        while (wait(NULL) > 0)
                ;
        return 0;
}
