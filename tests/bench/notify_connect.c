/*
 * tests/bench/notify_connect.c - microseconds for one connect(2).
 *
 *   connect ADDRESS PORT ROUNDS      prints: median of socket(2), of connect(2), of both
 *   connect - 0 ROUNDS               the same to a server of its own on loopback
 */
#include "us.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
        static double made[100000], connected[100000], both[100000];
        struct sockaddr_in a = { .sin_family = AF_INET };
        struct linger reset = { 1, 0 };
        socklen_t len = sizeof(a);
        int n = argc > 3 ? atoi(argv[3]) : 0, server = -1;

        if (n < 1 || n > 100000)
                return 2;
        if (!strcmp(argv[1], "-")) {
                server = socket(AF_INET, SOCK_STREAM, 0);
                a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                if (bind(server, (struct sockaddr *)&a, len) || listen(server, 64) ||
                    getsockname(server, (struct sockaddr *)&a, &len))
                        return 1;
        } else {
                a.sin_port = htons((unsigned short)atoi(argv[2]));
                inet_pton(AF_INET, argv[1], &a.sin_addr);
        }
        for (int i = 0; i < n; i++) {
                double t0 = us_now(), t1, t2;
                int fd = socket(AF_INET, SOCK_STREAM, 0);

                t1 = us_now();
                if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
                        perror("connect");
                        return 1;
                }
                t2 = us_now();
                made[i] = t1 - t0;
                connected[i] = t2 - t1;
                both[i] = t2 - t0;
                if (server >= 0)
                        close(accept(server, NULL, NULL));
                else
                        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
                close(fd);
        }
        printf("%.1f %.1f %.1f\n", us_median(made, n), us_median(connected, n), us_median(both, n));
        return 0;
}
