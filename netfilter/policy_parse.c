/* netfilter/policy_parse.c - the policy's text into its tables; the grammar is in policy.h. */
#include "netfilter/policy.h"

#include "netfilter/policy_tables.h"
#include "netfilter/preset.h"

#include <string.h>

struct word {
        const char *at;
        size_t len;
};

struct reader {
        struct policy p;
        struct policy_tables *t;
        struct policy_error error;
        enum policy_status status;
        bool mode_seen, preset_seen, methods_seen;
};

static bool wrong(struct reader *r, const char *expected)
{
        r->status = POLICY_WRONG;
        r->error.expected = expected;
        return false;
}

static bool too_large(struct reader *r, const char *what)
{
        r->status = POLICY_LARGE;
        r->error.expected = what;
        return false;
}

static bool is(struct word w, const char *s)
{
        return w.len == strlen(s) && !memcmp(w.at, s, w.len);
}

/* Takes what stands before the first @stop, and it too. False: @rest is over. */
static bool take(struct word *rest, char stop, struct word *w)
{
        const char *end;

        if (!rest->at)
                return false;
        end = rest->len ? memchr(rest->at, stop, rest->len) : NULL;
        *w = (struct word){ rest->at, end ? (size_t)(end - rest->at) : rest->len };
        if (end)
                *rest = (struct word){ end + 1, rest->len - w->len - 1 };
        else
                *rest = (struct word){ NULL, 0 };
        return true;
}

/* --- strings ------------------------------------------------------------------------------ */

/* A writer into what is left of the strings, with room for a NUL. */
static struct wr string_begin(struct reader *r)
{
        return wr_of(r->t->strings + r->t->string_len, POLICY_STRINGS - 1 - r->t->string_len);
}

static const char *string_end(struct reader *r, struct wr *w)
{
        char *s = w->buf;

        if (w->full) {
                too_large(r, "fewer or shorter strings");
                return NULL;
        }
        s[w->len] = '\0';
        r->t->string_len += w->len + 1;
        return s;
}

static bool is_plain(char c)
{
        return policy_is_unreserved((unsigned char)c) || (c && strchr("/*?:,@[]", c));
}

/* A value without its escapes. NULL: an error, which is noted. */
static const char *decode(struct reader *r, struct word v)
{
        struct wr w = string_begin(r);

        for (size_t i = 0; i < v.len; i++) {
                unsigned byte = (unsigned char)v.at[i];

                if (policy_unescape(v.at + i, v.len - i, &byte))
                        i += 2;
                else if (!is_plain(v.at[i])) {
                        wrong(r, "percent-encoding for this byte");
                        return NULL;
                }
                if (byte < ' ' || byte == 0x7f) {
                        wrong(r, "a value without control bytes");
                        return NULL;
                }
                wr_char(&w, (char)byte);
        }
        if (!w.len) {
                wrong(r, "a value that is not empty");
                return NULL;
        }
        return string_end(r, &w);
}

/* --- patterns ------------------------------------------------------------------------------ */

struct pattern {
        bool subs_only;
        struct policy_pattern *name; /* or else */
        struct policy_cidr *range;
        const char *text; /* normal form */
};

static struct policy_pattern *name_entry(struct reader *r, const char *name, size_t len)
{
        uint32_t hash = PATTERN_HASH;
        struct policy_tables *t = r->t;
        size_t slot;

        for (size_t i = len; i-- > 0;)
                hash = pattern_hash(hash, name[i]);
        slot = pattern_slot(t, name, len, hash);
        if (!t->slots[slot]) {
                if (t->pattern_count == POLICY_PATTERNS) {
                        too_large(r, "fewer different host names");
                        return NULL;
                }
                t->patterns[t->pattern_count] = (struct policy_pattern){
                        .name = name, .len = (uint8_t)len, .self = -1, .subs = -1
                };
                t->slots[slot] = (uint16_t)++t->pattern_count;
        }
        return &t->patterns[t->slots[slot] - 1];
}

static struct policy_cidr *range_entry(struct reader *r, const struct cidr *c)
{
        struct policy_tables *t = r->t;

        for (size_t i = 0; i < t->cidr_count; i++) {
                if (t->cidrs[i].range.bits == c->bits &&
                    address_equal(&t->cidrs[i].range.base, &c->base))
                        return &t->cidrs[i];
        }
        if (t->cidr_count == POLICY_CIDRS) {
                too_large(r, "fewer different addresses and ranges");
                return NULL;
        }
        t->cidrs[t->cidr_count] = (struct policy_cidr){ .range = *c, .self = -1 };
        return &t->cidrs[t->cidr_count++];
}

static bool range_pattern(struct reader *r, struct pattern *out, const struct cidr *c)
{
        struct wr w = string_begin(r);

        address_put(&w, &c->base);
        if (c->bits != (c->base.family == 4 ? 32 : 128))
                wr_fmt(&w, "/%u", c->bits);
        out->text = string_end(r, &w);
        out->range = out->text ? range_entry(r, c) : NULL;
        return out->range;
}

static bool name_pattern(struct reader *r, struct pattern *out, const struct name *n)
{
        struct wr w = string_begin(r);

        if (out->subs_only)
                wr_str(&w, "*.");
        wr_bytes(&w, n->text, n->len);
        out->text = string_end(r, &w);
        out->name = out->text ? name_entry(r, out->text + (out->subs_only ? 2 : 0), n->len) : NULL;
        return out->name;
}

static bool read_pattern(struct reader *r, struct word v, struct pattern *out)
{
        static const char expected[] = "a host name, *.NAME, an address or a range in its one form";
        size_t kept = r->t->string_len;
        const char *s = decode(r, v);
        struct name n;
        struct cidr c;

        *out = (struct pattern){ .subs_only = s && s[0] == '*' && s[1] == '.' };
        if (!s)
                return false;
        r->t->string_len = kept; /* the normal form takes its place */
        s += out->subs_only ? 2 : 0;
        switch (cidr_parse(&c, s, strlen(s))) {
        case ADDRESS_OK:
                return out->subs_only ? wrong(r, expected) : range_pattern(r, out, &c);
        case ADDRESS_ODD:
                return wrong(r, expected);
        case ADDRESS_NOT:
                break;
        }
        if (name_parse(&n, s, strlen(s)))
                return wrong(r, expected);
        return name_pattern(r, out, &n);
}

static bool add_pattern(struct reader *r, struct word v, uint8_t self, uint8_t subs)
{
        struct pattern p;

        if (!read_pattern(r, v, &p))
                return false;
        if (p.range)
                p.range->flags |= self;
        else
                p.name->flags |= p.subs_only ? subs : (uint8_t)(self | subs);
        return true;
}

/* The lines of preset.h, which stay where they are. */
static bool add_preset(struct reader *r)
{
        const char *line = preset_common;

        while (*line) {
                size_t len = strcspn(line, "\n");
                struct policy_pattern *e = name_entry(r, line, len);

                if (!e)
                        return false;
                e->flags |= PATTERN_ALLOW_SELF | PATTERN_ALLOW_SUBS;
                line += len + 1;
        }
        return true;
}

/* --- lists ----------------------------------------------------------------------------------- */

static bool is_method(struct word m)
{
        if (!m.len || m.len > 32)
                return false;
        for (size_t i = 0; i < m.len; i++) {
                if ((m.at[i] < 'A' || m.at[i] > 'Z') && m.at[i] != '-' && m.at[i] != '_')
                        return false;
        }
        return true;
}

static const char *read_methods(struct reader *r, struct word v)
{
        struct word list = v;
        struct word m;

        while (take(&list, ',', &m)) {
                if (!is_method(m)) {
                        wrong(r, "methods in capitals with commas between them");
                        return NULL;
                }
        }
        return decode(r, v);
}

/* 1 to 65535, digits alone, no leading zero. */
static bool read_port(struct word v, uint16_t *port)
{
        unsigned n = 0;

        if (!v.len || v.len > 5 || v.at[0] == '0')
                return false;
        for (size_t i = 0; i < v.len; i++) {
                if (v.at[i] < '0' || v.at[i] > '9')
                        return false;
                n = n * 10 + (unsigned)(v.at[i] - '0');
        }
        *port = (uint16_t)n;
        return n <= 65535;
}

static bool read_ports(struct reader *r, struct word v, struct policy_rule *rule)
{
        struct word port;

        rule->ports = r->t->ports + r->t->port_count;
        while (take(&v, ',', &port)) {
                if (r->t->port_count == POLICY_PORTS)
                        return too_large(r, "fewer ports");
                if (!read_port(port, &r->t->ports[r->t->port_count]))
                        return wrong(r, "ports from 1 to 65535 with commas between them");
                r->t->port_count++;
                rule->port_count++;
        }
        return true;
}

/* A glob in the form that policy_path gives to paths; '*' and '?' stay. */
static bool put_glob(struct reader *r, const char *s)
{
        struct wr w = string_begin(r);
        size_t len = strlen(s);

        for (size_t i = 0; i < len; i++) {
                unsigned c = (unsigned char)s[i];
                bool escaped = c == '%';

                if (escaped && !policy_unescape(s + i, len - i, &c))
                        return wrong(r, "two hex digits behind a % in a path");
                i += escaped ? 2 : 0;
                if (escaped ? policy_is_unreserved(c) : c > ' ' && c < 0x7f && c != '\\')
                        wr_char(&w, (char)c);
                else
                        policy_put_escape(&w, c);
        }
        return string_end(r, &w);
}

static bool read_paths(struct reader *r, struct word v, struct policy_rule *rule)
{
        char decoded[1024];
        struct word glob;

        rule->paths = r->t->strings + r->t->string_len;
        while (take(&v, ',', &glob)) {
                size_t kept = r->t->string_len;
                const char *s = decode(r, glob);

                if (!s)
                        return false;
                r->t->string_len = kept; /* its normal form takes its place */
                if ((s[0] != '/' && s[0] != '*') || strlen(s) >= sizeof(decoded))
                        return wrong(r, "paths that begin with / or *, up to 1023 bytes long");
                memcpy(decoded, s, strlen(s) + 1);
                if (!put_glob(r, decoded))
                        return false;
                rule->path_count++;
        }
        return true;
}

/* --- rules ----------------------------------------------------------------------------------- */

static bool is_token(const char *s)
{
        for (const char *c = s; *c; c++) {
                bool letter = (*c | 0x20) >= 'a' && (*c | 0x20) <= 'z';

                if (!letter && (*c < '0' || *c > '9') && !strchr("!#$%&'*+-.^_`|~", *c))
                        return false;
        }
        return *s;
}

/* Bytes at the start of @s that make a variable's name. */
static size_t name_len(const char *s)
{
        size_t n = 0;

        while (s[n] == '_' || (s[n] >= 'A' && s[n] <= 'Z') || (s[n] >= 'a' && s[n] <= 'z') ||
               (n && s[n] >= '0' && s[n] <= '9'))
                n++;
        return n;
}

/* Every "${" begins a ${NAME} or a ${base64:TEXT:NAME} (inject.h). */
static bool is_template(const char *s)
{
        for (; *s; s++) {
                size_t n;

                if (s[0] != '$' || s[1] != '{')
                        continue;
                if (!strncmp(s + 2, "base64:", 7)) {
                        const char *end = strchr(s + 9, '}');
                        const char *colon = end ? memrchr(s + 9, ':', (size_t)(end - s - 9)) : NULL;

                        if (!colon || !name_len(colon + 1) ||
                            colon + 1 + name_len(colon + 1) != end)
                                return false;
                        s = end;
                        continue;
                }
                n = name_len(s + 2);
                if (!n || s[2 + n] != '}')
                        return false;
                s += 2 + n;
        }
        return true;
}

static bool read_git(struct reader *r, struct word v, struct policy_rule *rule)
{
        if (is(v, "read"))
                rule->git = POLICY_GIT_READ;
        else if (is(v, "push"))
                rule->git = POLICY_GIT_PUSH;
        else
                return wrong(r, "git=read or git=push");
        return true;
}

enum key {
        KEY_HOST,
        KEY_PORTS,
        KEY_METHODS,
        KEY_PATHS,
        KEY_GIT,
        KEY_BRANCH,
        KEY_RAW,
        KEY_INJECT,
        KEY_VALUE,
        KEY_NAME,
        KEYS,
};

static enum key key_of(struct word w)
{
        static const char *const names[KEYS] = { "host",   "ports", "methods", "paths", "git",
                                                 "branch", "raw",   "inject",  "value", "name" };
        unsigned k = 0;

        while (k < KEYS && !is(w, names[k]))
                k++;
        return (enum key)k;
}

static bool read_value(struct reader *r, struct policy_rule *rule, struct pattern *host,
                       enum key key, struct word v)
{
        switch (key) {
        case KEY_HOST:
                return read_pattern(r, v, host);
        case KEY_PORTS:
                return read_ports(r, v, rule);
        case KEY_METHODS:
                return (rule->methods = read_methods(r, v));
        case KEY_PATHS:
                return read_paths(r, v, rule);
        case KEY_GIT:
                return read_git(r, v, rule);
        case KEY_BRANCH:
                return (rule->branch = decode(r, v));
        case KEY_RAW:
                rule->raw = is(v, "1");
                return rule->raw || wrong(r, "raw=1");
        case KEY_INJECT:
                rule->inject = decode(r, v);
                return rule->inject &&
                       (is_token(rule->inject) || wrong(r, "the name of a header"));
        case KEY_VALUE:
                rule->value = decode(r, v);
                return rule->value && (is_template(rule->value) ||
                                       wrong(r, "a value in which each ${ begins a ${NAME}"));
        case KEY_NAME:
                return (rule->name = decode(r, v));
        case KEYS:
                break;
        }
        return wrong(r, "host=, ports=, methods=, paths=, git=, branch=, raw=, inject=, value= "
                        "or name=");
}

static bool agrees(struct reader *r, const struct policy_rule *rule, unsigned seen)
{
        if (!(seen & BIT(KEY_HOST)))
                return wrong(r, "host= in a rule");
        if (rule->branch && rule->git != POLICY_GIT_PUSH)
                return wrong(r, "branch= with git=push alone");
        if (!rule->inject != !rule->value)
                return wrong(r, "inject= and value= together");
        if (rule->raw && (rule->path_count || rule->git || rule->inject || *rule->methods))
                return wrong(r, "raw=1 without methods, paths, git and inject");
        return true;
}

/* To the end of the pattern's chain: the text's order is the order of asking. */
static void chain(struct reader *r, const struct pattern *host, int32_t index)
{
        int32_t *link = host->range       ? &host->range->self
                        : host->subs_only ? &host->name->subs
                                          : &host->name->self;

        while (*link >= 0)
                link = &r->t->rules[*link].next;
        *link = index;
}

static bool read_rule(struct reader *r, struct word rest)
{
        struct policy_rule rule = { .name = "", .methods = "", .next = -1 };
        struct pattern host = { .name = NULL };
        unsigned seen = 0;
        struct word w;

        if (r->t->rule_count == POLICY_RULES)
                return too_large(r, "fewer rules");
        while (take(&rest, ' ', &w)) {
                const char *equals = w.len ? memchr(w.at, '=', w.len) : NULL;
                size_t n = equals ? (size_t)(equals - w.at) : 0;
                enum key key = key_of((struct word){ w.at, n });

                if (!equals)
                        return wrong(r, "KEY=VALUE words with one space between them");
                if (key < KEYS && (seen & BIT(key)))
                        return wrong(r, "each key of a rule once");
                if (!read_value(r, &rule, &host, key,
                                (struct word){ equals + 1, w.len - n - 1 }))
                        return false;
                seen |= BIT(key);
        }
        if (!agrees(r, &rule, seen))
                return false;
        rule.host = host.text;
        chain(r, &host, (int32_t)r->t->rule_count);
        r->t->rules[r->t->rule_count++] = rule;
        return true;
}

/* --- lines ------------------------------------------------------------------------------------ */

static bool read_mode(struct reader *r, struct word v)
{
        if (r->mode_seen)
                return wrong(r, "mode once");
        r->mode_seen = true;
        if (is(v, "off"))
                r->p.mode = POLICY_OFF;
        else if (is(v, "limited"))
                r->p.mode = POLICY_LIMITED;
        else if (is(v, "full"))
                r->p.mode = POLICY_FULL;
        else
                return wrong(r, "mode off, limited or full");
        return true;
}

static bool read_preset(struct reader *r, struct word v)
{
        if (r->preset_seen)
                return wrong(r, "preset once");
        r->preset_seen = true;
        if (is(v, "none"))
                return true;
        if (is(v, "all")) {
                r->p.preset = POLICY_PRESET_ALL;
                return true;
        }
        if (!is(v, "common-dependencies"))
                return wrong(r, "preset none, common-dependencies or all");
        r->p.preset = POLICY_PRESET_COMMON;
        return add_preset(r);
}

/* http://HOST[:PORT], 80 if none; a slash behind it is nothing. */
static bool read_upstream(struct reader *r, struct word v)
{
        static const char expected[] = "upstream http://HOST:PORT, once";
        const char *s = decode(r, v);
        struct word host;
        struct word port = { "80", 2 };
        const char *colon;

        if (!s)
                return false;
        if (r->p.upstream_port || strncmp(s, "http://", 7) != 0)
                return wrong(r, expected);
        host = (struct word){ s + 7, strlen(s + 7) };
        if (host.len && host.at[host.len - 1] == '/')
                host.len--;
        colon = host.len && host.at[host.len - 1] != ']' ? memrchr(host.at, ':', host.len) : NULL;
        if (colon) {
                port = (struct word){ colon + 1, host.len - (size_t)(colon - host.at) - 1 };
                host.len = (size_t)(colon - host.at);
        }
        if (host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
                host = (struct word){ host.at + 1, host.len - 2 };
        else if (host.len && memchr(host.at, ':', host.len))
                return wrong(r, expected); /* IPv6 goes in brackets */
        if (host_parse(&r->p.upstream, host.at, host.len) || !read_port(port, &r->p.upstream_port))
                return wrong(r, expected);
        return true;
}

static bool read_upstream_auth(struct reader *r, struct word v)
{
        const char *s = decode(r, v);

        if (!s)
                return false;
        if (r->p.upstream_auth || name_len(s) != strlen(s))
                return wrong(r, "the name of a secret, once");
        r->p.upstream_auth = s;
        return true;
}

static bool read_line(struct reader *r, struct word line)
{
        struct word command;

        if (!line.len || line.at[0] == '#')
                return true;
        take(&line, ' ', &command);
        if (!line.at)
                return wrong(r, "a command and a value with one space between them");
        if (is(command, "rule"))
                return read_rule(r, line);
        if (memchr(line.at, ' ', line.len))
                return wrong(r, "one value and nothing behind it");
        if (is(command, "allow"))
                return add_pattern(r, line, PATTERN_ALLOW_SELF, PATTERN_ALLOW_SUBS);
        if (is(command, "deny"))
                return add_pattern(r, line, PATTERN_DENY_SELF, PATTERN_DENY_SUBS);
        if (is(command, "mode"))
                return read_mode(r, line);
        if (is(command, "preset"))
                return read_preset(r, line);
        if (is(command, "methods")) {
                if (r->methods_seen)
                        return wrong(r, "methods once");
                r->methods_seen = true;
                r->p.methods = read_methods(r, line);
                return r->p.methods;
        }
        if (is(command, "upstream"))
                return read_upstream(r, line);
        if (is(command, "upstream-auth"))
                return read_upstream_auth(r, line);
        return wrong(r, "mode, preset, methods, allow, deny, rule, upstream or upstream-auth");
}

static bool read_text(struct reader *r, struct word text)
{
        struct word line;

        while (take(&text, '\n', &line)) {
                if (!text.at && !line.len)
                        break; /* behind the last newline */
                r->error.line++;
                if (!read_line(r, line))
                        return false;
        }
        r->error.line = 0;
        return r->mode_seen || wrong(r, "a line that says mode off, limited or full");
}

enum policy_status policy_parse(struct policy *p, void *arena, size_t arena_len,
                                const char *text, size_t len, struct policy_error *e)
{
        struct reader r = { .t = arena };
        struct policy_tables *t = arena;

        policy_init(p);
        policy_init(&r.p);
        if (arena_len < sizeof(*t) || len > POLICY_TEXT_MAX) {
                too_large(&r, "at most 256 KiB of text, and POLICY_ARENA bytes of room");
                *e = r.error;
                return r.status;
        }
        memset(t->slots, 0, sizeof(t->slots));
        t->pattern_count = t->cidr_count = t->rule_count = t->port_count = t->string_len = 0;
        if (!read_text(&r, (struct word){ text, len })) {
                *e = r.error;
                return r.status;
        }
        r.p.rules = t->rules;
        r.p.rule_count = t->rule_count;
        r.p.tables = t;
        *p = r.p;
        return POLICY_OK;
}
