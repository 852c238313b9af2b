/* netfilter/policy.c - the questions; policy_parse.c fills the tables they look into. */
#include "netfilter/policy.h"

#include "base/digits.h"
#include "netfilter/git.h"
#include "netfilter/glob.h"
#include "netfilter/policy_tables.h"

#include <string.h>

static const char *const reasons[POLICY_REASONS] = {
        [POLICY_ALLOWED] = "allowed",
        [POLICY_DENY_OFF] = "off",
        [POLICY_DENY_NOT_ALLOWED] = "not-allowed",
        [POLICY_DENY_DENIED] = "denied",
        [POLICY_DENY_PORT] = "port",
        [POLICY_DENY_METHOD] = "method",
        [POLICY_DENY_PATH] = "path",
        [POLICY_DENY_GIT] = "git",
        [POLICY_DENY_ADDRESS] = "address",
        [POLICY_DENY_LITERAL] = "literal",
        [POLICY_DENY_NAME] = "name",
        [POLICY_DENY_SNI] = "sni",
        [POLICY_DENY_NO_SNI] = "no-sni",
        [POLICY_DENY_ECH] = "ech",
        [POLICY_DENY_NOT_TLS] = "not-tls",
        [POLICY_DENY_REQUEST] = "request",
        [POLICY_DENY_INJECT] = "inject",
        [POLICY_DENY_RESOLVE] = "resolve",
        [POLICY_DENY_UPSTREAM] = "upstream",
        [POLICY_DENY_TLS_UPSTREAM] = "tls-upstream",
        [POLICY_DENY_LIMIT] = "limit",
};

const char *policy_reason_str(enum policy_reason r)
{
        return (unsigned)r < POLICY_REASONS ? reasons[r] : "?";
}

void policy_init(struct policy *p)
{
        *p = (struct policy){ .mode = POLICY_OFF, .methods = "" };
}

/* --- what the text says about a host -------------------------------------------------- */

/* The patterns that decide: up to two chains of rules, and perhaps an allow. */
struct level {
        int32_t chain[2]; /* first rule of each, -1: none */
        bool allow;
        bool found; /* some pattern names the host */
        bool denied;
};

static void look_at_pattern(struct level *l, const struct policy_pattern *e, bool self)
{
        int32_t subs = self ? -1 : e->subs;
        bool allow = e->flags & (self ? PATTERN_ALLOW_SELF : PATTERN_ALLOW_SUBS);

        if (e->flags & (self ? PATTERN_DENY_SELF : PATTERN_DENY_SUBS))
                l->denied = true;
        if (!allow && subs < 0 && e->self < 0)
                return; /* a deny pattern alone */
        l->chain[0] = subs;
        l->chain[1] = e->self;
        l->allow = allow;
        l->found = true;
}

/* Suffix by suffix, the shortest first: the last that was found decides. */
static struct level level_of_name(const struct policy_tables *t, const struct name *n)
{
        struct level l = { .chain = { -1, -1 } };
        uint32_t hash = PATTERN_HASH;

        for (size_t i = n->len; i-- > 0;) {
                hash = pattern_hash(hash, n->text[i]);
                if (!i || n->text[i - 1] == '.') {
                        const struct policy_pattern *e =
                                pattern_find(t, n->text + i, n->len - i, hash);

                        if (e)
                                look_at_pattern(&l, e, i == 0);
                }
        }
        return l;
}

static bool is_denied(const struct policy_tables *t, const struct address *a)
{
        struct address inside;

        for (size_t i = 0; i < t->cidr_count; i++) {
                if (!(t->cidrs[i].flags & PATTERN_DENY_SELF))
                        continue;
                if (cidr_holds(&t->cidrs[i].range, a) ||
                    (address_embedded(a, &inside) && cidr_holds(&t->cidrs[i].range, &inside)))
                        return true;
        }
        return false;
}

static struct level level_of_address(const struct policy_tables *t, const struct address *a)
{
        struct level l = { .chain = { -1, -1 }, .denied = is_denied(t, a) };
        unsigned longest = 0;

        for (size_t i = 0; i < t->cidr_count; i++) {
                const struct policy_cidr *e = &t->cidrs[i];
                bool allow = e->flags & PATTERN_ALLOW_SELF;

                if ((!allow && e->self < 0) || (l.found && e->range.bits <= longest) ||
                    !cidr_holds(&e->range, a))
                        continue;
                longest = e->range.bits;
                l.chain[1] = e->self;
                l.allow = allow;
                l.found = true;
        }
        return l;
}

static struct level level_of(const struct policy *p, const struct host *h)
{
        return h->literal ? level_of_address(p->tables, &h->address)
                          : level_of_name(p->tables, &h->name);
}

/* --- which rules take the port ---------------------------------------------------------- */

static bool is_web_port(uint16_t port)
{
        return port == 443 || port == 80;
}

static bool takes_port(const struct policy_rule *rule, uint16_t port)
{
        if (!rule->port_count)
                return is_web_port(port);
        for (size_t i = 0; i < rule->port_count; i++) {
                if (rule->ports[i] == port)
                        return true;
        }
        return false;
}

/* The rules of a level that take a port, one after the other. */
struct walk {
        const struct policy *p;
        const struct level *level;
        uint16_t port;
        unsigned chain;
        int32_t next;
};

static struct walk walk_of(const struct policy *p, const struct level *l, uint16_t port)
{
        return (struct walk){ p, l, port, 0, l->chain[0] };
}

/* The next rule's index; -1: no more. */
static int32_t walk_next(struct walk *w)
{
        for (;;) {
                int32_t rule = w->next;

                if (rule >= 0) {
                        w->next = w->p->rules[rule].next;
                        if (takes_port(&w->p->rules[rule], w->port))
                                return rule;
                } else if (w->chain) {
                        return -1;
                } else {
                        w->chain = 1;
                        w->next = w->level->chain[1];
                }
        }
}

/* The method list that a rule goes by; "": any. */
static const char *methods_of(const struct policy *p, const struct policy_rule *rule,
                              uint16_t port)
{
        if (rule && *rule->methods)
                return rule->methods;
        if (*p->methods && is_web_port(port))
                return p->methods;
        return rule && rule->git ? "GET,HEAD,OPTIONS" : "";
}

static bool looks_inside(const struct policy *p, const struct policy_rule *rule, uint16_t port)
{
        if (rule->raw)
                return false;
        return rule->path_count || rule->git || rule->inject || *methods_of(p, rule, port);
}

/* --- may this host be reached? ------------------------------------------------------------ */

static void let_rules_decide(struct policy_verdict *v, const struct policy *p,
                             const struct level *l, int32_t first)
{
        struct walk w = walk_of(p, l, v->port);

        v->reason = POLICY_ALLOWED;
        v->named = true;
        v->rule = first;
        /* A rule that lets everything through hides those behind it. */
        for (int32_t i = walk_next(&w); i >= 0; i = walk_next(&w)) {
                if (!looks_inside(p, &p->rules[i], v->port))
                        break;
                v->needs_inspection = true;
                v->injects |= p->rules[i].inject != NULL;
        }
        v->raw = p->rules[first].raw || (!v->needs_inspection && !is_web_port(v->port));
}

static void let_mode_decide(struct policy_verdict *v, const struct policy *p,
                            const struct level *l)
{
        bool web = is_web_port(v->port);

        if (l->allow && web) {
                v->named = true;
        } else if (p->mode != POLICY_FULL &&
                   (p->preset != POLICY_PRESET_ALL || !web || v->host.literal)) {
                v->reason = l->found          ? POLICY_DENY_PORT
                            : v->host.literal ? POLICY_DENY_LITERAL
                                              : POLICY_DENY_NOT_ALLOWED;
                return;
        }
        v->reason = POLICY_ALLOWED;
        v->needs_inspection = web && *p->methods;
        v->raw = !web;
}

struct policy_verdict policy_host(const struct policy *p, const struct host *h, uint16_t port)
{
        struct policy_verdict v = { .reason = POLICY_DENY_OFF,
                                    .port = port,
                                    .rule = -1,
                                    .host = *h };
        struct level l;
        struct walk w;
        int32_t first;

        if (!p->tables || p->mode == POLICY_OFF)
                return v;
        l = level_of(p, h);
        if (l.denied || !port) {
                v.reason = l.denied ? POLICY_DENY_DENIED : POLICY_DENY_PORT;
                return v;
        }
        w = walk_of(p, &l, port);
        first = walk_next(&w);
        if (first >= 0)
                let_rules_decide(&v, p, &l, first);
        else
                let_mode_decide(&v, p, &l);
        if (!v.reason && h->literal)
                v.reason = policy_address(p, &v, &h->address);
        return v;
}

enum policy_reason policy_name(const struct policy *p, const struct name *n)
{
        struct level l;

        if (!p->tables || p->mode == POLICY_OFF)
                return POLICY_DENY_OFF;
        l = level_of_name(p->tables, n);
        if (l.denied)
                return POLICY_DENY_DENIED;
        if (l.found || p->mode == POLICY_FULL || p->preset == POLICY_PRESET_ALL)
                return POLICY_ALLOWED;
        return POLICY_DENY_NOT_ALLOWED;
}

/* --- may this address be dialled? ------------------------------------------------------------ */

/* Does a pattern that takes the port name this special address? */
static bool is_opened(const struct policy *p, const struct address *a, uint16_t port)
{
        const struct policy_tables *t = p->tables;

        for (size_t i = 0; i < t->cidr_count; i++) {
                struct level l = { .chain = { -1, t->cidrs[i].self } };
                struct walk w = walk_of(p, &l, port);

                if (!cidr_opens(&t->cidrs[i].range, a))
                        continue;
                if ((t->cidrs[i].flags & PATTERN_ALLOW_SELF) &&
                    (is_web_port(port) || p->mode == POLICY_FULL))
                        return true;
                if (walk_next(&w) >= 0)
                        return true;
        }
        return false;
}

enum policy_reason policy_address(const struct policy *p, const struct policy_verdict *v,
                                  const struct address *a)
{
        if (!p->tables || p->mode == POLICY_OFF)
                return POLICY_DENY_OFF;
        if (is_denied(p->tables, a))
                return POLICY_DENY_DENIED;
        enum address_kind kind = address_special(a);

        /* Documentation's (RFC 5737) are nobody's; in a laboratory a name may lead there. */
        if (kind == ADDRESS_PUBLIC || (kind == ADDRESS_DOCUMENTATION && !v->host.literal) ||
            is_opened(p, a, v->port))
                return POLICY_ALLOWED;
        return POLICY_DENY_ADDRESS;
}

/* --- paths --------------------------------------------------------------------------------- */

bool policy_unescape(const char *s, size_t len, unsigned *byte)
{
        if (len < 3 || s[0] != '%' || hex_value(s[1]) < 0 || hex_value(s[2]) < 0)
                return false;
        *byte = (unsigned)(hex_value(s[1]) << 4 | hex_value(s[2]));
        return true;
}

bool policy_is_unreserved(unsigned c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '-' || c == '.' || c == '_' || c == '~';
}

void policy_put_escape(struct wr *w, unsigned byte)
{
        wr_char(w, '%');
        wr_char(w, "0123456789ABCDEF"[byte >> 4]);
        wr_char(w, "0123456789ABCDEF"[byte & 15]);
}

/* Bytes whose escape one server undoes and another does not, with another path as the result. */
static bool is_ambiguous(unsigned c)
{
        return c < ' ' || c == 0x7f || c == '/' || c == '\\' || c == 0xc0 || c == 0xc1;
}

/* One character of a path at @s into its normal form; how many bytes it took, 0: refused. */
static size_t put_path_byte(struct wr *w, const char *s, size_t len)
{
        unsigned c = (unsigned char)s[0];

        if (c == '%') {
                if (!policy_unescape(s, len, &c) || is_ambiguous(c))
                        return 0;
                if (policy_is_unreserved(c))
                        wr_char(w, (char)c);
                else
                        policy_put_escape(w, c);
                return 3;
        }
        if (c <= ' ' || c == 0x7f || c == '\\' || c == '?' || c == '#' || c == 0xc0 || c == 0xc1)
                return 0;
        if (c >= 0x80)
                policy_put_escape(w, c);
        else
                wr_char(w, (char)c);
        return 1;
}

/* "." and "..", alone or before parameters, which some servers cut off first. */
static bool is_dots(const char *segment, size_t len)
{
        size_t n = 0;

        while (n < len && segment[n] != ';' && (len - n < 3 || memcmp(segment + n, "%3B", 3) != 0))
                n++;
        return (n == 1 && segment[0] == '.') || (n == 2 && segment[0] == '.' && segment[1] == '.');
}

/* "%252e" in a normal path: a server that decodes twice sees a dot. */
static bool is_escaped_twice(const char *path, size_t len)
{
        for (size_t i = 0; i + 5 <= len; i++) {
                unsigned c;

                if (memcmp(path + i, "%25", 3) != 0 || hex_value(path[i + 3]) < 0 ||
                    hex_value(path[i + 4]) < 0)
                        continue;
                c = (unsigned)(hex_value(path[i + 3]) << 4 | hex_value(path[i + 4]));
                if (is_ambiguous(c) || c == '.' || c == '%')
                        return true;
        }
        return false;
}

bool policy_path(char out[static POLICY_PATH_MAX], size_t *out_len, const char *path,
                 size_t len)
{
        struct wr w = wr_of(out, POLICY_PATH_MAX - 1);
        size_t start = 1; /* of this segment, in the output */
        size_t n;

        if (!len || path[0] != '/')
                return false;
        for (size_t at = 0; at < len; at += n) {
                if (at && path[at] == '/') {
                        if (w.len == start || is_dots(out + start, w.len - start))
                                return false;
                        start = w.len + 1;
                }
                n = put_path_byte(&w, path + at, len - at);
                if (!n || w.full)
                        return false;
        }
        if (is_dots(out + start, w.len - start) || is_escaped_twice(out, w.len))
                return false;
        out[w.len] = '\0';
        *out_len = w.len;
        return true;
}

/* --- may this request be sent? ------------------------------------------------------------ */

struct request {
        const char *method;
        size_t method_len;
        const char *path; /* normal form; NULL: it has none */
        enum git_service git;
        bool is_push;
};

static bool is_listed(const char *list, const char *method, size_t len)
{
        while (*list) {
                size_t n = strcspn(list, ",");

                if (n == len && !memcmp(list, method, n))
                        return true;
                list += n + (list[n] == ',');
        }
        return false;
}

static bool path_matches(const struct policy_rule *rule, const char *path)
{
        const char *glob = rule->paths;

        for (size_t i = 0; i < rule->path_count; i++) {
                if (glob_matches(glob, path))
                        return true;
                glob += strlen(glob) + 1;
        }
        return !rule->path_count;
}

static enum policy_reason ask_rule(const struct policy *p, const struct policy_rule *rule,
                                   uint16_t port, const struct request *r)
{
        const char *methods = methods_of(p, rule, port);

        if (rule && !r->path && (rule->path_count || rule->git))
                return POLICY_DENY_PATH;
        if (rule && r->path && !path_matches(rule, r->path))
                return POLICY_DENY_PATH;
        if (rule && rule->git && r->git != GIT_NONE) {
                if (r->git == GIT_READ || (r->git == GIT_WRITE && rule->git == POLICY_GIT_PUSH))
                        return POLICY_ALLOWED;
                return POLICY_DENY_GIT;
        }
        return !*methods || is_listed(methods, r->method, r->method_len) ? POLICY_ALLOWED
                                                                         : POLICY_DENY_METHOD;
}

struct policy_request_verdict policy_request(const struct policy *p,
                                             const struct policy_verdict *v,
                                             const char *method, size_t method_len,
                                             const char *path, size_t path_len,
                                             const char *query, size_t query_len)
{
        struct policy_request_verdict out = { .reason = v->reason, .rule = -1 };
        struct request r = { .method = method, .method_len = method_len };
        char normal[POLICY_PATH_MAX];
        size_t normal_len;
        struct level l;
        struct walk w;

        if (!p->tables || p->mode == POLICY_OFF)
                out.reason = POLICY_DENY_OFF;
        if (out.reason)
                return out;
        if (v->rule < 0) {
                out.reason = ask_rule(p, NULL, v->port, &r);
                out.methods_limited = *methods_of(p, NULL, v->port);
                return out;
        }
        if (policy_path(normal, &normal_len, path, path_len)) {
                r.path = normal;
                r.git = git_classify(method, method_len, normal, normal_len, query, query_len);
                r.is_push = git_is_push(method, method_len, normal, normal_len);
        }
        l = level_of(p, &v->host);
        w = walk_of(p, &l, v->port);
        for (int32_t i = walk_next(&w); i >= 0; i = walk_next(&w)) {
                const struct policy_rule *rule = &p->rules[i];
                enum policy_reason reason = ask_rule(p, rule, v->port, &r);

                if (reason && out.rule >= 0)
                        continue; /* the first rule's reason is the one told */
                out.reason = reason;
                out.rule = i;
                out.methods_limited = *methods_of(p, rule, v->port);
                out.check_refs = !reason && rule->branch && r.is_push;
                if (!reason)
                        break;
        }
        return out;
}

/* --- words ----------------------------------------------------------------------------------- */

void policy_put_rule(struct wr *w, const struct policy *p, int rule)
{
        if (rule < 0 || (size_t)rule >= p->rule_count)
                wr_char(w, '-');
        else if (*p->rules[rule].name)
                wr_str(w, p->rules[rule].name);
        else
                wr_fmt(w, "rule %d %s", rule + 1, p->rules[rule].host);
}

/* At most 200 bytes of what the client said, as it may stand in JSON and in a header. */
static void put_quoted(struct wr *w, const char *s, size_t len)
{
        wr_char(w, '"');
        for (size_t i = 0; s && i < len && i < 200; i++) {
                unsigned char c = (unsigned char)s[i];

                if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\')
                        policy_put_escape(w, c);
                else
                        wr_char(w, (char)c);
        }
        wr_char(w, '"');
}

static void put_host(struct wr *w, const struct host *h)
{
        wr_char(w, '"');
        host_put(w, h);
        wr_char(w, '"');
}

static const char *plain_sentence(enum policy_reason reason)
{
        switch (reason) {
        case POLICY_ALLOWED:
                return "it is let through.";
        case POLICY_DENY_OFF:
                return "the network is off; \"agent\": \"limited\" in \"network\" would let hosts "
                       "through that \"allow\" names.";
        case POLICY_DENY_NAME:
                return "this is no host name in a form that everybody reads alike.";
        case POLICY_DENY_SNI:
                return "the name inside TLS or the Host header is another one than was asked for.";
        case POLICY_DENY_NO_SNI:
                return "TLS without a server name; a rule for the host with \"raw\": true would "
                       "let it through.";
        case POLICY_DENY_ECH:
                return "the server name is encrypted (ECH), so it cannot be checked; a rule for "
                       "the host with \"raw\": true would let it through.";
        case POLICY_DENY_NOT_TLS:
                return "port 443 is for TLS; a rule for the host with \"raw\": true lets other "
                       "protocols through there.";
        case POLICY_DENY_REQUEST:
                return "this is not one clear HTTP/1.1 request.";
        case POLICY_DENY_INJECT:
                return "a credential's placeholder was sent where no rule injects it, or the "
                       "credential is missing.";
        case POLICY_DENY_RESOLVE:
                return "the name has no address, or the resolver does not answer.";
        case POLICY_DENY_UPSTREAM:
                return "the server does not answer.";
        case POLICY_DENY_TLS_UPSTREAM:
                return "the server's certificate or TLS version was not accepted.";
        case POLICY_DENY_LIMIT:
                return "a limit of the proxy's was reached.";
        case POLICY_DENY_NOT_ALLOWED:
        case POLICY_DENY_DENIED:
        case POLICY_DENY_PORT:
        case POLICY_DENY_METHOD:
        case POLICY_DENY_PATH:
        case POLICY_DENY_GIT:
        case POLICY_DENY_ADDRESS:
        case POLICY_DENY_LITERAL:
        case POLICY_REASONS:
                break;
        }
        return NULL;
}

/* `"rules": [{"host": "a.org", "ports": [22], ` without the end. */
static void put_rule_start(struct wr *w, const struct host *h, uint16_t port)
{
        wr_str(w, "\"rules\": [{\"host\": ");
        put_host(w, h);
        if (!is_web_port(port))
                wr_fmt(w, ", \"ports\": [%u]", port);
}

/* What names the host, with its port where it needs one. */
static void put_remedy(struct wr *w, const struct host *h, uint16_t port)
{
        if (is_web_port(port)) {
                wr_str(w, "\"allow\": [");
                put_host(w, h);
                wr_str(w, "]");
        } else {
                put_rule_start(w, h, port);
                wr_str(w, "}]");
        }
        wr_str(w, " in \"network\" would let it through.");
}

void policy_explain(struct wr *w, const struct policy *p, enum policy_reason reason,
                    const struct host *h, uint16_t port, const char *method,
                    size_t method_len, const char *path, size_t path_len)
{
        const char *plain = plain_sentence(reason);

        if (plain) {
                wr_str(w, plain);
                return;
        }
        switch ((int)reason) {
        case POLICY_DENY_NOT_ALLOWED:
        case POLICY_DENY_LITERAL:
                wr_str(w, "no rule names ");
                host_put(w, h);
                wr_str(w, "; ");
                put_remedy(w, h, port);
                break;
        case POLICY_DENY_DENIED:
                wr_str(w, "\"deny\" in \"network\" names ");
                host_put(w, h);
                wr_str(w, " or its address, and deny wins.");
                break;
        case POLICY_DENY_PORT:
                host_put(w, h);
                wr_fmt(w, " may be reached, but not on port %u; ", port);
                put_rule_start(w, h, port);
                wr_str(w, "}] in \"network\" would let it through.");
                break;
        case POLICY_DENY_ADDRESS:
                host_put(w, h);
                wr_str(w, " is or leads to an address that is not on the public internet; ");
                if (h->literal)
                        put_remedy(w, h, port);
                else
                        wr_str(w, "an \"allow\" or a rule in \"network\" that names the address "
                                  "would let it through.");
                break;
        case POLICY_DENY_METHOD:
                put_quoted(w, method, method_len);
                wr_str(w, " is not let through to ");
                host_put(w, h);
                wr_str(w, "; ");
                put_rule_start(w, h, port);
                wr_str(w, ", \"methods\": [");
                put_quoted(w, method, method_len);
                wr_str(w, "]}] in \"network\" would.");
                break;
        case POLICY_DENY_PATH:
                wr_str(w, "the rules for ");
                host_put(w, h);
                wr_str(w, " leave out this path; ");
                put_rule_start(w, h, port);
                wr_str(w, ", \"paths\": [");
                put_quoted(w, path, path_len);
                wr_str(w, "]}] in \"network\" would let it through, if it has no \"..\", \"//\" or "
                          "escaped slash.");
                break;
        default: /* POLICY_DENY_GIT */
                wr_str(w, "the rule for ");
                host_put(w, h);
                wr_str(w, " lets git read; ");
                put_rule_start(w, h, port);
                wr_str(w, ", \"git\": \"push\"}] in \"network\" would let pushes through, and its "
                          "\"branch\" says to which refs.");
                break;
        }
        (void)p;
}
