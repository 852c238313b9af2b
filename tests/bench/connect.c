/*
 * tests/bench/connect.c - how long connect(2) takes.
 *
 *   connect ADDRESS PORT COUNT   prints the median in microseconds. An IPv4 address whose
 *                                connections somebody accepts; each is reset at once, so that
 *                                none lingers
 *   connect serve PORT           accepts and closes; "ready" on standard output. It sleeps in
 *                                epoll before each, as a proxy does: a connect that wakes
 *                                nobody is a cheaper one
 */
#include "us.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int serve(int port)
{
        struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
        struct epoll_event e = { .events = EPOLLIN };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), set = epoll_create1(0), one = 1;

        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 4096) < 0 ||
            epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) < 0)
                return 1;
        printf("ready\n");
        fflush(stdout);
        while (epoll_wait(set, &e, 1, -1) == 1)
                close(accept(fd, NULL, NULL));
        return 1;
}

int main(int argc, char **argv)
{
        struct sockaddr_in to = { .sin_family = AF_INET };
        struct linger reset = { .l_onoff = 1 };
        int count = argc == 4 ? atoi(argv[3]) : 0;
        double *took;

        if (argc == 3 && !strcmp(argv[1], "serve"))
                return serve(atoi(argv[2]));
        took = calloc((size_t)count + 1, sizeof(*took));

        if (!took || count < 1 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
                return 2;
        to.sin_port = htons((unsigned short)atoi(argv[2]));
        for (int i = 0; i < count; i++) {
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                double start = us_now();

                if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
                        perror("connect");
                        return 1;
                }
                took[i] = us_now() - start;
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
                close(fd);
        }
        printf("%.2f\n", us_median(took, count));
        free(took);
        return 0;
}
