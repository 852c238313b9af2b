/* agent/client_wire.c - connects, and turns bytes into messages and back. */
#include "agent/client_inner.h"

#include "agent/upgrade.h"
#include "base/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define WIRE_READ (128U << 10)  /* room for one read */
#define WIRE_KEEP (512U << 10)  /* an empty buffer keeps this */
#define WIRE_OUT (256U << 10)   /* framed and not yet sent */
#define WIRE_FRAME (8U << 20)   /* of a longer message each frame has so much */
#define REFUSAL_MAX 4096        /* of the body that explains a refusal */
#define MUTE_MS 2000            /* from a send that failed to the end of what is read */
#define DYING_MS 2000           /* from SIGTERM to SIGKILL */

static bool is_lines(const struct client *c)
{
        return c->target.transport == CLIENT_STDIO || c->target.transport == CLIENT_COMMAND;
}

/* --- connecting --------------------------------------------------------------------------- */

static int set_nonblocking(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

/* The one call here that may wait: a name is resolved once and then remembered. */
static bool resolve(struct client *c)
{
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all;
        int r;

        if (c->peer_count)
                return true;
        r = getaddrinfo(c->target.at.host, NULL, &hints, &all);
        if (r) {
                client_broke(c, "%s: %s", c->target.at.host, gai_strerror(r));
                return false;
        }
        for (struct addrinfo *a = all; a && c->peer_count < CLIENT_PEERS; a = a->ai_next) {
                struct sockaddr_in6 *p = &c->peers[c->peer_count];

                if (a->ai_addrlen > sizeof(*p))
                        continue;
                memcpy(p, a->ai_addr, a->ai_addrlen);
                p->sin6_port = htons(c->target.at.port); /* sin_port stands there too */
                c->peer_count++;
        }
        freeaddrinfo(all);
        return true;
}

static int connect_to(const struct sockaddr *at, socklen_t len)
{
        int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int one = 1, r;

        if (fd < 0)
                return -errno;
        /* Or the second small frame waits for the other side's delayed ACK. */
        if (at->sa_family != AF_UNIX)
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (connect(fd, at, len) == 0 || errno == EINPROGRESS)
                return fd;
        r = -errno;
        close(fd);
        return r;
}

static void connecting(struct client *c, int fd)
{
        c->in_fd = fd;
        c->out_fd = fd;
        c->state = CLIENT_CONNECTING;
}

/* The next of the name's addresses; false: there was none left. */
static bool open_tcp(struct client *c)
{
        int fd = -EADDRNOTAVAIL;

        while (c->peer_at < c->peer_count) {
                const struct sockaddr_in6 *p = &c->peers[c->peer_at++];

                fd = connect_to((const struct sockaddr *)p,
                                p->sin6_family == AF_INET ? sizeof(struct sockaddr_in)
                                                          : sizeof(*p));
                if (fd >= 0) {
                        connecting(c, fd);
                        return true;
                }
        }
        client_broke(c, "connect to %s port %u: %s", c->target.at.host, c->target.at.port,
                     strerror(-fd));
        return false;
}

/* By way of airlock-proxy, which resolves the name and connects when it is asked to. */
static void open_proxied(struct client *c)
{
        int fd = msg_client(c->target.channel);

        if (fd < 0)
                client_broke(c, "airlock-proxy can't be reached: %s", strerror(-fd));
        else
                connecting(c, fd);
}

static void open_unix(struct client *c)
{
        struct sockaddr_un at = { .sun_family = AF_UNIX };
        int fd;

        if (strlen(c->target.path) >= sizeof(at.sun_path)) {
                client_refused(c, CLIENT_E_REFUSED, "%s: the path of a socket is shorter",
                               c->target.path);
                return;
        }
        strncpy(at.sun_path, c->target.path, sizeof(at.sun_path) - 1);
        fd = connect_to((const struct sockaddr *)&at, sizeof(at));
        if (fd < 0)
                client_broke(c, "connect to %s: %s", c->target.path, strerror(-fd));
        else
                connecting(c, fd);
}

int wire_exec(const struct client_target *t, int in, int out)
{
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
            (!t->cwd || chdir(t->cwd) == 0)) {
                char *const *argv = (char *const *)(uintptr_t)t->argv;

                if (t->env)
                        execvpe(argv[0], argv, (char *const *)(uintptr_t)t->env);
                else
                        execvp(argv[0], argv);
        }
        return errno;
}

/* In the child: never returns. */
static void become(const struct client_target *t, int in, int out, int tell)
{
        int err;

        setpgid(0, 0);
        err = wire_exec(t, in, out);
        (void)!write(tell, &err, sizeof(err));
        _exit(127);
}

struct pipes {
        int in[2], out[2], tell[2]; /* as the child sees them */
};

static void pipes_close(struct pipes *p)
{
        int *const all[] = { p->in, p->out, p->tell };

        for (size_t i = 0; i < COUNT(all); i++)
                for (size_t n = 0; n < 2; n++)
                        if (all[i][n] >= 0)
                                close(all[i][n]);
}

/* Above 2: dup2 in the child must not overwrite what it still needs. */
static int pipe_above(int fds[2])
{
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -1;
        for (size_t i = 0; i < 2; i++) {
                int above = fds[i] > 2 ? fds[i] : fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

                if (above < 0)
                        return -1;
                if (above != fds[i])
                        close(fds[i]);
                fds[i] = above;
        }
        return 0;
}

/* 0, or the errno of what failed, the exec included. */
static int start_command(struct client *c)
{
        struct pipes p = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
        int err = 0;
        ssize_t n;

        if (pipe_above(p.in) < 0 || pipe_above(p.out) < 0 || pipe_above(p.tell) < 0) {
                err = errno;
                pipes_close(&p);
                return err;
        }
        c->child = fork();
        if (c->child == 0)
                become(&c->target, p.in[0], p.out[1], p.tell[1]);
        err = c->child < 0 ? errno : 0;
        if (c->child > 0)
                setpgid(c->child, c->child); /* whoever comes first */
        close(p.tell[1]);
        p.tell[1] = -1;
        do
                n = err ? 0 : read(p.tell[0], &err, sizeof(err));
        while (n < 0 && errno == EINTR);
        if (!err) {
                c->out_fd = fd_take(&p.in[1]);
                c->in_fd = fd_take(&p.out[0]);
                err = -set_nonblocking(c->out_fd);
                if (!err)
                        err = -set_nonblocking(c->in_fd);
        } else if (c->child > 0) {
                waitpid(c->child, NULL, 0);
                c->child = 0;
        }
        pipes_close(&p);
        return err;
}

static void open_lines(struct client *c)
{
        int err = 0;

        if (c->target.transport == CLIENT_COMMAND) {
                err = start_command(c);
                if (err) {
                        client_refused(c, CLIENT_E_REFUSED, "%s: %s", c->target.argv[0],
                                       strerror(err));
                        return;
                }
        } else {
                c->in_fd = c->target.in_fd;
                c->out_fd = c->target.out_fd;
                if (set_nonblocking(c->in_fd) < 0 || set_nonblocking(c->out_fd) < 0) {
                        client_refused(c, CLIENT_E_REFUSED, "the given descriptors: %s",
                                       strerror(errno));
                        return;
                }
        }
        client_hello(c);
}

void wire_open(struct client *c)
{
        c->hungry = true;
        c->mute = false;
        c->pinged = false;
        c->pong_len = -1;
        c->ws = (struct ws){ .server = true };
        switch (c->target.transport) {
        case CLIENT_STDIO:
        case CLIENT_COMMAND:
                open_lines(c);
                break;
        case CLIENT_TCP:
                c->peer_at = 0;
                if (c->target.channel)
                        open_proxied(c);
                else if (c->target.at.tls)
                        client_refused(c, CLIENT_E_REFUSED, "no airlock-proxy speaks TLS for us");
                else if (resolve(c))
                        (void)open_tcp(c);
                break;
        case CLIENT_UNIX:
                open_unix(c);
                break;
        }
}

void wire_close(struct client *c, bool goodbye)
{
        static const char bye[] = { (char)0x88, (char)0x82, 0, 0, 0, 0, 0x03, (char)0xe8 };

        if (goodbye && !is_lines(c) && c->state == CLIENT_OPEN && !c->frame_left && !c->out.len)
                (void)!send(c->out_fd, bye, sizeof(bye), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (c->out_fd >= 0 && c->out_fd != c->in_fd)
                close(c->out_fd);
        if (c->in_fd >= 0)
                close(c->in_fd);
        c->in_fd = -1;
        c->out_fd = -1;
        buf_free(&c->in);
        buf_free(&c->message);
        buf_free(&c->out);
        c->text = NULL;
        c->taken = 0;
        c->message_taken = false;
        c->scanned = 0;
        c->frame_left = 0;
        if (c->child > 0) {
                kill(-c->child, SIGTERM);
                c->dying = c->child;
                c->child = 0;
                c->kill_ms = c->now_ms + DYING_MS;
        }
}

void wire_bury(struct client *c, bool force)
{
        siginfo_t info = { 0 };

        if (c->dying <= 0)
                return;
        /* Looked at before it is reaped: until then its group is nobody else's. */
        if (waitid(P_PID, (id_t)c->dying, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid == 0 && !force && c->now_ms < c->kill_ms)
                return;
        kill(-c->dying, SIGKILL);
        while (waitpid(c->dying, NULL, 0) < 0 && errno == EINTR)
                ;
        c->dying = 0;
}

/* --- out ------------------------------------------------------------------------------------ */

static void new_mask(struct client *c)
{
        if (getrandom(c->mask, sizeof(c->mask), 0) != (ssize_t)sizeof(c->mask))
                memset(c->mask, 0x5a, sizeof(c->mask)); /* it only keeps caches honest */
}

static void put_frame(struct client *c, enum ws_opcode opcode, const void *payload, size_t len)
{
        char head[WS_HEAD_MAX];
        size_t n;
        char *to;

        new_mask(c);
        n = ws_put_masked_head(head, opcode, true, len, c->mask);
        buf_put(&c->out, head, n);
        to = buf_room(&c->out, len);
        if (len)
                memcpy(to, payload, len);
        ws_unmask(to, len, c->mask, 0);
        buf_added(&c->out, len);
}

void wire_put(struct client *c, const char *text, size_t len)
{
        if (!is_lines(c)) {
                put_frame(c, WS_TEXT, text, len);
                return;
        }
        buf_put(&c->out, text, len);
        buf_put(&c->out, "\n", 1);
}

void wire_ping(struct client *c)
{
        if (!is_lines(c) && !c->frame_left)
                put_frame(c, WS_PING, "", 0);
}

static bool may_send(struct client *c, const struct client_request *r)
{
        const struct client_process *p;

        if (r->sent || r->failed || r->held)
                return false;
        if (c->state == CLIENT_HELLO)
                return r->kind == REQUEST_HELLO || r->kind == REQUEST_INFO;
        if (r->kind != REQUEST_WRITE)
                return true;
        p = process_of(c, r->process);
        return !p || p->started;
}

/* A request that was begun is ended before another one starts. */
static struct client_request *next_request(struct client *c)
{
        struct client_request *found = NULL;

        for (struct client_request *r = c->first; r; r = r->next) {
                if (r->framed && !r->sent)
                        return r;
                if (!found && may_send(c, r))
                        found = r;
        }
        return found;
}

static void begin_frame(struct client *c, const struct client_request *r)
{
        size_t left = r->text_len - r->framed;
        size_t n = left > WIRE_FRAME ? WIRE_FRAME : left;
        char head[WS_HEAD_MAX];

        if (!is_lines(c)) {
                new_mask(c);
                buf_put(&c->out, head,
                        ws_put_masked_head(head, r->framed ? WS_CONTINUE : WS_TEXT, n == left, n,
                                           c->mask));
        }
        c->frame_left = n;
        c->frame_at = 0;
}

/* Puts a piece of @r into the output buffer. */
static void frame_piece(struct client *c, struct client_request *r)
{
        size_t n;
        char *to;

        if (!c->frame_left)
                begin_frame(c, r);
        n = c->frame_left < WIRE_OUT ? c->frame_left : WIRE_OUT;
        to = buf_room(&c->out, n + 1);
        memcpy(to, buf_at(&r->text) + r->framed, n);
        if (!is_lines(c))
                ws_unmask(to, n, c->mask, c->frame_at);
        buf_added(&c->out, n);
        r->framed += n;
        c->frame_at += n;
        c->frame_left -= n;
        if (r->framed < r->text_len)
                return;
        r->sent = true;
        if (is_lines(c))
                buf_put(&c->out, "\n", 1);
        if (!r->again && r->kind != REQUEST_START) {
                c->queued -= r->text_len;
                buf_free(&r->text);
        }
}

static void fill(struct client *c)
{
        struct client_request *r;

        while (c->out.len < WIRE_OUT) {
                if (c->pong_len >= 0 && !c->frame_left) {
                        put_frame(c, WS_PONG, c->pong, (size_t)c->pong_len);
                        c->pong_len = -1;
                }
                r = next_request(c);
                if (!r)
                        return;
                frame_piece(c, r);
        }
}

void wire_send(struct client *c)
{
        while (c->out_fd >= 0 && !c->mute && c->state >= CLIENT_PROXY && c->state <= CLIENT_OPEN) {
                ssize_t n;

                if (c->state > CLIENT_UPGRADE)
                        fill(c);
                if (!c->out.len)
                        return;
                n = is_lines(c) ? write(c->out_fd, buf_at(&c->out), c->out.len)
                                : send(c->out_fd, buf_at(&c->out), c->out.len, MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0) {
                        /* What it said before it closed is still to be read. */
                        c->mute = true;
                        c->due_ms = c->now_ms + MUTE_MS;
                        return;
                }
                buf_drop(&c->out, (size_t)n, WIRE_KEEP);
        }
}

/* --- in --------------------------------------------------------------------------------------- */

static const char *host_of(const struct client_target *t, struct wr *w)
{
        bool ip6 = strchr(t->at.host, ':') != NULL;

        if (t->transport == CLIENT_UNIX)
                wr_str(w, "localhost");
        else
                wr_fmt(w, "%s%s%s:%u", ip6 ? "[" : "", t->at.host, ip6 ? "]" : "", t->at.port);
        return wr_cstr(w);
}

static void ask_proxy(struct client *c)
{
        char host[300], text[1024];
        struct wr h = wr_of(host, sizeof(host) - 1), w = wr_of(text, sizeof(text));

        upgrade_put_connect(&w, host_of(&c->target, &h), c->target.at.tls);
        buf_put(&c->out, text, w.len);
        c->state = CLIENT_PROXY;
        wire_send(c);
}

static void ask_upgrade(struct client *c)
{
        char host[300], text[REMOTE_URL_MAX + 8192];
        struct wr h = wr_of(host, sizeof(host) - 1), w = wr_of(text, sizeof(text));
        uint8_t nonce[16];

        if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce)) {
                client_broke(c, "random bytes: %s", strerror(errno));
                return;
        }
        upgrade_put_request(&w, host_of(&c->target, &h),
                            c->target.transport == CLIENT_UNIX ? "/" : c->target.at.path,
                            c->target.token, nonce, c->accept);
        if (w.full) {
                client_refused(c, CLIENT_E_REFUSED, "the token is too long");
                return;
        }
        buf_put(&c->out, text, w.len);
        explicit_bzero(text, sizeof(text));
        c->state = CLIENT_UPGRADE;
        wire_send(c);
}

static void connected(struct client *c)
{
        socklen_t len = sizeof(int);
        int err = 0;

        if (c->target.channel) { /* a pair is born connected */
                ask_proxy(c);
                return;
        }
        if (getsockopt(c->in_fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
                err = errno;
        if (err && c->target.transport == CLIENT_TCP && c->peer_at < c->peer_count) {
                close(c->in_fd);
                (void)open_tcp(c);
                return;
        }
        if (err && c->target.transport == CLIENT_TCP)
                client_broke(c, "connect to %s port %u: %s", c->target.at.host, c->target.at.port,
                             strerror(err));
        else if (err)
                client_broke(c, "connect to %s: %s", c->target.path, strerror(err));
        else
                ask_upgrade(c);
}

/* An answer to CONNECT or to the handshake that is none: the end of this try, or of all. */
static void refused(struct client *c, const struct upgrade_answer *a, bool ended)
{
        char text[400];
        struct wr w = wr_of(text, sizeof(text) - 1);
        size_t len = a->text_len;

        if (!ended && a->status && a->text_len < a->body_len && a->text_len < REFUSAL_MAX)
                return; /* the reason is still on its way */
        if (len > 300)
                len = 300;
        while (len && a->text[len - 1] <= ' ')
                len--;
        wr_plain(&w, a->text, len);
        if (a->status >= 500)
                client_broke(c, "%s: HTTP %u %s", a->why, a->status, wr_cstr(&w));
        else if (a->status)
                client_refused(c, CLIENT_E_REFUSED, "%s: HTTP %u%s%s", a->why, a->status,
                               w.len ? ", " : "", wr_cstr(&w));
        else
                client_refused(c, CLIENT_E_REFUSED, "%s", a->why);
}

static void upgraded(struct client *c, bool ended)
{
        bool proxy = c->state == CLIENT_PROXY;
        struct upgrade_answer a;

        c->hungry = true; /* an answer in pieces, or the next one */
        switch (proxy ? upgrade_read_connect(&a, c->target.at.tls, buf_at(&c->in), c->in.len,
                                             &c->scanned)
                      : upgrade_read_answer(&a, c->accept, buf_at(&c->in), c->in.len,
                                            &c->scanned)) {
        case UPGRADE_MORE:
                if (ended)
                        client_broke(c, "it closed the connection instead of an answer");
                return;
        case UPGRADE_OPEN:
                buf_drop(&c->in, a.head_len, WIRE_KEEP);
                c->scanned = 0;
                if (proxy)
                        ask_upgrade(c);
                else
                        client_hello(c);
                return;
        case UPGRADE_ANSWER:
                refused(c, &a, ended);
        }
}

static void readable(struct client *c)
{
        char *to = buf_room(&c->in, WIRE_READ);
        ssize_t n = read(c->in_fd, to, c->in.cap - c->in.head - c->in.len);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0) {
                buf_added(&c->in, (size_t)n);
                c->hungry = false;
                c->pinged = false;
        }
        if (c->state == CLIENT_UPGRADE || c->state == CLIENT_PROXY)
                upgraded(c, n <= 0);
        else if (n < 0)
                client_broke(c, "read: %s", strerror(errno));
        else if (!n)
                client_broke(c, "the server closed the connection");
}

void wire_event(struct client *c, int fd, short events)
{
        if (c->state == CLIENT_CONNECTING && fd == c->in_fd) {
                connected(c);
                return;
        }
        if (fd == c->in_fd && c->hungry && events & (POLLIN | POLLHUP | POLLERR))
                readable(c);
}

static void control_in(struct client *c, const struct ws_frame *f, const char *payload)
{
        if (f->opcode == WS_PING) {
                memcpy(c->pong, payload, f->len);
                c->pong_len = (int)f->len;
        } else if (f->opcode == WS_CLOSE) {
                char text[WS_CONTROL_MAX * 4];
                struct wr w = wr_of(text, sizeof(text) - 1);

                if (f->len > 2)
                        wr_plain(&w, payload + 2, f->len - 2);
                client_broke(c, "the server closed the connection%s%s", w.len ? ": " : "",
                             wr_cstr(&w));
        }
}

/* One frame. False: it is not all here, or the connection broke. */
static bool frame_in(struct client *c, char **text, size_t *len)
{
        struct ws w = c->ws;
        struct ws_frame f;
        enum ws_status s = ws_parse(&w, &f, buf_at(&c->in), c->in.len);
        char *payload;

        *text = NULL;
        if (s == WS_MORE || (s == WS_OK && c->in.len - f.head_len < f.len)) {
                if (s == WS_OK)
                        (void)buf_room(&c->in, f.head_len + f.len - c->in.len);
                return false;
        }
        if (s != WS_OK) {
                client_refused(c, CLIENT_E_LOST, "the server sent %s", ws_status_str(s));
                return false;
        }
        c->ws = w;
        payload = buf_at(&c->in) + f.head_len;
        if (f.opcode >= WS_CLOSE) {
                control_in(c, &f, payload);
        } else if (f.fin && f.opcode != WS_CONTINUE) {
                c->taken = f.head_len + f.len;
                *text = payload;
                *len = f.len;
                return true;
        } else {
                buf_put(&c->message, payload, f.len);
                if (f.fin) {
                        c->message_taken = true;
                        *text = buf_at(&c->message);
                        *len = c->message.len;
                }
        }
        if (c->in_fd >= 0)
                buf_drop(&c->in, f.head_len + f.len, WIRE_KEEP);
        return c->in_fd >= 0;
}

static bool line_in(struct client *c, char **text, size_t *len)
{
        char *bytes = buf_at(&c->in);
        char *end = c->in.len > c->scanned
                            ? memchr(bytes + c->scanned, '\n', c->in.len - c->scanned)
                            : NULL;

        *text = NULL;
        if (!end) {
                c->scanned = c->in.len;
                if (c->in.len > CLIENT_MESSAGE_MAX)
                        client_refused(c, CLIENT_E_LOST, "the server sent a line without end");
                return false;
        }
        c->scanned = 0;
        *len = (size_t)(end - bytes);
        c->taken = *len + 1;
        for (size_t i = 0; i < *len; i++)
                if (bytes[i] != ' ' && bytes[i] != '\t' && bytes[i] != '\r') {
                        *text = bytes;
                        return true;
                }
        wire_taken(c); /* a blank line */
        return true;
}

bool wire_message(struct client *c, char **text, size_t *len)
{
        *text = NULL;
        while (c->in_fd >= 0 && c->in.len) {
                if (!(is_lines(c) ? line_in(c, text, len) : frame_in(c, text, len)))
                        break;
                if (*text) {
                        c->text = *text;
                        return true;
                }
        }
        c->hungry = true;
        return false;
}

void wire_taken(struct client *c)
{
        c->text = NULL;
        if (c->taken)
                buf_drop(&c->in, c->taken, WIRE_KEEP);
        c->taken = 0;
        if (c->message_taken)
                buf_drop(&c->message, c->message.len, 0);
        c->message_taken = false;
}
