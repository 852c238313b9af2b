/* agent/model.c - see model.h. */
#include "agent/model.h"

#include "base/digits.h"
#include "base/msg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define READ (64U << 10)
#define IN_MAX (1U << 20) /* of bytes not looked at: a head, mostly */

/* --- the address --------------------------------------------------------------------------------- */

bool model_url_parse(struct model_url *u, const char *text)
{
        const char *at, *end, *colon;
        uint64_t port;
        size_t n;

        *u = (struct model_url){ .https = !strncmp(text, "https://", 8) };
        if (!u->https && strncmp(text, "http://", 7) != 0)
                return false;
        at = text + (u->https ? 8 : 7);
        end = at + strcspn(at, "/?#");
        colon = *at == '[' ? memchr(at, ']', (size_t)(end - at)) : at;
        if (!colon || memchr(at, '@', (size_t)(end - at)) || strpbrk(end, "?# \\"))
                return false;
        colon = memchr(colon, ':', (size_t)(end - colon));
        n = (size_t)((colon ? colon : end) - at);
        if (*at == '[') {
                at++;
                n -= 2;
        }
        if (!n || n >= sizeof(u->host))
                return false;
        memcpy(u->host, at, n);
        u->port = u->https ? 443 : 80;
        if (colon) {
                at = colon + 1;
                if (!digits_take(&at, 65535, &port) || at != end || !port)
                        return false;
                u->port = (uint16_t)port;
        }
        n = strlen(end);
        while (n && end[n - 1] == '/')
                n--;
        if (n >= sizeof(u->path))
                return false;
        memcpy(u->path, end, n);
        for (const char *c = u->host; *c; c++)
                if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
                        return false;
        for (const char *c = u->path; *c; c++)
                if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
                        return false;
        return true;
}

static void put_authority(struct buf *b, const struct model_url *u, bool port)
{
        bool six = strchr(u->host, ':');

        buf_fmt(b, six ? "[%s]" : "%s", u->host);
        if (port || u->port != (u->https ? 443 : 80))
                buf_fmt(b, ":%u", u->port);
}

/* --- ends ------------------------------------------------------------------------------------------ */

void model_open(struct model *m, const struct model_url *url, int channel)
{
        *m = (struct model){ .url = url, .channel = channel, .fd = -1, .idle_ms = MODEL_IDLE_MS };
}

static void hang_up(struct model *m)
{
        if (m->fd >= 0)
                close(m->fd);
        m->fd = -1;
        m->kept = false;
}

static void forget(struct model *m)
{
        buf_drop(&m->out, m->out.len, READ);
        buf_drop(&m->in, m->in.len, READ);
        buf_drop(&m->body, m->body.len, READ);
        sse_free(&m->sse);
        m->scanned = 0;
        m->stream = m->any = false;
}

/* What is still to be sent of the request. */
static size_t unsent(const struct model *m)
{
        return m->out.len + (m->state == MODEL_CONNECT ? 0 : m->request.len - m->sent);
}

static void finish(struct model *m)
{
        if (!m->keeps || unsent(m))
                hang_up(m);
        else
                m->kept = true;
        forget(m);
        buf_drop(&m->request, m->request.len, 0);
        m->state = MODEL_IDLE;
}

void model_stop(struct model *m)
{
        m->keeps = false;
        finish(m);
        hang_up(m);
}

void model_close(struct model *m)
{
        model_stop(m);
        answer_free(&m->answer);
        buf_free(&m->out);
        buf_free(&m->in);
        buf_free(&m->body);
        buf_free(&m->request);
}

static void begin(struct model *m, uint64_t now_ms);

/* The connection ended or made no sense. A kept one may just have been too old. */
static void broken(struct model *m, uint64_t now_ms, const char *why)
{
        if (m->kept && !m->any) {
                hang_up(m);
                begin(m, now_ms);
                return;
        }
        failure_set(&m->answer.failure, MODEL_BROKEN, "%s", why);
        m->keeps = false;
        finish(m);
}

/* --- sending ------------------------------------------------------------------------------------------ */

static void put_request(struct model *m)
{
        static const char *const tails[] = { [WIRE_RESPONSES_API] = "/responses",
                                             [WIRE_CHAT_API] = "/chat/completions" };
        const struct model_url *u = m->url;

        buf_str(&m->out, "POST ");
        if (!u->https) {
                buf_str(&m->out, "http://");
                put_authority(&m->out, u, false);
        }
        buf_str(&m->out, u->path);
        buf_str(&m->out, tails[m->wire]);
        buf_str(&m->out, " HTTP/1.1\r\nHost: ");
        put_authority(&m->out, u, false);
        buf_fmt(&m->out, "\r\nUser-Agent: airlock/" AIRLOCK_VERSION
                         "\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
                         "Content-Length: %zu\r\n\r\n",
                m->request.len);
        m->sent = 0;
        m->state = MODEL_HEAD;
        m->scanned = 0;
        memcpy(m->method, "POST", 5);
}

static void begin(struct model *m, uint64_t now_ms)
{
        int r = m->fd < 0 ? msg_client(m->channel) : m->fd;

        m->due_ms = now_ms + m->idle_ms;
        m->fd = r < 0 ? -1 : r;
        if (r < 0) {
                failure_set(&m->answer.failure, MODEL_BROKEN, "airlock-proxy can't be reached: %s",
                            strerror(-r));
                m->keeps = false;
                finish(m);
                return;
        }
        forget(m);
        if (!m->url->https || m->kept) {
                put_request(m);
                return;
        }
        buf_str(&m->out, "CONNECT ");
        put_authority(&m->out, m->url, true);
        buf_str(&m->out, " HTTP/1.1\r\nHost: ");
        put_authority(&m->out, m->url, true);
        buf_str(&m->out, "\r\n\r\n");
        memcpy(m->method, "CONNECT", 8);
        m->state = MODEL_CONNECT;
}

void model_ask(struct model *m, enum wire wire, bool can_switch, struct buf *body,
               uint64_t now_ms)
{
        answer_free(&m->answer);
        m->answer.wire = wire;
        m->wire = wire;
        m->can_switch = can_switch;
        buf_free(&m->request);
        m->request = *body;
        *body = (struct buf){ 0 };
        begin(m, now_ms);
}

static int send_some(struct model *m)
{
        while (unsent(m)) {
                bool head = m->out.len;
                ssize_t n = head ? send(m->fd, buf_at(&m->out), m->out.len, MSG_NOSIGNAL)
                                 : send(m->fd, buf_at(&m->request) + m->sent,
                                        m->request.len - m->sent, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                if (head)
                        buf_drop(&m->out, (size_t)n, READ);
                else
                        m->sent += (size_t)n;
        }
        return 0;
}

/* --- the answer ------------------------------------------------------------------------------------------ */

static uint64_t unix_s(void)
{
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t)t.tv_sec;
}

/* Bytes of the body, decoded. False: the answer is over. */
static bool take_body(struct model *m, const char *bytes, size_t len)
{
        size_t used;

        if (!m->stream) {
                size_t cap = m->head.code == 200 ? MODEL_WHOLE_BODY : MODEL_ERROR_BODY;
                size_t room = cap - m->body.len;

                buf_put(&m->body, bytes, len < room ? len : room);
                return true;
        }
        for (; len; bytes += used, len -= used) {
                enum sse_status s = sse_next(&m->sse, bytes, len, &used);

                if (s == SSE_LARGE) {
                        failure_set(&m->answer.failure, MODEL_ANSWER,
                                    "an event of the model's stream is over %u MiB",
                                    SSE_EVENT_MAX >> 20);
                        return false;
                }
                if (s == SSE_EVENT &&
                    !answer_take(&m->answer, buf_at(&m->sse.data), m->sse.data.len))
                        return false;
                /* The rest of a chunked body may never come; what counts is here. */
                if (m->answer.ended && s == SSE_EVENT && m->head.body != HTTP1_CHUNKED)
                        return false;
        }
        return true;
}

/* The body is over, at @from in m->in; what is behind it nobody asked for. */
static void whole(struct model *m, size_t from)
{
        size_t scanned = 0;

        m->keeps = m->keeps && from == m->in.len;
        /* The head's bytes have moved since it was read. */
        if (m->head.code != 200 &&
            http1_parse_response(&m->head, buf_at(&m->in), m->in.len, &scanned, m->method,
                                 strlen(m->method)) == HTTP1_OK)
                failure_of_response(&m->answer.failure, &m->head, buf_at(&m->body), m->body.len,
                                    unix_s(), m->can_switch);
        else if (!m->stream && !m->body.len)
                failure_set(&m->answer.failure, MODEL_BROKEN,
                            "the model's server sent an empty answer");
        else if (m->stream ? !answer_end(&m->answer)
                           : !answer_take_whole(&m->answer, buf_at(&m->body), m->body.len))
                m->keeps = false;
        finish(m);
}

static bool is_stream(const struct http1 *h)
{
        static const char want[] = "text/event-stream";
        struct http1_text type = http1_header(h, "content-type");

        return type.at && type.len >= sizeof(want) - 1 &&
               !strncasecmp(type.at, want, sizeof(want) - 1);
}

static bool take_head(struct model *m, uint64_t now_ms)
{
        enum http1_status s = http1_parse_response(&m->head, buf_at(&m->in), m->in.len,
                                                   &m->scanned, m->method, strlen(m->method));

        if (s == HTTP1_MORE && m->in.len < HTTP1_HEAD_MAX)
                return false;
        if (s != HTTP1_OK) {
                broken(m, now_ms, "what came from the model's server is not HTTP/1.1");
                return false;
        }
        if (m->head.code / 100 == 1 && m->head.code != 101) {
                buf_drop(&m->in, m->head.head_len, READ);
                m->scanned = 0;
                return true;
        }
        if (m->state == MODEL_CONNECT && m->head.body == HTTP1_TUNNEL) {
                buf_drop(&m->in, m->head.head_len, READ);
                put_request(m);
                return true;
        }
        m->state = MODEL_BODY;
        m->keeps = m->head.keep_alive;
        m->left = m->head.length;
        m->stream = m->head.code == 200 && is_stream(&m->head);
        http1_chunked_init(&m->chunked);
        return true;
}

/* Takes what is there of the body, which starts at @from of m->in. */
static void read_body(struct model *m, size_t *from, bool eof, uint64_t now_ms)
{
        const char *bytes = buf_at(&m->in) + *from;
        size_t len = m->in.len - *from;
        enum http1_status s;

        switch (m->head.body) {
        case HTTP1_NONE:
                whole(m, *from);
                return;
        case HTTP1_LENGTH:
                len = len < m->left ? len : (size_t)m->left;
                m->left -= len;
                *from += len;
                if (!take_body(m, bytes, len)) {
                        m->keeps = false;
                        finish(m);
                } else if (!m->left) {
                        whole(m, *from);
                } else if (eof) {
                        broken(m, now_ms, "the model's answer was cut off");
                }
                return;
        case HTTP1_UNTIL_CLOSE:
        case HTTP1_TUNNEL:
                *from += len;
                if (!take_body(m, bytes, len)) {
                        m->keeps = false;
                        finish(m);
                } else if (eof) {
                        m->keeps = false;
                        whole(m, *from);
                }
                return;
        case HTTP1_CHUNKED:
                break;
        }
        for (;;) {
                struct http1_text piece;
                size_t used;

                s = http1_chunk_next(&m->chunked, bytes, len, &used, &piece);
                bytes += used;
                len -= used;
                *from += used;
                if (s != HTTP1_OK)
                        break;
                if (!take_body(m, piece.at, piece.len)) {
                        m->keeps = false;
                        finish(m);
                        return;
                }
        }
        if (s == HTTP1_DONE) {
                whole(m, *from);
        } else if (s != HTTP1_MORE || eof) {
                /* Everything that matters may have come: then the end does not. */
                if (m->stream && m->answer.ended) {
                        m->keeps = false;
                        whole(m, *from);
                } else {
                        broken(m, now_ms, m->stream ? "the stream closed before its end"
                                                    : "the model's answer was cut off");
                }
        }
}

/* 1: bytes; 0: none now; -1: the end. */
static int read_some(struct model *m)
{
        ssize_t n = read(m->fd, buf_room(&m->in, READ), READ);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0)
                return -1;
        buf_added(&m->in, (size_t)n);
        m->any = true;
        return 1;
}

static void advance(struct model *m, bool eof, uint64_t now_ms)
{
        while (m->state == MODEL_CONNECT || m->state == MODEL_HEAD) {
                enum model_state before = m->state;

                if (!take_head(m, now_ms)) {
                        if (m->state == before && eof)
                                broken(m, now_ms, m->any ? "the model's answer was cut off"
                                                         : "the connection to the model broke");
                        return;
                }
        }
        if (m->state == MODEL_BODY) {
                /* The head stays at the front for as long as its headers may be asked for. */
                size_t from = m->head.head_len;

                read_body(m, &from, eof, now_ms);
                if (m->state == MODEL_BODY) {
                        m->in.len -= from - m->head.head_len;
                        memmove(buf_at(&m->in) + m->head.head_len, buf_at(&m->in) + from,
                                m->in.len - m->head.head_len);
                }
        }
}

short model_events(const struct model *m)
{
        return (short)(POLLIN | (unsent(m) ? POLLOUT : 0));
}

void model_step(struct model *m, short revents, uint64_t now_ms)
{
        int got = 0;

        if (m->state == MODEL_IDLE)
                return;
        if (revents & POLLOUT && send_some(m) < 0) { /* the answer may say why */
                buf_drop(&m->out, m->out.len, READ);
                m->sent = m->request.len;
        }
        if (revents & (POLLIN | POLLHUP | POLLERR))
                got = read_some(m);
        if (got > 0)
                m->due_ms = now_ms + m->idle_ms;
        if (got)
                advance(m, got < 0, now_ms);
        if (m->state != MODEL_IDLE && now_ms >= m->due_ms) {
                failure_set(&m->answer.failure, MODEL_BROKEN,
                            "nothing came from the model for %u s", m->idle_ms / 1000);
                m->keeps = false;
                finish(m);
        }
        if (m->in.len > IN_MAX && m->state != MODEL_IDLE)
                broken(m, now_ms, "what came from the model's server is not HTTP/1.1");
}
