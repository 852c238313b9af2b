/*
 * agent/http.c - http/request: the call, and what its helper tells of the response.
 */
#include "agent/env_policy.h"
#include "agent/dial.h"
#include "agent/fetch.h"
#include "agent/helper.h"
#include "base/base64.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BODY_MAX (32U << 20) /* of a response that is answered as one */

/* In the helper: where the response goes. */
struct answer {
        struct buf *out;   /* the result, or an error's text */
        struct flow *to; /* NULL: all at once */
        struct buf body;
};

static void put_lower(struct buf *out, const char *name, size_t len)
{
        size_t at = out->len;

        buf_json(out, name, len);
        for (char *c = buf_at(out) + at; c < buf_at(out) + out->len; c++)
                if (*c >= 'A' && *c <= 'Z')
                        *c = (char)(*c + 32);
}

static bool take_head(void *argument, const struct http1 *h)
{
        struct answer *a = argument;

        buf_fmt(a->out, "{\"status\":%u,\"headers\":[", h->code);
        for (size_t i = 0; i < h->count; i++) {
                buf_str(a->out, i ? ",{\"name\":" : "{\"name\":");
                put_lower(a->out, h->headers[i].name.at, h->headers[i].name.len);
                buf_str(a->out, ",\"value\":");
                buf_json(a->out, h->headers[i].value.at, h->headers[i].value.len);
                buf_str(a->out, "}");
        }
        buf_str(a->out, "],\"bodyBase64\":\"");
        if (!a->to)
                return true;
        buf_str(a->out, "\"}");
        return flow_answer(a->to, a->out);
}

static bool take_body(void *argument, const char *bytes, size_t len)
{
        struct answer *a = argument;

        if (a->to)
                return flow_bytes(a->to, bytes, len);
        if (a->body.len + len > BODY_MAX)
                return false;
        buf_put(&a->body, bytes, len);
        return true;
}

static int run(struct fetch *f, struct answer *a)
{
        const struct fetch_sink sink = { take_head, take_body, a };
        struct buf why = { 0 };
        enum fetch_end end = fetch(f, &sink, &why);

        if (end == FETCH_DONE) {
                if (!a->to) {
                        buf_base64(a->out, buf_at(&a->body), a->body.len);
                        buf_str(a->out, "\"}");
                }
                return 0;
        }
        buf_drop(a->out, a->out->len, SIZE_MAX);
        buf_str(a->out, end == FETCH_FAILED ? "http/request failed: "
                                            : "failed to read http/request response body: ");
        buf_put(a->out, buf_at(&why), why.len);
        return RPC_INTERNAL;
}

static int work(void *argument, struct buf *out)
{
        struct answer a = { .out = out };

        return run(argument, &a);
}

static int work_streaming(void *argument, struct buf *out, struct flow *to)
{
        struct answer a = { .out = out, .to = to };

        return run(argument, &a);
}

/* --- the call --------------------------------------------------------------------------------- */

static bool is_token(const char *s, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 127 ||
                    strchr("\"(),/:;<=>?@[\\]{}", s[i]))
                        return false;
        return len > 0;
}

/* What is meant for one server alone; and what comes from our variables is too. */
static bool is_own(const char *name)
{
        static const char names[][20] = { "authorization", "cookie", "proxy-authorization" };

        for (size_t i = 0; i < COUNT(names); i++)
                if (!strcasecmp(name, names[i]))
                        return true;
        return false;
}

static void take_header(struct params *p, struct fetch *r, const struct value *header,
                        char *const *environment)
{
        struct params in = params_of(header);
        struct value name = params_string(&in, "name");
        struct value from = params_optional(&in, "valueEnvVar");
        struct value value = from.type == VALUE_STRING ? from : params_string(&in, "value");
        char *n = take_memory(name.len + 1), *v = take_memory(value.len + 1);
        size_t n_len = value_string(&name, n), v_len = value_string(&value, v);
        const char *text = v;

        if (in.bad)
                params_refuse(p, "%s", in.error);
        if (!is_token(n, n_len))
                params_refuse(p, "http/request header name is invalid");
        if (from.type == VALUE_STRING) {
                text = env_value(environment, v);
                if (!text)
                        params_refuse(p, "http/request header variable %s is not set", v);
                v_len = text ? strlen(text) : 0;
        }
        for (size_t i = 0; i < v_len; i++)
                if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 127)
                        params_refuse(p, "http/request header value is invalid for %s", n);
        if (!p->bad) {
                struct buf *to = from.type == VALUE_STRING || is_own(n) ? &r->own : &r->headers;

                buf_put(to, n, n_len);
                buf_str(to, ": ");
                buf_put(to, text, v_len);
                buf_str(to, "\r\n");
        }
        free(n);
        free(v);
}

static void take_url(struct params *p, struct fetch *r)
{
        struct value method = params_string(p, "method"), url = params_string(p, "url");
        size_t n = 0;
        bool web;

        if (method.len < sizeof(r->method))
                r->method[n = value_string(&method, r->method)] = '\0';
        if (!p->bad && !is_token(r->method, n))
                params_refuse(p, "http/request method is invalid");
        n = url.len < sizeof(r->url) ? value_string(&url, r->url) : 0;
        r->url[n] = '\0';
        if (p->bad)
                return;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)r->url[i] <= ' ' || (unsigned char)r->url[i] >= 127)
                        n = 0;
        web = !strncmp(r->url, "http://", 7) || !strncmp(r->url, "https://", 8);
        /* A host begins behind the slashes, or the URL's NUL stands there. */
        if (!n || !strchr(r->url, ':') || (web && strchr("/?#:@", strchr(r->url, ':')[3])))
                params_refuse(p, "http/request url is invalid");
        else if (!web)
                params_refuse(p, "http/request only supports http and https URLs, got %.*s",
                              (int)strcspn(r->url, ":"), r->url);
}

static void take_request_body(struct params *p, struct fetch *r, const struct value *body)
{
        char *to = buf_room(&r->body, body->len + 1);
        size_t len, at;

        if (!base64_decode_padded(to, value_string(body, to), to, &len, &at))
                params_refuse(p, "http/request bodyBase64 is invalid at offset %zu", at);
        else
                buf_added(&r->body, len);
}

static const char *proxy_of(char *const *env, const char *small, const char *capital)
{
        const char *proxy = env_value(env, small);

        if (!proxy)
                proxy = env_value(env, capital);
        return proxy && proxy[0] ? proxy : NULL;
}

void http_call(struct call *call)
{
        static struct fetch r LARGE_BUFFER;
        struct params *p = call->p;
        char *const *env = call->conn->server->environment;
        struct value headers = value_get(p->v, "headers"), item, body, policy, id;
        struct value_iter i = value_items(&headers);
        bool stream = params_bool_or(p, "streamResponse", false);

        r = (struct fetch){ .timeout_ms = params_u64_or(p, "timeoutMs", 0) };
        id = params_string(p, "requestId");
        take_url(p, &r);
        while (value_next(&i, NULL, &item))
                take_header(p, &r, &item, env);
        body = params_optional(p, "bodyBase64");
        if (!p->bad && body.type == VALUE_STRING)
                take_request_body(p, &r, &body);
        policy = params_optional(p, "redirectPolicy");
        r.follow = !value_is(&policy, "stop");
        r.http_proxy = proxy_of(env, "http_proxy", "HTTP_PROXY");
        r.https_proxy = proxy_of(env, "https_proxy", "HTTPS_PROXY");
        r.dial = dial;
        if (!p->bad && stream && helper_streams(call->conn, &id))
                params_refuse(p, "http/request streamResponse requestId `%.*s` is already active",
                              (int)(id.len < 64 ? id.len : 64), id.at);
        if (!call_refused(call, "http/request")) {
                if (stream)
                        helper_stream(call, &id, work_streaming, &r);
                else
                        helper_start(call, HELPER_ABROAD, work, &r);
        }
        buf_free(&r.headers);
        buf_free(&r.own);
        buf_free(&r.body);
}
