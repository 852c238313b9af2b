/* netfilter/inspect.c - see inspect.h. */
#include "netfilter/inspect.h"

#include "netfilter/inspect_head.h"

#include <string.h>
#include <strings.h>

#define PIECE_ROOM 64 /* a chunk's size line, its end and the last chunk fit twice */

bool inspect_init(struct inspect *in, struct inspect_world *w, const struct policy_verdict *v,
                  enum inspect_tls tls)
{
        struct wr name = wr_of(in->name, sizeof(in->name));
        size_t len;

        in->phase = tls == INSPECT_TLS ? INSPECT_SHAKING : INSPECT_IDLE;
        in->tls = tls != INSPECT_CLEAR;
        in->verdict = *v;
        host_put(&name, &v->host);
        wr_cstr(&name);
        in->decision = (struct inspect_decision){ .rule = -1 };
        mask_init(&in->mask);
        if (tls != INSPECT_TLS) {
                tls_clear_init(&in->client);
                return true;
        }
        len = ca_leaf(w->ca, in->name, w->now_s, in->leaf);
        in->chain = (br_x509_certificate){ in->leaf, len };
        tls_server_init(&in->client, w->random, &in->chain, &w->ca->leaf.secret, w->cache);
        return len != 0;
}

bool inspect_has_upstream(const struct inspect *in)
{
        return in->has_upstream;
}

void inspect_client_ended(struct inspect *in)
{
        in->client_eof = true;
}

void inspect_upstream_ended(struct inspect *in)
{
        in->upstream_eof = true;
}

void inspect_wipe(struct inspect *in)
{
        mask_wipe(&in->mask);
        tls_wipe(&in->client);
        if (in->has_upstream || in->last_words || in->dial_asked)
                tls_wipe(&in->upstream);
        explicit_bzero(in->in.bytes, in->in.len);
        explicit_bzero(in->back.bytes, in->back.len);
        explicit_bzero(in->up.bytes, in->up.len);
        explicit_bzero(in->down.bytes, in->down.len);
        explicit_bzero(in->listed, in->listed_len);
        explicit_bzero(in, offsetof(struct inspect, in));
        in->in.at = in->in.len = in->back.at = in->back.len = 0;
        in->up.at = in->up.len = in->down.at = in->down.len = 0;
        in->listed_at = in->listed_len = 0;
}

/* --- moving bytes ------------------------------------------------------------------------ */

/* Plaintext into a buffer, as much as there is room for. True: something came. */
static bool pull(struct tls *t, struct inspect_buffer *b)
{
        const uint8_t *plain;
        bool came = false;
        size_t len;

        if (b->at == b->len)
                b->at = b->len = 0;
        while (b->len < sizeof(b->bytes) && (plain = tls_plain(t, &len)) != NULL && len) {
                size_t room = sizeof(b->bytes) - b->len;

                len = len < room ? len : room;
                memcpy(b->bytes + b->len, plain, len);
                b->len += len;
                tls_plain_used(t, len);
                came = true;
        }
        return came;
}

/* What is left of a buffer comes to its beginning. */
static void settle(struct inspect_buffer *b)
{
        memmove(b->bytes, b->bytes + b->at, b->len - b->at);
        b->len -= b->at;
        b->at = 0;
}

static bool push_bytes(struct tls *t, const char *bytes, size_t *at, size_t len)
{
        bool went = false;
        uint8_t *room;
        size_t cap;

        while (*at < len && (room = tls_room(t, &cap)) != NULL && cap) {
                cap = cap < len - *at ? cap : len - *at;
                memcpy(room, bytes + *at, cap);
                tls_wrote(t, cap);
                *at += cap;
                went = true;
        }
        return went;
}

static bool push(struct tls *t, struct inspect_buffer *b)
{
        return push_bytes(t, b->bytes, &b->at, b->len);
}

/*
 * The next piece of a body that begins at @bytes. *@used bytes were looked at, the body's own
 * are in *@piece. False: the framing is broken.
 */
static bool body_next(struct inspect_body *b, const char *bytes, size_t len, size_t *used,
                      struct http1_text *piece)
{
        *used = 0;
        *piece = (struct http1_text){ bytes, 0 };
        switch (b->kind) {
        case HTTP1_NONE:
                b->done = true;
                return true;
        case HTTP1_LENGTH:
                piece->len = len < b->left ? len : (size_t)b->left;
                b->left -= piece->len;
                b->done = !b->left;
                *used = piece->len;
                return true;
        case HTTP1_CHUNKED:
                switch ((unsigned)http1_chunk_next(&b->chunked, bytes, len, used, piece)) {
                case HTTP1_OK:
                        return true;
                case HTTP1_MORE:
                        piece->len = 0;
                        return true;
                case HTTP1_DONE:
                        piece->len = 0;
                        b->done = true;
                        return true;
                default:
                        return false;
                }
        case HTTP1_UNTIL_CLOSE:
        case HTTP1_TUNNEL:
                piece->len = len;
                *used = len;
                return true;
        }
        return false;
}

/* One piece in the framing of the side it goes to. There is room. */
static void put_piece(struct tls *t, const char *bytes, size_t len, bool chunked)
{
        uint8_t *room;
        size_t cap;
        struct wr w;

        if (!len)
                return;
        room = tls_room(t, &cap);
        w = wr_of(room, room ? cap : 0);
        if (chunked)
                http1_put_chunk(&w, len);
        wr_bytes(&w, bytes, len);
        if (chunked)
                wr_str(&w, "\r\n");
        tls_wrote(t, w.len);
}

static void put_last_chunk(struct tls *t)
{
        uint8_t *room;
        size_t cap;

        room = tls_room(t, &cap);
        if (room) {
                struct wr w = wr_of(room, cap);

                wr_str(&w, HTTP1_LAST_CHUNK);
                tls_wrote(t, w.len);
        }
}

enum moved { MOVED_NOTHING, MOVED_SOME, MOVED_BROKEN };

/*
 * Moves a body from @from to @to, as far as bytes and room go. @mask may be NULL. The end is
 * written when the body is done and nothing is held back.
 */
static enum moved body_move(struct inspect_body *b, struct inspect_buffer *from, struct tls *to,
                            bool chunked, struct mask *mask, struct inspect_world *w,
                            uint64_t *count)
{
        enum moved moved = MOVED_NOTHING;

        while (!b->done && from->at < from->len) {
                struct http1_text piece;
                size_t used, cap, held = mask ? mask->held_len : 0;
                size_t len = from->len - from->at;

                if (!tls_room(to, &cap))
                        break;
                if (cap < PIECE_ROOM + held + 256) {
                        tls_flush(to); /* what is left of a record is too small to be used */
                        if (!tls_room(to, &cap) || cap < PIECE_ROOM + held + 256)
                                break;
                }
                cap -= PIECE_ROOM + held;
                if (cap > sizeof(w->scratch) - held)
                        cap = sizeof(w->scratch) - held;
                if (!body_next(b, from->bytes + from->at, len < cap ? len : cap, &used, &piece))
                        return MOVED_BROKEN;
                from->at += used;
                *count += piece.len;
                moved = MOVED_SOME;
                if (mask) {
                        size_t read, n = mask_run(mask, piece.at, piece.len, &read, w->scratch,
                                                  sizeof(w->scratch));

                        put_piece(to, w->scratch, n, chunked);
                } else {
                        put_piece(to, piece.at, piece.len, chunked);
                }
                if (b->done && mask) {
                        size_t n = mask_end(mask, w->scratch, sizeof(w->scratch));

                        put_piece(to, w->scratch, n, chunked);
                }
                if (b->done && chunked)
                        put_last_chunk(to);
        }
        return moved;
}

/* --- refusals and ends ------------------------------------------------------------------- */

static void drop_upstream(struct inspect *in)
{
        if (!in->has_upstream)
                return;
        tls_close(&in->upstream); /* or the host would forget the session */
        in->has_upstream = false;
        in->upstream_eof = false;
        in->reused = false;
        in->kept = false;
        in->hang_up = true;
        explicit_bzero(in->back.bytes, in->back.len);
        in->back.at = in->back.len = 0;
}

static void decide(struct inspect *in, struct inspect_world *w)
{
        in->decision.ms = w->now_ms - in->started_ms;
        in->decided = true;
}

/* The connection ends without a word to the client: what it got so far must not look whole. */
static void abandon(struct inspect *in, struct inspect_world *w, enum policy_reason reason,
                    const char *why)
{
        in->decision.reason = reason;
        in->decision.why = why;
        decide(in, w);
        drop_upstream(in);
        in->phase = INSPECT_ENDED;
}

static void refuse(struct inspect *in, struct inspect_world *w, unsigned code,
                   enum policy_reason reason)
{
        /* Where the rest of the body may be passed over, the connection can be used again. */
        bool keep = code != 400 && in->client_keeps && !in->client_eof &&
                    (in->hidden.kind == HTTP1_NONE ||
                     (!in->expects && !in->http10 &&
                      (in->hidden.kind != HTTP1_LENGTH || in->hidden.left <= INSPECT_DRAIN_MAX)));

        explicit_bzero(in->up.bytes, in->up.len);
        in->up.at = in->up.len = 0;
        in->listed_at = in->listed_len = 0;
        in->client_keeps = keep;
        inspect_put_refusal(in, w, code, reason, !keep);
        decide(in, w);
        in->drained = 0;
        in->phase = INSPECT_REFUSING;
}

static void say_goodbye(struct inspect *in)
{
        drop_upstream(in);
        tls_close(&in->client);
        in->phase = INSPECT_GOODBYE;
}

/* --- phases: each returns true when something moved ---------------------------------------- */

static bool shaking(struct inspect *in, struct inspect_world *w)
{
        switch (tls_state(&in->client)) {
        case TLS_SHAKING:
                if (!in->client_eof)
                        return false;
                in->phase = INSPECT_ENDED;
                return true;
        case TLS_OPEN:
                /* Somebody may have compared another hello than the one that we answered. */
                if (!in->verdict.host.literal && strcasecmp(tls_sni(&in->client), in->name) != 0) {
                        in->started_ms = w->now_ms;
                        abandon(in, w, POLICY_DENY_SNI, "the TLS name is another");
                        return true;
                }
                in->phase = INSPECT_IDLE;
                return true;
        case TLS_CLOSING:
        case TLS_CLOSED:
                in->started_ms = w->now_ms;
                if (tls_error(&in->client) == TLS_ERR_ALPN)
                        abandon(in, w, POLICY_DENY_REQUEST,
                                "the client speaks HTTP/2 only; http/1.1 is what we look into");
                else if (tls_error(&in->client) == TLS_ERR_REFUSED)
                        abandon(in, w, POLICY_DENY_NOT_TLS,
                                "the client does not trust airlock's certificate");
                else if (tls_error(&in->client) == TLS_ERR_VERSION ||
                         tls_error(&in->client) == TLS_ERR_SUITE)
                        abandon(in, w, POLICY_DENY_NOT_TLS,
                                "the client does not speak TLS 1.2 with us, which is what "
                                "airlock can look into");
                else
                        abandon(in, w, POLICY_DENY_NOT_TLS, tls_error_str(tls_error(&in->client)));
                return true;
        }
        return false;
}

/* Where an allowed request goes on. */
static void go_upstream(struct inspect *in)
{
        in->has_response = false;
        in->response_scanned = 0;
        if (in->has_upstream) {
                in->reused = true;
                in->phase = INSPECT_EXCHANGE;
        } else {
                in->dial_asked = false;
                in->phase = INSPECT_DIALLING;
        }
}

static bool idle(struct inspect *in, struct inspect_world *w)
{
        bool came = pull(&in->client, &in->in), check_refs;
        enum http1_status s = HTTP1_MORE;
        enum policy_reason reason;

        /* A host that says something unasked, or leaves, is not asked again. */
        if (in->has_upstream) {
                pull(&in->upstream, &in->back);
                if (in->back.at < in->back.len || in->upstream_eof ||
                    tls_state(&in->upstream) != TLS_OPEN) {
                        drop_upstream(in);
                        return true;
                }
        }
        if (in->in.at)
                settle(&in->in);
        if (in->in.len)
                s = http1_parse_request(&w->head, in->in.bytes, in->in.len, &in->request_scanned);
        if (s == HTTP1_MORE) {
                if (in->client_eof || tls_state(&in->client) != TLS_OPEN) {
                        say_goodbye(in);
                        return true;
                }
                return came;
        }
        in->request_scanned = 0;
        if (s != HTTP1_OK) {
                in->decision = (struct inspect_decision){ .rule = -1,
                                                          .why = http1_status_str(s) };
                in->started_ms = w->now_ms;
                in->is_head = false;
                in->client_keeps = false;
                refuse(in, w, 400, POLICY_DENY_REQUEST);
                return true;
        }
        reason = inspect_request(in, w, &check_refs);
        in->in.at = w->head.head_len;
        settle(&in->in);
        if (reason != POLICY_ALLOWED) {
                refuse(in, w, 403, reason);
                return true;
        }
        in->listed_at = in->listed_len = 0;
        if (check_refs) {
                git_push_init(&in->push);
                in->down.at = in->down.len = 0;
                if (in->expects) {
                        struct wr out = wr_of(in->down.bytes, sizeof(in->down.bytes));

                        wr_str(&out, "HTTP/1.1 100 Continue\r\n\r\n");
                        in->down.len = out.len;
                        in->expects = false;
                }
                in->phase = INSPECT_LISTING;
        } else {
                go_upstream(in);
        }
        return true;
}

/* Some of a push's command list. False: it is refused. */
static bool list_refs(struct inspect *in, struct inspect_world *w, struct http1_text piece,
                      bool *over)
{
        const struct policy_rule *rule = &w->policy->rules[in->decision.rule];

        memcpy(in->listed + in->listed_len, piece.at, piece.len);
        in->listed_len += piece.len;
        while (piece.len) {
                struct git_update update;
                size_t used;
                enum git_status s = git_push_next(&in->push, piece.at, piece.len, &used, &update);

                piece.at += used;
                piece.len -= used;
                switch (s) {
                case GIT_MORE:
                        return true;
                case GIT_DONE:
                        *over = true;
                        return true;
                case GIT_UPDATE:
                        if (rule->branch && git_ref_matches(rule->branch, update.ref))
                                break;
                        in->decision.why = "the push changes a ref that the rule's branch excludes";
                        return false;
                case GIT_MALFORMED:
                case GIT_LIMIT:
                case GIT_SIGNED:
                        in->decision.why = git_status_str(s);
                        return false;
                }
        }
        return true;
}

static bool listing(struct inspect *in, struct inspect_world *w)
{
        bool moved = push(&in->client, &in->down), over = false;

        moved |= pull(&in->client, &in->in);
        while (!over && !in->request.done && in->in.at < in->in.len) {
                size_t room = sizeof(in->listed) - in->listed_len, used;
                size_t len = in->in.len - in->in.at;
                struct http1_text piece;

                len = len < room ? len : room;
                if (!len ||
                    !body_next(&in->request, in->in.bytes + in->in.at, len, &used, &piece)) {
                        in->client_keeps = false;
                        in->decision.why = "the push's body is malformed";
                        refuse(in, w, 400, POLICY_DENY_REQUEST);
                        return true;
                }
                in->in.at += used;
                moved = true;
                if (!list_refs(in, w, piece, &over)) {
                        in->hidden = in->request;
                        refuse(in, w, 403, POLICY_DENY_GIT);
                        return true;
                }
        }
        if (over) {
                go_upstream(in);
        } else if (in->request.done) {
                in->hidden = in->request;
                in->decision.why = "the push ends in its list of refs";
                refuse(in, w, 403, POLICY_DENY_GIT);
        } else if (!moved && (in->client_eof || tls_state(&in->client) != TLS_OPEN)) {
                abandon(in, w, POLICY_DENY_REQUEST, "the client left");
        } else {
                return moved;
        }
        return true;
}

void inspect_dialled(struct inspect *in, struct inspect_world *w)
{
        if (in->phase != INSPECT_DIALLING)
                return;
        if (in->tls)
                tls_client_init(&in->upstream, w->random, &w->trust, in->name, in->verdict.port,
                                w->now_s, w->sessions);
        else
                tls_clear_init(&in->upstream);
        in->has_upstream = true;
        in->upstream_eof = false;
        in->reused = false;
        in->kept = false;
        in->back.at = in->back.len = 0;
        in->phase = INSPECT_GREETING;
}

void inspect_undialled(struct inspect *in, struct inspect_world *w, enum policy_reason reason)
{
        if (in->phase != INSPECT_DIALLING)
                return;
        refuse(in, w, reason == POLICY_DENY_RESOLVE || reason == POLICY_DENY_UPSTREAM ? 502 : 403,
               reason);
}

static bool greeting(struct inspect *in, struct inspect_world *w)
{
        switch (tls_state(&in->upstream)) {
        case TLS_SHAKING:
                if (!in->upstream_eof)
                        return false;
                in->decision.why = "the host ended the connection before TLS stood";
                break;
        case TLS_OPEN:
                in->phase = INSPECT_EXCHANGE;
                return true;
        case TLS_CLOSING:
        case TLS_CLOSED:
                in->decision.why = tls_error_str(tls_error(&in->upstream));
                if (tls_error(&in->upstream) == TLS_ERR_VERSION ||
                    tls_error(&in->upstream) == TLS_ERR_SUITE)
                        in->decision.why = "the host does not speak TLS 1.2 with us, which is what "
                                           "airlock can look into; a rule with raw would pass "
                                           "its TLS through unseen";
                break;
        }
        drop_upstream(in);
        refuse(in, w, 502, POLICY_DENY_TLS_UPSTREAM);
        return true;
}

/* The host went away, or spoke nonsense, before a response was begun. */
static void no_response(struct inspect *in, struct inspect_world *w, const char *why)
{
        bool again = in->reused && in->safe && !why && in->back.len == in->back.at;

        drop_upstream(in);
        if (again) { /* it closed an idle connection just when we used it */
                in->up.at = 0;
                go_upstream(in);
                return;
        }
        in->decision.why = why ? why : "the host ended the connection without a response";
        in->hidden = in->request;
        in->client_keeps = in->client_keeps && in->request.done;
        refuse(in, w, 502, POLICY_DENY_UPSTREAM);
}

/* The response's head, and 1xx before it. */
static bool response_head(struct inspect *in, struct inspect_world *w)
{
        enum http1_status s;
        enum policy_reason reason;

        if (in->back.at)
                settle(&in->back);
        if (!in->back.len)
                return false;
        s = http1_parse_response(&w->head, in->back.bytes, in->back.len, &in->response_scanned,
                                 in->decision.method, strlen(in->decision.method));
        if (s == HTTP1_MORE)
                return false;
        in->response_scanned = 0;
        if (s != HTTP1_OK) {
                no_response(in, w, http1_status_str(s));
                return true;
        }
        if (w->head.code < 200 && w->head.code != 101) {
                in->back.at = w->head.head_len;
                if (w->head.code == 100 && in->expects && !in->http10 && !in->down.len) {
                        struct wr out = wr_of(in->down.bytes, sizeof(in->down.bytes));

                        wr_str(&out, "HTTP/1.1 100 Continue\r\n\r\n");
                        in->down.at = 0;
                        in->down.len = out.len;
                        in->expects = false;
                }
                return true;
        }
        if (w->head.code == 101 && !in->websocket) {
                no_response(in, w, "the host changes to a protocol that was not asked for");
                return true;
        }
        reason = inspect_response(in, w, in->back.bytes);
        if (reason != POLICY_ALLOWED) {
                drop_upstream(in);
                in->hidden = in->request;
                in->client_keeps = in->client_keeps && in->request.done;
                refuse(in, w, 502, reason);
                return true;
        }
        in->has_response = true;
        in->back.at = w->head.head_len;
        return true;
}

/* Request and response are over. */
static void finish(struct inspect *in, struct inspect_world *w)
{
        decide(in, w);
        if (!in->upstream_keeps || !in->request.done || in->upstream_eof)
                drop_upstream(in);
        explicit_bzero(in->up.bytes, in->up.len);
        in->up.at = in->up.len = 0;
        in->down.at = in->down.len = 0;
        in->listed_at = in->listed_len = 0;
        if (in->client_keeps && in->request.done)
                in->phase = INSPECT_IDLE;
        else
                say_goodbye(in);
}

/* The request on its way to the host. */
static enum moved send_request(struct inspect *in, struct inspect_world *w)
{
        bool moved = push(&in->upstream, &in->up);
        enum moved body;

        if (in->up.at < in->up.len)
                return moved ? MOVED_SOME : MOVED_NOTHING;
        while (in->listed_at < in->listed_len) {
                size_t cap, n = in->listed_len - in->listed_at;

                if (!tls_room(&in->upstream, &cap))
                        return moved ? MOVED_SOME : MOVED_NOTHING;
                if (cap <= PIECE_ROOM) {
                        tls_flush(&in->upstream);
                        continue;
                }
                n = n < cap - PIECE_ROOM ? n : cap - PIECE_ROOM;
                put_piece(&in->upstream, in->listed + in->listed_at, n,
                          in->request.kind == HTTP1_CHUNKED);
                in->listed_at += n;
                in->decision.up += n;
                moved = true;
                if (in->listed_at == in->listed_len && in->request.done &&
                    in->request.kind == HTTP1_CHUNKED)
                        put_last_chunk(&in->upstream);
        }
        if (in->request.done)
                return moved ? MOVED_SOME : MOVED_NOTHING;
        moved |= pull(&in->client, &in->in);
        body = body_move(&in->request, &in->in, &in->upstream, in->request.kind == HTTP1_CHUNKED,
                         NULL, w, &in->decision.up);
        return body == MOVED_NOTHING && moved ? MOVED_SOME : body;
}

static bool in_chunks(const struct inspect *in)
{
        return !in->http10 && (in->response.kind == HTTP1_CHUNKED ||
                               in->response.kind == HTTP1_UNTIL_CLOSE);
}

/* The response on its way to the client. */
static enum moved send_response(struct inspect *in, struct inspect_world *w)
{
        bool moved = push(&in->client, &in->down);
        enum moved body;

        if (in->down.at < in->down.len)
                return moved ? MOVED_SOME : MOVED_NOTHING;
        if (in->response.done)
                return moved ? MOVED_SOME : MOVED_NOTHING;
        body = body_move(&in->response, &in->back, &in->client, in_chunks(in),
                         in->masked ? &in->mask : NULL, w, &in->decision.down);
        return body == MOVED_NOTHING && moved ? MOVED_SOME : body;
}

/* Nothing more comes from the host. */
static bool upstream_over(const struct inspect *in)
{
        return in->upstream_eof || tls_state(&in->upstream) == TLS_CLOSED ||
               tls_state(&in->upstream) == TLS_CLOSING;
}

/* The host said goodbye in TLS, or in TCP where there is none: what came is whole. */
static bool upstream_well(const struct inspect *in)
{
        return !in->tls || (tls_state(&in->upstream) != TLS_OPEN &&
                            tls_error(&in->upstream) == TLS_FINE);
}

/* The end of a response that has no other: what was held back, and the last chunk. */
static bool put_end(struct inspect *in, struct inspect_world *w)
{
        const size_t want = INJECT_HEADER_MAX + 2 * PIECE_ROOM;
        size_t cap;

        if (!tls_room(&in->client, &cap) || cap < want) {
                tls_flush(&in->client);
                if (!tls_room(&in->client, &cap) || cap < want)
                        return false;
        }
        if (in->masked) /* at most one secret less a byte */
                put_piece(&in->client, w->scratch,
                          mask_end(&in->mask, w->scratch, sizeof(w->scratch)), in_chunks(in));
        if (in_chunks(in))
                put_last_chunk(&in->client);
        return true;
}

static bool exchange(struct inspect *in, struct inspect_world *w)
{
        bool moved;
        enum moved m;

        if (in->tls && !in->kept) {
                tls_client_keep(&in->upstream, in->name, in->verdict.port, w->now_s, w->sessions);
                in->kept = true;
        }
        if (tls_state(&in->client) != TLS_OPEN ||
            (in->client_eof && (in->tls || !in->request.done))) {
                abandon(in, w, in->decision.reason, "the client left");
                return true;
        }
        m = send_request(in, w);
        if (m == MOVED_BROKEN) {
                abandon(in, w, POLICY_DENY_REQUEST, "the request's body is malformed");
                return true;
        }
        moved = m == MOVED_SOME;
        moved |= pull(&in->upstream, &in->back);
        if (!in->has_response) {
                moved |= push(&in->client, &in->down);
                if (in->down.at == in->down.len)
                        in->down.at = in->down.len = 0;
                if (!in->down.len && response_head(in, w))
                        return true;
                if (!moved && upstream_over(in)) {
                        no_response(in, w, NULL);
                        return true;
                }
                return moved;
        }
        m = send_response(in, w);
        if (m == MOVED_BROKEN) {
                abandon(in, w, POLICY_DENY_UPSTREAM, "the response's body is malformed");
                return true;
        }
        moved |= m == MOVED_SOME;
        if (in->response.kind == HTTP1_TUNNEL && in->down.at == in->down.len) {
                in->phase = INSPECT_TUNNEL;
                return true;
        }
        if (!moved && !in->response.done && in->back.at == in->back.len && upstream_over(in)) {
                if (in->response.kind != HTTP1_UNTIL_CLOSE || !upstream_well(in)) {
                        abandon(in, w, POLICY_DENY_UPSTREAM, "the host ended in mid-response");
                        return true;
                }
                if (!put_end(in, w))
                        return false;
                in->response.done = true;
                in->upstream_keeps = false;
        }
        if (in->response.done && in->down.at == in->down.len) {
                finish(in, w);
                return true;
        }
        return moved;
}

static bool tunnel_way(struct tls *from, struct inspect_buffer *b, struct tls *to,
                       struct mask *mask, struct inspect_world *w, uint64_t *count)
{
        struct inspect_body all = { .kind = HTTP1_TUNNEL };
        bool moved = pull(from, b);

        return body_move(&all, b, to, false, mask, w, count) == MOVED_SOME || moved;
}

static bool tunnel(struct inspect *in, struct inspect_world *w)
{
        bool moved = tunnel_way(&in->client, &in->in, &in->upstream, NULL, w, &in->decision.up);

        moved |= tunnel_way(&in->upstream, &in->back, &in->client, in->masked ? &in->mask : NULL,
                            w, &in->decision.down);
        if (moved)
                return true;
        if (upstream_over(in) && in->back.at == in->back.len) {
                decide(in, w);
                say_goodbye(in);
                return true;
        }
        if ((in->client_eof || tls_state(&in->client) != TLS_OPEN) && in->in.at == in->in.len) {
                abandon(in, w, POLICY_ALLOWED, NULL);
                return true;
        }
        return false;
}

static bool refusing(struct inspect *in)
{
        bool moved = push(&in->client, &in->down);

        if (in->down.at < in->down.len) {
                if (tls_state(&in->client) == TLS_OPEN)
                        return moved;
                in->phase = INSPECT_ENDED;
                return true;
        }
        in->down.at = in->down.len = 0;
        if (!in->client_keeps)
                say_goodbye(in);
        else if (in->hidden.done || in->hidden.kind == HTTP1_NONE)
                in->phase = INSPECT_IDLE;
        else
                in->phase = INSPECT_DRAINING;
        return true;
}

static bool draining(struct inspect *in)
{
        bool moved = pull(&in->client, &in->in);

        while (!in->hidden.done && in->in.at < in->in.len) {
                struct http1_text piece;
                size_t used;

                if (!body_next(&in->hidden, in->in.bytes + in->in.at, in->in.len - in->in.at,
                               &used, &piece) ||
                    in->drained > INSPECT_DRAIN_MAX) {
                        say_goodbye(in);
                        return true;
                }
                in->in.at += used;
                in->drained += used;
                moved = true;
        }
        if (in->hidden.done) {
                in->phase = INSPECT_IDLE;
                return true;
        }
        if (!moved && (in->client_eof || tls_state(&in->client) != TLS_OPEN)) {
                in->phase = INSPECT_ENDED;
                return true;
        }
        return moved;
}

static bool goodbye(struct inspect *in)
{
        size_t len;

        if (tls_out(&in->client, &len))
                return false;
        in->phase = INSPECT_ENDED;
        return true;
}

static bool advance(struct inspect *in, struct inspect_world *w)
{
        switch (in->phase) {
        case INSPECT_SHAKING:
                return shaking(in, w);
        case INSPECT_IDLE:
                return idle(in, w);
        case INSPECT_LISTING:
                return listing(in, w);
        case INSPECT_DIALLING:
                if (!in->client_eof || (!in->tls && in->request.done))
                        return false;
                abandon(in, w, in->decision.reason, "the client left");
                return true;
        case INSPECT_GREETING:
                return greeting(in, w);
        case INSPECT_EXCHANGE:
                return exchange(in, w);
        case INSPECT_TUNNEL:
                return tunnel(in, w);
        case INSPECT_REFUSING:
                return refusing(in);
        case INSPECT_DRAINING:
                return draining(in);
        case INSPECT_GOODBYE:
                return goodbye(in);
        case INSPECT_ENDED:
                return false;
        }
        return false;
}

enum inspect_event inspect_run(struct inspect *in, struct inspect_world *w)
{
        for (;;) {
                bool moved;

                if (in->decided) {
                        in->decided = false;
                        return INSPECT_DECIDED;
                }
                if (in->last_words) {
                        in->last_words = false;
                        tls_wipe(&in->upstream);
                }
                if (in->hang_up) {
                        in->hang_up = false;
                        in->last_words = true;
                        return INSPECT_HANG_UP;
                }
                if (in->phase == INSPECT_ENDED)
                        return INSPECT_OVER;
                if (in->phase == INSPECT_DIALLING && !in->dial_asked) {
                        in->dial_asked = true;
                        return INSPECT_DIAL;
                }
                moved = advance(in, w);
                if (!moved && !in->decided && !in->hang_up)
                        break;
        }
        tls_flush(&in->client);
        if (in->has_upstream)
                tls_flush(&in->upstream);
        return INSPECT_WAIT;
}

void inspect_lose(struct inspect *in, struct inspect_world *w)
{
        if (in->phase == INSPECT_ENDED)
                return;
        if (in->phase >= INSPECT_LISTING && in->phase <= INSPECT_TUNNEL)
                abandon(in, w, in->decision.reason, "the client left");
        drop_upstream(in);
        in->phase = INSPECT_ENDED;
}

void inspect_expire(struct inspect *in, struct inspect_world *w)
{
        switch (in->phase) {
        case INSPECT_LISTING:
        case INSPECT_DIALLING:
        case INSPECT_GREETING:
                drop_upstream(in);
                in->client_keeps = false;
                refuse(in, w, 504, POLICY_DENY_LIMIT);
                break;
        case INSPECT_EXCHANGE:
                if (in->has_response) {
                        abandon(in, w, POLICY_DENY_LIMIT, "a deadline passed");
                        break;
                }
                drop_upstream(in);
                in->client_keeps = false;
                refuse(in, w, 504, POLICY_DENY_LIMIT);
                break;
        case INSPECT_IDLE:
        case INSPECT_DRAINING:
                say_goodbye(in);
                break;
        case INSPECT_SHAKING:
        case INSPECT_TUNNEL:
        case INSPECT_REFUSING:
        case INSPECT_GOODBYE:
                drop_upstream(in);
                in->phase = INSPECT_ENDED;
                break;
        case INSPECT_ENDED:
                break;
        }
}
