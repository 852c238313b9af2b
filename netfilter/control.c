/*
 * netfilter/control.c - what PID 1 and its locks tell the proxy.
 */
#include "netfilter/conn.h"

#include "base/io.h"
#include "base/log.h"
#include "netfilter/look.h"
#include "netfilter/names.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#define SECRETS_MAX (64 * 1024)

static char policy_text[POLICY_TEXT_MAX + 4096] LARGE_BUFFER;
static char secrets[SECRETS_MAX] LARGE_BUFFER;
static size_t secrets_len;

int control_open(struct proxy *p)
{
        char *at = mmap(NULL, 3 * (size_t)POLICY_ARENA, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (at == MAP_FAILED)
                return -errno;
        madvise(at, 3 * (size_t)POLICY_ARENA, MADV_NOHUGEPAGE);
        p->arenas[0] = at;
        p->arenas[1] = at + POLICY_ARENA;
        p->model_arena = at + 2 * (size_t)POLICY_ARENA;
        policy_init(&p->policy);
        policy_init(&p->model);
        return 0;
}

int control_add(struct proxy *p, int fd, enum channel_for use)
{
        for (size_t i = 0; i < CHANNELS; i++) {
                struct channel *c = &p->channels[i];
                struct ev_ref ref = { .kind = EV_CHANNEL, .slot = (uint32_t)i,
                                      .gen = c->gen + 1 };
                int r;

                if (c->gen & 1)
                        continue; /* odd: in use */
                r = ev_add(p->ev, fd, EPOLLIN, ref);
                if (r < 0)
                        return r;
                *c = (struct channel){ .fd = fd, .gen = ref.gen, .use = use };
                return 0;
        }
        return -ENFILE;
}

static void channel_close(struct proxy *p, struct channel *c)
{
        close(c->fd);
        c->gen++;
        if (c->use == CHANNEL_OF_CONTROL)
                p->ended = true;
}

int control_policy(struct proxy *p, const char *text, size_t len, const char *phase,
                   struct policy_error *e)
{
        unsigned other = !p->arena;
        struct policy next;
        enum policy_status s = policy_parse(&next, p->arenas[other], POLICY_ARENA, text, len, e);

        /*
         * What is under way ends under the old policy and is written in its phase. What waits
         * to be accepted was sent in that phase too, maybe by somebody who is dead by now.
         */
        conn_reset_all(p);
        journal_flush();
        resolve_forget();
        names_forget();
        listen_drop_waiting(p);
        look_forget();
        p->policy = next;
        p->arena = other;
        madvise(p->arenas[!other], POLICY_ARENA, MADV_DONTNEED);
        journal_phase(phase);
        return s == POLICY_OK ? 0 : -EINVAL;
}

static ssize_t read_all(int fd, char *buf, size_t cap)
{
        ssize_t n;

        if (lseek(fd, 0, SEEK_SET) < 0 && errno != ESPIPE)
                return -errno;
        n = read_full(fd, buf, cap);
        return n == (ssize_t)cap ? -EFBIG : n;
}

static int model_policy(struct proxy *p, size_t len, struct policy_error *e)
{
        return policy_parse(&p->model, p->model_arena, POLICY_ARENA, policy_text, len, e) ==
                               POLICY_OK ? 0 : -EINVAL;
}

static int take_policy(struct proxy *p, const struct msg *m, int fd)
{
        struct policy_error e = { 0 };
        ssize_t n = fd >= 0 ? read_all(fd, policy_text, POLICY_TEXT_MAX + 1) : -EBADF;
        size_t len = n > 0 ? (size_t)n : 0;
        int r = m->kind == POLICY_MODEL ? model_policy(p, len, &e)
                                        : control_policy(p, policy_text, len, m->text, &e);

        if (n < 0)
                r = (int)n;
        if (r < 0)
                log_line(LOG_ERROR, "policy refused, nothing is allowed: line %u: %s", e.line,
                         e.expected ? e.expected : strerror(-r));
        explicit_bzero(policy_text, n > 0 ? (size_t)n : 0);
        return r;
}

/* Over the values, if it is a memfd: what the agent gets in their place, then NULs. */
static int give_placeholders(int fd, size_t len)
{
        struct wr w = wr_of(policy_text, len);

        if (lseek(fd, 0, SEEK_SET) < 0)
                return 0;
        look_put_placeholders(&w);
        memset(policy_text + w.len, 0, len - w.len);
        (void)!write_full(fd, policy_text, len);
        return 0;
}

static int take_secrets(int fd)
{
        ssize_t n;

        explicit_bzero(secrets, secrets_len);
        secrets_len = 0;
        n = fd >= 0 ? read_all(fd, secrets, sizeof(secrets) - 1) : -EBADF;
        if (n < 0) {
                explicit_bzero(secrets, sizeof(secrets));
                return (int)n;
        }
        secrets[n] = '\0';
        secrets_len = (size_t)n;
        n = look_secrets(secrets, secrets_len);
        return n < 0 ? (int)n : give_placeholders(fd, secrets_len);
}

static int take_aliases(int fd)
{
        ssize_t n = fd >= 0 ? read_all(fd, policy_text, POLICY_TEXT_MAX) : -EBADF;

        return n < 0 ? (int)n : look_aliases(policy_text, (size_t)n);
}

/* One character for another: lines and NULs. */
static void swap(char *text, size_t len, char from, char to)
{
        for (size_t i = 0; i < len; i++)
                if (text[i] == from)
                        text[i] = to;
}

int control_secrets_file(const char *path, const char *out)
{
        struct wr w = wr_of(policy_text, sizeof(policy_text));
        ssize_t n = read_file(AT_FDCWD, path, secrets, sizeof(secrets));
        int r;

        if (n < 0)
                return (int)n;
        swap(secrets, (size_t)n, '\n', '\0');
        secrets_len = (size_t)n;
        r = look_secrets(secrets, secrets_len);
        if (r < 0 || !out)
                return r;
        look_put_placeholders(&w);
        swap(policy_text, w.len, '\0', '\n');
        AUTO_CLOSE int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        return fd < 0 ? -errno : write_full(fd, policy_text, w.len);
}

const char *control_secret(const char *name)
{
        size_t name_len = strlen(name);

        for (size_t at = 0; at < secrets_len; at += strlen(secrets + at) + 1) {
                const char *value = strchr(secrets + at, '=');

                if (value && (size_t)(value - secrets) - at == name_len &&
                    !memcmp(secrets + at, name, name_len))
                        return value + 1;
        }
        return NULL;
}

/* The answer to a message, or 1: none; -EPROTO: it ends its sender. Owns *@fd. */
static int obey(struct proxy *p, const struct channel *c, const struct msg *m, int *fd)
{
        static const enum channel_for uses[] = { CHANNEL_OF_LOCKS,
                                                 [CHANNEL_SECRETS] = CHANNEL_OF_SECRETS,
                                                 [CHANNEL_MODEL] = CHANNEL_OF_MODEL };
        bool control = c->use == CHANNEL_OF_CONTROL;
        int r;

        if (c->use == CHANNEL_OF_SECRETS && m->type != MSG_SECRETS && m->type != MSG_PLACEHOLDERS)
                return -EPROTO;
        if ((c->use == CHANNEL_OF_MODEL) != (m->type == MSG_CLIENT))
                return -EPROTO;
        switch ((enum msg_type)m->type) {
        case MSG_POLICY:
                return control ? take_policy(p, m, *fd) : -EPROTO;
        case MSG_SECRETS:
                return c->use != CHANNEL_OF_LOCKS ? take_secrets(*fd) : -EPROTO;
        case MSG_PLACEHOLDERS:
                return c->use != CHANNEL_OF_LOCKS ? take_aliases(*fd) : -EPROTO;
        case MSG_CHANNEL:
                if (!control || *fd < 0 || m->kind >= COUNT(uses))
                        return -EPROTO;
                r = control_add(p, *fd, uses[m->kind]);
                if (r == 0)
                        fd_take(fd);
                return r;
        case MSG_LISTENER:
                if (*fd < 0)
                        return -EPROTO;
                r = listen_add(p, fd_take(fd), (enum listener)m->kind);
                return m->kind == LISTEN_DNS_PAIR ? 1 : r;
        case MSG_CONNECT:
                listen_expect(p, m);
                return 0;
        case MSG_CLIENT:
                if (*fd < 0)
                        return -EPROTO;
                listen_client(p, fd_take(fd));
                return 1;
        case MSG_VISITOR:
        case MSG_ENDED:
        case MSG_SCAN:
        case MSG_OPENED:
        case MSG_LEND:
        case MSG_RUN:
        case MSG_DONE:
                return -EPROTO;
        }
        return -EPROTO;
}

void control_event(struct proxy *p, struct ev_ref ref)
{
        struct channel *c = &p->channels[ref.slot % CHANNELS];
        struct msg m = { 0 }, done = { .type = MSG_DONE };
        int fd, r;

        if (c->gen != ref.gen)
                return;
        r = msg_receive(c->fd, &m, &fd);
        if (r == -EAGAIN)
                return;
        if (r == 0) {
                r = obey(p, c, &m, &fd);
                if (fd >= 0)
                        close(fd);
        }
        if (r == -EPROTO || r == -EPIPE || (r == -ECONNRESET)) {
                if (r == -EPROTO)
                        log_line(LOG_WARN, "a channel said what it may not: closed");
                channel_close(p, c);
                return;
        }
        if (r == 1)
                return;
        done.error = -r;
        if (msg_send(c->fd, &done, -1) < 0)
                channel_close(p, c);
}
