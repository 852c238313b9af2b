/*
 * tests/fuzz/inspect.c - an inspected connection between two hostile peers.
 *
 * The input is a script: a byte says who speaks (bit 0: the host) and how many bytes
 * (the other seven, 0 means that it ends), which follow. Without TLS: the machine is the same.
 *
 * Invariant: what reached the host is a sequence of requests, each of which is well-framed to
 * a strict reader, names our host and is allowed by the policy, with a body as long as
 * its head says; whatever came after a WebSocket's head belongs to that. No placeholder of
 * a secret is among them. And the machine always comes to rest.
 */
#include "netfilter/inspect.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char rules[] = "mode limited\n"
                            "rule host=a.example methods=GET,HEAD paths=/get/*,/ws\n"
                            "rule host=a.example methods=POST paths=/post/*,/ws\n"
                            "rule host=a.example paths=/git/* git=push branch=task/*\n";

static char arena[POLICY_ARENA] __attribute__((aligned(16)));
static struct policy policy;
static struct inject inject;
static struct inspect_world world;
static struct policy_verdict verdict;
static struct inspect in;
static uint8_t sent[1 << 20];
static size_t sent_len;

static void prepare(void)
{
        static const uint8_t key[32] = { 1 };
        static const char secrets[] = "TOKEN=0123456789abcdef";
        static const char aliases[] = "TOKEN=a-stale-placeholder";
        struct policy_error e;
        struct host host;

        if (policy.tables)
                return;
        if (policy_parse(&policy, arena, sizeof(arena), rules, sizeof(rules) - 1, &e) !=
                    POLICY_OK ||
            host_parse(&host, "a.example", 9) != NAME_OK)
                abort();
        verdict = policy_host(&policy, &host, 80);
        inject_init(&inject, key);
        if (verdict.reason != POLICY_ALLOWED || inject_load(&inject, secrets, sizeof(secrets)) ||
            inject_load_aliases(&inject, aliases, sizeof(aliases)))
                abort();
        world.policy = &policy;
        world.inject = &inject;
}

static void check_request(const struct http1 *h)
{
        struct policy_request_verdict v =
                policy_request(&policy, &verdict, h->method.at, h->method.len, h->path.at,
                               h->path.len, h->query.at, h->query.len);

        if (v.reason != POLICY_ALLOWED || h->form == HTTP1_ABSOLUTE ||
            h->form == HTTP1_AUTHORITY || h->host.len != 9 || memcmp(h->host.at, "a.example", 9) ||
            (h->port && h->port != 80))
                abort();
        if (memmem(h->method.at, h->head_len, inject.secrets[0].placeholder,
                   inject.secrets[0].len) ||
            memmem(h->method.at, h->head_len, inject.secrets[0].alias,
                   inject.secrets[0].alias_len))
                abort();
}

/* What one connection to the host carried. */
static void check_sent(void)
{
        static struct http1 h;
        size_t at = 0;

        while (at < sent_len) {
                const char *text = (const char *)sent + at;
                size_t scanned = 0, left = sent_len - at;
                enum http1_status s = http1_parse_request(&h, text, left, &scanned);

                if (s == HTTP1_MORE)
                        break; /* the rest of the head was still to go */
                if (s != HTTP1_OK)
                        abort();
                check_request(&h);
                if (h.websocket)
                        break;
                at += h.head_len;
                left -= h.head_len;
                if (h.body == HTTP1_LENGTH) {
                        at += h.length < left ? (size_t)h.length : left;
                } else if (h.body == HTTP1_CHUNKED) {
                        struct http1_chunked c;
                        struct http1_text piece;

                        http1_chunked_init(&c);
                        for (s = HTTP1_OK; s == HTTP1_OK && at <= sent_len;) {
                                size_t used = 0;

                                s = http1_chunk_next(&c, (const char *)sent + at, sent_len - at,
                                                     &used, &piece);
                                at += used;
                        }
                        if (s != HTTP1_DONE && s != HTTP1_MORE)
                                abort();
                } else if (h.body != HTTP1_NONE) {
                        abort();
                }
        }
        sent_len = 0;
}

static void collect(void)
{
        const uint8_t *out;
        size_t len;

        while (inspect_has_upstream(&in) && (out = tls_out(&in.upstream, &len)) != NULL) {
                if (len > sizeof(sent) - sent_len)
                        abort(); /* more than everything that came in */
                memcpy(sent + sent_len, out, len);
                sent_len += len;
                tls_out_sent(&in.upstream, len);
        }
        while ((out = tls_out(&in.client, &len)) != NULL)
                tls_out_sent(&in.client, len);
}

/* Runs to a rest. False: the connection is over. */
static bool go(void)
{
        for (int i = 0; i < 10000; i++) {
                enum inspect_event e = inspect_run(&in, &world);
                size_t len;

                collect();
                if (e == INSPECT_HANG_UP)
                        check_sent();
                if (e == INSPECT_DIAL)
                        inspect_dialled(&in, &world);
                else if (e == INSPECT_OVER)
                        return false;
                else if (e == INSPECT_WAIT && inspect_run(&in, &world) == INSPECT_WAIT &&
                         !tls_out(&in.client, &len) &&
                         !(inspect_has_upstream(&in) && tls_out(&in.upstream, &len)))
                        return true;
        }
        abort(); /* it never came to rest */
}

static bool feed(struct tls *t, const uint8_t *bytes, size_t len)
{
        while (len) {
                size_t room;
                uint8_t *to = tls_in(t, &room);

                if (!to || !room)
                        return go(); /* backpressure: the rest is lost, as if never sent */
                room = room < len ? room : len;
                memcpy(to, bytes, room);
                tls_in_got(t, room);
                bytes += room;
                len -= room;
        }
        return go();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        bool alive = true;

        prepare();
        if (size > sizeof(sent) / 2 || !inspect_init(&in, &world, &verdict, INSPECT_CLEAR))
                return 0;
        sent_len = 0;
        while (alive && size) {
                bool host = data[0] & 1;
                size_t len = data[0] >> 1;

                data++;
                size--;
                len = len < size ? len : size;
                if (host && !inspect_has_upstream(&in)) {
                        data += len;
                        size -= len;
                        continue;
                }
                if (len)
                        alive = feed(host ? &in.upstream : &in.client, data, len);
                else if (host)
                        inspect_upstream_ended(&in);
                else
                        inspect_client_ended(&in);
                if (!len)
                        alive = go();
                data += len;
                size -= len;
        }
        collect();
        check_sent();
        inspect_wipe(&in);
        return 0;
}
