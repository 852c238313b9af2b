/*
 * netfilter/notify_others.c - the ports of this machine that somebody else listens on.
 *
 * Under this lock the agent keeps its surroundings' network: the host's with --network host, a
 * pod's with its sidecars. A server that was there before the agent is not its own: the way to
 * it is the proxy's, and the policy has to name it. By port alone, whatever the address; the
 * proxy's own door is told to us. What somebody begins to listen on later is not known here.
 */
#include "netfilter/notify.h"

#include "base/digits.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The next word of the line, as long as there is one: "" at its end. */
static const char *next_word(const char **at, size_t *len)
{
        const char *word = *at + strspn(*at, " ");

        *len = strcspn(word, " ");
        *at = word + *len;
        return word;
}

/* "  0: 0100007F:1F90 00000000:0000 0A …". False: it is about a connection. */
static bool take_line(struct notifier *n, const char *line)
{
        size_t len;
        const char *word;
        unsigned port = 0;

        next_word(&line, &len);
        word = next_word(&line, &len);
        for (size_t i = len < 4 ? 0 : len - 4; i < len; i++)
                port = port << 4 | (unsigned)(hex_value(word[i]) & 15);
        next_word(&line, &len);
        word = next_word(&line, &len);
        if (len != 2 || memcmp(word, "0A", 2) != 0) /* TCP_LISTEN */
                return false;
        n->others[port / 8 % sizeof(n->others)] |= (uint8_t)(1U << port % 8);
        return true;
}

/* The listeners come first (net/ipv4/tcp_ipv4.c, tcp_seq_start): connections are not read. */
static int read_table(struct notifier *n, const char *path)
{
        char buf[4096];
        size_t len = 0;
        bool head = true;
        AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        for (;;) {
                ssize_t got = read(fd, buf + len, sizeof(buf) - 1 - len);
                char *at = buf, *newline;

                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return got < 0 ? -errno : len ? -EBADMSG : 0;
                len += (size_t)got;
                buf[len] = '\0';
                for (; (newline = strchr(at, '\n')); at = newline + 1, head = false) {
                        *newline = '\0';
                        if (!head && !take_line(n, at))
                                return 0;
                }
                len -= (size_t)(at - buf);
                memmove(buf, at, len);
                if (len == sizeof(buf) - 1)
                        return -EBADMSG;
        }
}

int notify_find_others(struct notifier *n)
{
        int r = read_table(n, "/proc/net/tcp");

        if (!r)
                r = read_table(n, "/proc/net/tcp6");
        return r == -ENOENT ? 0 : r; /* a kernel without IPv6 */
}

bool notify_is_others(const struct notifier *n, uint16_t port)
{
        return port != n->http_port && port != n->redirect_port &&
               n->others[port / 8] >> port % 8 & 1;
}
