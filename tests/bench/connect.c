/*
 * tests/bench/connect.c - how long connect(2) takes.
 *
 * Usage: connect ADDRESS PORT COUNT: prints the median in microseconds. An IPv4 address
 * whose connections somebody accepts; each is reset at once, so that none lingers.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
        const double *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
        struct sockaddr_in to = { .sin_family = AF_INET };
        struct linger reset = { .l_onoff = 1 };
        int count = argc == 4 ? atoi(argv[3]) : 0;
        double *took = calloc((size_t)count + 1, sizeof(*took));

        if (!took || count < 1 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
                return 2;
        to.sin_port = htons((unsigned short)atoi(argv[2]));
        for (int i = 0; i < count; i++) {
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                double start = now_us();

                if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
                        perror("connect");
                        return 1;
                }
                took[i] = now_us() - start;
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
                close(fd);
        }
        qsort(took, (size_t)count, sizeof(*took), by_size);
        printf("%.2f\n", took[count / 2]);
        free(took);
        return 0;
}
