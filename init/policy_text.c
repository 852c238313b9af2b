/* init/policy_text.c - one line for each thing the spec says; see the header. */
#include "init/policy_text.h"

#include "init/spec_check.h"

#include <string.h>

/* A value: every byte that the grammar does not take as it is becomes %XX, ',' too. */
static void put_value(struct wr *w, const char *s, size_t len)
{
        wr_percent(w, s, len, "-._~/*?:@[]");
}

/* "KEYVALUE", where KEY brings its space or equals sign; nothing for NULL. */
static void put_pair(struct wr *w, const char *key, const char *value)
{
        if (!value)
                return;
        wr_str(w, key);
        put_value(w, value, strlen(value));
}

static void put_list(struct wr *w, const char *key, const struct spec_list *list)
{
        for (size_t i = 0; i < list->count; i++)
                put_pair(w, i ? "," : key, list->items[i]);
}

/* A line for each item. */
static void put_lines(struct wr *w, const char *key, const struct spec_list *list)
{
        for (size_t i = 0; i < list->count; i++) {
                put_pair(w, key, list->items[i]);
                wr_char(w, '\n');
        }
}

static void put_rule(struct wr *w, const struct spec_rule *rule)
{
        put_pair(w, "rule host=", rule->host);
        for (size_t i = 0; i < rule->port_count; i++) {
                wr_str(w, i ? "," : " ports=");
                wr_u64(w, rule->ports[i]);
        }
        put_list(w, " methods=", &rule->methods);
        put_list(w, " paths=", &rule->paths);
        if (rule->git != GIT_UNSET)
                wr_str(w, rule->git == GIT_PUSH ? " git=push" : " git=read");
        put_pair(w, " branch=", rule->git_branch);
        put_pair(w, " inject=", rule->inject_header);
        put_pair(w, " value=", rule->inject_value);
        put_pair(w, " name=", rule->name);
        if (rule->raw)
                wr_str(w, " raw=1");
        wr_char(w, '\n');
}

/* Digits up to @end; 0: none, or no port. */
static unsigned port_of(const char *s, const char *end)
{
        unsigned n = 0;

        while (s < end && *s >= '0' && *s <= '9' && n < 65536)
                n = n * 10 + (unsigned)(*s++ - '0');
        return s == end && n < 65536 ? n : 0;
}

static unsigned scheme_port(const char *url, size_t len)
{
        static const struct {
                const char *scheme;
                unsigned port;
        } schemes[] = { { "https", 443 }, { "http", 80 }, { "ssh", 22 }, { "git", 9418 } };

        for (size_t i = 0; i < COUNT(schemes); i++) {
                if (len == strlen(schemes[i].scheme) && !memcmp(url, schemes[i].scheme, len))
                        return schemes[i].port;
        }
        return 0;
}

bool policy_text_repo(const char *url, const char **host, size_t *host_len, unsigned *port)
{
        const char *slashes = text_find(url, "://");
        const char *start = slashes ? slashes + 3 : url;
        const char *end = start + strcspn(start, slashes ? "/?#" : ":");
        const char *at = memrchr(start, '@', (size_t)(end - start));
        const char *colon;

        *port = slashes ? scheme_port(url, (size_t)(slashes - url)) : 22;
        if (!*port || (!slashes && (*end != ':' || memchr(start, '/', (size_t)(end - start)))))
                return false;
        if (at)
                start = at + 1;
        if (slashes && *start == '[') {
                const char *bracket = memchr(start, ']', (size_t)(end - start));

                if (!bracket)
                        return false;
                *host = start + 1;
                *host_len = (size_t)(bracket - start) - 1;
                colon = bracket + 1 < end ? bracket + 1 : NULL;
        } else {
                colon = slashes ? memchr(start, ':', (size_t)(end - start)) : NULL;
                *host = start;
                *host_len = (size_t)((colon ? colon : end) - start);
        }
        if (colon && *colon != ':')
                return false;
        if (colon && colon + 1 < end)
                *port = port_of(colon + 1, end);
        return *host_len && *port;
}

/*
 * The allow lets 443 and 80 through where no rule of the operator's takes them; another
 * port needs a rule. Under a method limit only a rule lets git's POST pass.
 */
static void put_repo(struct wr *w, const char *url, bool methods)
{
        const char *host;
        size_t len;
        unsigned port;

        if (!url || !policy_text_repo(url, &host, &len, &port))
                return;
        wr_str(w, "allow ");
        put_value(w, host, len);
        wr_char(w, '\n');
        if (port == 443 || port == 80) {
                if (!methods)
                        return;
                wr_str(w, "rule host=");
                put_value(w, host, len);
                wr_str(w, " git=read\n");
                return;
        }
        wr_str(w, "rule host=");
        put_value(w, host, len);
        wr_fmt(w, " ports=%u\n", port);
}

/* The built-in loop has a way of its own to the model; any other agent goes by the rules. */
static bool is_for(const struct spec *s, const struct spec_rule *r, enum policy_text_for phase,
                   bool alone)
{
        switch (r->way) {
        case WAY_TASK:
                return !alone;
        case WAY_MODEL:
                return phase == (s->agent.builtin ? POLICY_TEXT_MODEL : POLICY_TEXT_AGENT);
        case WAY_PUSH:
                return phase == POLICY_TEXT_PUSH;
        case WAY_FORGE:
                return phase == POLICY_TEXT_FORGE;
        }
        return false;
}

void policy_text_put(struct wr *w, const struct spec *spec, enum policy_text_for phase)
{
        static const char presets[][20] = {
                [PRESET_NONE] = "none",
                [PRESET_COMMON] = "common-dependencies",
                [PRESET_ALL] = "all",
        };
        enum spec_net net = phase == POLICY_TEXT_AGENT   ? spec->network.agent
                            : phase >= POLICY_TEXT_MODEL ? NET_LIMITED
                                                         : spec->network.setup;
        /* Nothing but one way. */
        bool alone = phase >= POLICY_TEXT_MODEL ||
                     (phase == POLICY_TEXT_AGENT && spec->network.model_only);
        bool checkout_alone = phase == POLICY_TEXT_PROVISION && net == NET_OFF;
        bool methods = spec->network.methods.count && !checkout_alone && !alone &&
                       (phase == POLICY_TEXT_AGENT || net == NET_LIMITED);

        wr_fmt(w, "mode %s\n", spec_net_name(checkout_alone ? NET_LIMITED : net));
        if (!checkout_alone && !alone) {
                wr_fmt(w, "preset %s\n", presets[spec->network.preset]);
                put_lines(w, "allow ", &spec->network.allow);
        }
        if (methods) {
                put_list(w, "methods ", &spec->network.methods);
                wr_char(w, '\n');
        }
        put_lines(w, "deny ", &spec->network.deny);
        for (size_t i = 0; i < spec->network.rule_count; i++)
                if (is_for(spec, &spec->network.rules[i], phase, alone))
                        put_rule(w, &spec->network.rules[i]);
        if (phase < POLICY_TEXT_AGENT)
                put_repo(w, spec->repo.url, methods);
        if (spec->network.upstream_proxy) {
                put_pair(w, "upstream ", spec->network.upstream_proxy);
                wr_char(w, '\n');
        }
        if (spec->network.upstream_auth) { /* "${NAME}" */
                wr_str(w, "upstream-auth ");
                put_value(w, spec->network.upstream_auth + 2,
                          strlen(spec->network.upstream_auth) - 3);
                wr_char(w, '\n');
        }
}
