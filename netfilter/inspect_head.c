/* netfilter/inspect_head.c - see inspect_head.h. */
#include "netfilter/inspect_head.h"

#include <string.h>

static size_t text_cut(char *to, size_t cap, struct http1_text from)
{
        size_t n = from.len < cap - 1 ? from.len : cap - 1;

        if (n)
                memcpy(to, from.at, n);
        to[n] = '\0';
        return n;
}

static bool reads_only(const struct http1 *h)
{
        static const char *const methods[] = { "GET", "HEAD", "OPTIONS" };

        for (size_t i = 0; i < COUNT(methods); i++)
                if (h->method.len == strlen(methods[i]) &&
                    !memcmp(h->method.at, methods[i], h->method.len))
                        return true;
        return false;
}

const char *inspect_carries(const struct http1 *h)
{
        if (h->overrides_method)
                return "a method override needs a rule that allows POST";
        if (h->websocket)
                return "a WebSocket needs a rule that allows POST";
        if (reads_only(h) && h->body != HTTP1_NONE)
                return "a body here needs a rule that allows POST";
        return NULL;
}

bool inspect_strays(const struct policy *p, const struct policy_request_verdict *v,
                    const struct http1 *h)
{
        const struct policy_rule *rule = v->rule < 0 ? NULL : &p->rules[v->rule];

        return h->overrides_path && rule && (rule->path_count || rule->git);
}

static struct policy_request_verdict ask(const struct inspect *in, const struct inspect_world *w,
                                         const struct http1 *h, const char *method, size_t len)
{
        static const struct http1_text root = { "/", 1 };
        struct http1_text path = h->form == HTTP1_ASTERISK ? root : h->path;

        return policy_request(w->policy, &in->verdict, method, len, path.at, path.len,
                              h->query.at, h->query.len);
}

/* The host of the request is the host of the connection, port included. */
static bool same_host(const struct inspect *in, const struct http1 *h)
{
        const struct host *ours = &in->verdict.host;
        struct host asked;

        if (!h->host.len || host_parse(&asked, h->host.at, h->host.len) != NAME_OK)
                return false;
        if (h->port && h->port != in->verdict.port)
                return false;
        /* Without a port the scheme's is meant, unless we stand on another. */
        if (asked.literal != ours->literal)
                return false;
        return ours->literal ? address_equal(&asked.address, &ours->address)
                             : name_equal(&asked.name, &ours->name);
}

static enum policy_reason judge(struct inspect *in, struct inspect_world *w,
                                struct policy_request_verdict *v)
{
        struct inspect_decision *d = &in->decision;
        const struct http1 *h = &w->head;

        if (h->form != HTTP1_ORIGIN && h->form != HTTP1_ASTERISK) {
                d->why = "the request's target is not a path";
                return POLICY_DENY_REQUEST;
        }
        if (!same_host(in, h)) {
                d->why = "the request is for another host than the connection";
                return POLICY_DENY_SNI;
        }
        *v = ask(in, w, h, h->method.at, h->method.len);
        d->rule = v->rule;
        if (v->reason != POLICY_ALLOWED)
                return v->reason;
        if (inspect_carries(h) && ask(in, w, h, "POST", 4).reason != POLICY_ALLOWED) {
                d->why = inspect_carries(h);
                return POLICY_DENY_METHOD;
        }
        if (inspect_strays(w->policy, v, h)) {
                d->why = "a header names another path";
                return POLICY_DENY_PATH;
        }
        if (v->check_refs && http1_header(h, "content-encoding").at) {
                d->why = "the refs of a compressed push can't be read";
                return POLICY_DENY_GIT;
        }
        return POLICY_ALLOWED;
}

/* --- injection ------------------------------------------------------------------------- */

static const char *const injected_drop[] = { "accept-encoding", "range", "if-range",
                                             "sec-websocket-extensions" };

static bool dropped(struct http1_text name)
{
        for (size_t i = 0; i < COUNT(injected_drop); i++)
                if (http1_text_is(name, injected_drop[i]))
                        return true;
        return false;
}

static void put_header(struct wr *w, struct http1_text name, const char *value, size_t len)
{
        wr_bytes(w, name.at, name.len);
        wr_str(w, ": ");
        wr_bytes(w, value, len);
        wr_str(w, "\r\n");
}

/* The headers of a request with a secret in them. */
static enum inject_status put_injected(struct inspect *in, struct inspect_world *w,
                                       const struct policy_rule *rule, struct wr *out)
{
        const struct http1 *h = &w->head;
        bool any = !strcmp(rule->inject, "*"), there = any;
        char value[INJECT_HEADER_MAX];
        struct wr v;

        if (!inject_mask(w->inject, rule->value, &in->mask))
                return INJECT_LARGE;
        for (size_t i = 0; i < h->count; i++) {
                const struct http1_header *at = &h->headers[i];
                bool here = any || http1_text_is(at->name, rule->inject);

                if (http1_ends_here(h, at->name) || dropped(at->name))
                        continue;
                /* Where it may go, others still may not. */
                if (inject_foreign(w->inject, NULL, at->name.at, at->name.len) ||
                    inject_foreign(w->inject, here ? rule->value : NULL, at->value.at,
                                   at->value.len))
                        return INJECT_FOREIGN;
                if (here && at->value.len < sizeof(value)) {
                        v = wr_of(value, sizeof(value));
                        if (inject_replace(w->inject, rule->value, at->value.at, at->value.len,
                                           &v, &in->mask)) {
                                put_header(out, at->name, v.buf, v.len);
                                explicit_bzero(value, sizeof(value));
                                if (v.full)
                                        return INJECT_LARGE;
                                in->decision.injected = true;
                                there = true;
                                continue;
                        }
                        if (!any)
                                continue; /* ours stands in its place */
                } else if (here && !any) {
                        continue;
                }
                put_header(out, at->name, at->value.at, at->value.len);
        }
        if (!there) {
                enum inject_status s;

                v = wr_of(value, sizeof(value));
                s = inject_render(w->inject, rule->value, false, &v);
                if (s == INJECT_OK)
                        put_header(out, (struct http1_text){ rule->inject, strlen(rule->inject) },
                                   v.buf, v.len);
                explicit_bzero(value, sizeof(value));
                if (s != INJECT_OK)
                        return s;
                in->decision.injected = true;
        }
        return INJECT_OK;
}

bool inspect_foreign(const struct inject *i, const struct http1 *h)
{
        /* The whole head as it came, names and all; then what Basic hides. */
        if (inject_foreign(i, NULL, h->method.at, h->head_len))
                return true;
        for (size_t k = 0; k < h->count; k++)
                if (inject_foreign(i, NULL, h->headers[k].value.at, h->headers[k].value.len))
                        return true;
        return false;
}

/* --- requests --------------------------------------------------------------------------- */

/* The host in its one spelling, whatever the client's was. */
static void put_authority(const struct inspect *in, struct wr *w)
{
        bool v6 = in->verdict.host.literal && in->verdict.host.address.family == 6;

        wr_str(w, v6 ? "[" : "");
        wr_str(w, in->name);
        wr_str(w, v6 ? "]" : "");
        if (in->verdict.port != (in->tls ? 443 : 80))
                wr_fmt(w, ":%u", (unsigned)in->verdict.port);
}

enum policy_reason inspect_request(struct inspect *in, struct inspect_world *w, bool *check_refs)
{
        struct wr out = wr_of(in->up.bytes, sizeof(in->up.bytes));
        char authority[TLS_NAME + 16];
        struct wr a = wr_of(authority, sizeof(authority) - 1);
        struct policy_request_verdict v = { .rule = -1 };
        const struct policy_rule *rule;
        enum policy_reason reason;
        struct http1 *h = &w->head;

        in->decision = (struct inspect_decision){ .rule = -1 };
        text_cut(in->decision.method, sizeof(in->decision.method), h->method);
        text_cut(in->decision.path, sizeof(in->decision.path), h->path);
        in->started_ms = w->now_ms;
        in->client_keeps = h->keep_alive;
        in->http10 = h->minor == 0;
        in->expects = h->expect_continue;
        in->websocket = h->websocket;
        in->is_head = h->method.len == 4 && !memcmp(h->method.at, "HEAD", 4);
        in->safe = reads_only(h) && h->body == HTTP1_NONE && !h->websocket;
        in->request = (struct inspect_body){ .kind = h->body, .left = h->length,
                                             .done = h->body == HTTP1_NONE };
        http1_chunked_init(&in->request.chunked);
        in->hidden = in->request;
        mask_wipe(&in->mask);
        mask_init(&in->mask);
        in->masked = false;
        in->up.at = in->up.len = 0;

        reason = judge(in, w, &v);
        *check_refs = v.check_refs;
        if (reason != POLICY_ALLOWED)
                return reason;
        rule = v.rule < 0 ? NULL : &w->policy->rules[v.rule];
        if (*check_refs)
                h->expect_continue = false; /* we need the body first, and say so ourselves */
        put_authority(in, &a);
        http1_put_request_line(&out, h, false, wr_cstr(&a));
        if (rule && rule->inject) {
                enum inject_status s = INJECT_FOREIGN;

                if (!in->tls) {
                        in->decision.why = "secrets are put into verified TLS only";
                        return POLICY_DENY_INJECT;
                }
                if (!inject_foreign(w->inject, NULL, h->target.at, h->target.len))
                        s = put_injected(in, w, rule, &out);
                if (s != INJECT_OK) {
                        in->decision.why = inject_status_str(s);
                        explicit_bzero(out.buf, out.len);
                        return POLICY_DENY_INJECT;
                }
                in->masked = in->decision.injected;
        } else {
                if (inspect_foreign(w->inject, h)) {
                        in->decision.why = inject_status_str(INJECT_FOREIGN);
                        return POLICY_DENY_INJECT;
                }
                http1_put_headers(&out, h, NULL);
        }
        http1_put_end(&out, h, false);
        if (out.full) {
                in->decision.why = "the head is too large";
                return POLICY_DENY_REQUEST;
        }
        in->up.len = out.len;
        return POLICY_ALLOWED;
}

/* --- responses -------------------------------------------------------------------------- */

enum policy_reason inspect_response(struct inspect *in, struct inspect_world *w, char *head)
{
        /* HTTP/3 would go around us, and can't anyway. */
        static const char *const drop[] = { "alt-svc", NULL };
        struct wr out = wr_of(in->down.bytes, sizeof(in->down.bytes));
        struct http1 *h = &w->head;
        struct http1_text coding = http1_header(h, "content-encoding");

        if (in->masked && coding.at && !http1_text_is(coding, "identity")) {
                in->decision.why = "a compressed response, in which the secret can't be masked";
                return POLICY_DENY_INJECT;
        }
        if (in->masked)
                mask_whole(&in->mask, head, h->head_len);
        in->upstream_keeps = h->keep_alive;
        in->response = (struct inspect_body){ .kind = h->body, .left = h->length,
                                              .done = h->body == HTTP1_NONE };
        http1_chunked_init(&in->response.chunked);
        /* In chunks, so that a response that was cut off can't look whole to the client. */
        if (h->body == HTTP1_CHUNKED || h->body == HTTP1_UNTIL_CLOSE)
                h->body = in->http10 ? HTTP1_UNTIL_CLOSE : HTTP1_CHUNKED;
        if (h->body == HTTP1_UNTIL_CLOSE)
                in->client_keeps = false;
        http1_put_status_line(&out, h);
        http1_put_headers(&out, h, drop);
        http1_put_end(&out, h, !in->client_keeps);
        if (out.full) {
                in->decision.why = "the response's head is too large";
                return POLICY_DENY_UPSTREAM;
        }
        in->down.at = 0;
        in->down.len = out.len;
        in->decision.code = h->code;
        return POLICY_ALLOWED;
}

void inspect_put_refusal(struct inspect *in, struct inspect_world *w, unsigned code,
                         enum policy_reason reason, bool close)
{
        struct wr out = wr_of(in->down.bytes, sizeof(in->down.bytes));
        struct wr text = wr_of(w->scratch, sizeof(w->scratch));
        struct inspect_decision *d = &in->decision;

        d->reason = reason;
        d->code = code;
        wr_str(&text, "airlock: ");
        if (d->why) {
                wr_str(&text, d->why);
                wr_str(&text, ". ");
        }
        policy_explain(&text, w->policy, reason, &in->verdict.host, in->verdict.port,
                       *d->method ? d->method : NULL, strlen(d->method),
                       *d->path ? d->path : NULL, strlen(d->path));
        wr_char(&text, '\n');
        wr_fmt(&out, "HTTP/1.1 %u %s\r\nx-airlock-denied: %s\r\n", code,
               code == 400   ? "Bad Request"
               : code == 403 ? "Forbidden"
               : code == 504 ? "Gateway Timeout"
                             : "Bad Gateway",
               policy_reason_str(reason));
        wr_fmt(&out, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n",
               text.len);
        wr_fmt(&out, "Cache-Control: no-store\r\n%s\r\n", close ? "Connection: close\r\n" : "");
        if (!in->is_head)
                wr_bytes(&out, text.buf, text.len);
        in->down.at = 0;
        in->down.len = out.len;
}
