/*
 * tests/fuzz/policy.c - a text that is refused allows nothing, an error lies inside the
 * text; mode off allows nothing; a special address is never let through by a text that
 * names no address; asking twice gives the same answer.
 */
#include "netfilter/policy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint64_t arena[POLICY_ARENA / 8];

static const char *const hosts[] = { "a.org",   "x.a.org",   "b.org",      "github.com",
                                     "8.8.8.8", "10.1.2.3",  "127.0.0.1",  "169.254.169.254",
                                     "fd00::1", "2606::1",   "64:ff9b::a00:1" };
static const uint16_t ports[] = { 443, 80, 22, 8080 };
static const char *const requests[][2] = {
        { "GET", "/" },      { "POST", "/a/git-receive-pack" }, { "POST", "/a/git-upload-pack" },
        { "PUT", "/a/../b" }, { "GET", "/a/info/refs" },
};

static unsigned lines_of(const char *s, size_t len)
{
        unsigned n = 1;

        for (size_t i = 0; i < len; i++)
                n += s[i] == '\n';
        return n;
}

static void ask(const struct policy *p, const char *host, uint16_t port, bool nothing,
                bool no_address)
{
        struct host h;
        struct policy_verdict v, again;
        struct address a;
        char buf[2048];

        if (host_parse(&h, host, strlen(host)))
                abort();
        v = policy_host(p, &h, port);
        again = policy_host(p, &h, port);
        if (v.reason != again.reason || v.rule != again.rule || (nothing && !v.reason))
                abort();
        if (v.raw && v.needs_inspection)
                abort();
        if (no_address && h.literal && address_special(&h.address) && !v.reason)
                abort();
        if (address_parse(&a, "10.0.0.1", 8))
                abort();
        if ((no_address || nothing) && !policy_address(p, &v, &a))
                abort();
        for (size_t i = 0; i < COUNT(requests); i++) {
                const char *path = requests[i][1];
                struct policy_request_verdict r =
                        policy_request(p, &v, requests[i][0], strlen(requests[i][0]), path,
                                       strlen(path), NULL, 0);
                struct wr w = wr_of(buf, sizeof(buf));

                if (v.reason && r.reason != v.reason)
                        abort();
                if (!r.reason && r.rule >= 0 && p->rules[r.rule].git == POLICY_GIT_READ && i == 1)
                        abort();
                policy_explain(&w, p, r.reason, &h, port, requests[i][0], 3, path, strlen(path));
                policy_put_rule(&w, p, r.rule);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        const char *s = (const char *)data;
        struct policy p;
        struct policy_error e = { .line = 0 };
        enum policy_status status = policy_parse(&p, arena, sizeof(arena), s, len, &e);
        bool no_address = !memmem(s, len, "0.", 2) && !memmem(s, len, ":", 1) &&
                          !memmem(s, len, "7.", 2) && !memmem(s, len, "4.", 2) &&
                          !memmem(s, len, "%", 1) && !memmem(s, len, "/", 1);

        if (status && (!e.expected || e.line > lines_of(s, len)))
                abort();
        for (size_t i = 0; i < COUNT(hosts); i++) {
                for (size_t n = 0; n < COUNT(ports); n++)
                        ask(&p, hosts[i], ports[n], status || p.mode == POLICY_OFF,
                            no_address && !status);
        }
        return 0;
}
