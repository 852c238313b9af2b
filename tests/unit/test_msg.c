/* tests/unit/test_msg.c - messages between our processes: whole, or refused. */
#include "base/msg.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static int ends[2];

static void pair(void)
{
        CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
}

static void unpair(void)
{
        close(ends[0]);
        close(ends[1]);
}

TEST(a_message_and_its_descriptor_arrive)
{
        struct msg sent = { .type = MSG_LISTENER, .kind = LISTEN_DNS_UDP, .text = "x" }, got;
        int fd;

        pair();
        CHECK(!msg_send(ends[0], &sent, ends[0]));
        CHECK(!msg_receive(ends[1], &got, &fd));
        CHECK(!memcmp(&sent, &got, sizeof(got)) && fd >= 0);
        close(fd);
        CHECK(!msg_send(ends[0], &sent, -1) && !msg_receive(ends[1], &got, &fd) && fd == -1);
        unpair();
}

TEST(another_size_or_a_text_without_end_is_refused)
{
        struct msg m = { .type = MSG_DONE }, got;
        int fd;

        pair();
        CHECK(send(ends[0], &m, sizeof(m) - 1, 0) == sizeof(m) - 1);
        CHECK(msg_receive(ends[1], &got, &fd) == -EPROTO);
        memset(m.text, 'x', sizeof(m.text));
        CHECK(!msg_send(ends[0], &m, ends[0]));
        CHECK(msg_receive(ends[1], &got, &fd) == -EPROTO && fd == -1);
        close(ends[0]);
        CHECK(msg_receive(ends[1], &got, &fd) == -EPIPE);
        close(ends[1]);
}

TEST(an_answer_is_waited_for_with_a_deadline)
{
        struct msg ask = { .type = MSG_POLICY }, done = { .type = MSG_DONE, .error = EACCES };

        pair();
        CHECK(msg_ask(ends[0], &ask, -1, 10) == -ETIMEDOUT);
        CHECK(!msg_send(ends[1], &done, -1) && msg_ask(ends[0], &ask, -1, 1000) == -EACCES);
        done.error = 0;
        CHECK(!msg_send(ends[1], &done, -1) && msg_ask(ends[0], &ask, -1, 1000) == 0);
        CHECK(!msg_send(ends[1], &ask, -1) && msg_ask(ends[0], &ask, -1, 1000) == -EPROTO);
        unpair();
}
