/* secrets/vars.c - JSON objects of strings, and dotenv, read by one cursor. */
#include "secrets/vars.h"

#include "base/rd.h"

#include <string.h>

const char *vars_status_str(enum vars_status s)
{
        switch (s) {
        case VARS_OK:
                return "fine";
        case VARS_SYNTAX:
                return "expected a JSON object of strings, or lines NAME=value";
        case VARS_STRING:
                return "expected a string as the value";
        case VARS_QUOTE:
                return "a quote is not closed, or something follows it";
        case VARS_NAME:
                return "not a variable's name";
        case VARS_REFUSED:
                return "a secret may not have this name: it would make programs run something";
        case VARS_TWICE:
                return "this name is here a second time";
        case VARS_NUL:
                return "a value with a zero byte can't be a variable";
        case VARS_FULL:
                return "more than 1024 names, or 256 KiB of text";
        }
        return "?";
}

/* --- names ----------------------------------------------------------------------------- */

/* @pattern may have one *. */
static bool name_is(const char *pattern, const char *name, size_t len)
{
        size_t head = strcspn(pattern, "*");
        size_t tail = pattern[head] ? strlen(pattern + head + 1) : 0;

        if (!pattern[head])
                return len == head && !memcmp(pattern, name, len);
        return len >= head + tail && !memcmp(pattern, name, head) &&
               !memcmp(pattern + head + 1, name + len - tail, tail);
}

bool vars_name_refused(const char *name, size_t len)
{
        static const char *const patterns[] = {
                /* the loader and libc */
                "LD_*", "DYLD_*", "GCONV_PATH", "LOCPATH", "GLIBC_TUNABLES", "MALLOC_*",
                "RESOLV_*", "HOSTALIASES", "TMPDIR",
                /* shells */
                "BASH*", "ENV", "PATH", "IFS", "PS*", "SHELL*", "PROMPT_COMMAND", "CDPATH",
                "FPATH", "ZDOTDIR", "HISTFILE", "HOME", "USER", "LOGNAME", "PWD", "OLDPWD",
                /* programs that run what a variable says */
                "GIT_*COMMAND", "GIT_SSH*", "GIT_*ASKPASS", "GIT_EXTERNAL_DIFF", "GIT_EXEC_PATH",
                "GIT_TEMPLATE_DIR", "GIT_CONFIG*", "GIT_*PAGER", "GIT_*EDITOR", "GIT_DIR",
                "GIT_WORK_TREE", "GIT_TRACE*", "GIT_PROXY*", "SSH_ASKPASS*", "SUDO_ASKPASS",
                "EDITOR", "VISUAL", "PAGER", "MANPAGER", "BROWSER", "LESSOPEN", "LESSCLOSE",
                "MAKEFLAGS", "MAKEFILES", "GNUMAKEFLAGS", "RUSTC*", "CARGO_BUILD_*",
                /* languages' load paths and options */
                "PERL5*", "PERLLIB", "PYTHON*", "NODE_OPTIONS", "NODE_PATH", "RUBYOPT", "RUBYLIB",
                "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH",
                "GOFLAGS", "GOROOT", "LUA_*", "PHPRC", "PHP_INI_SCAN_DIR", "R_PROFILE*",
                /* the network, which is airlock's */
                "*_PROXY", "*_proxy", "SSL_CERT_*", "CURL_CA_BUNDLE", "CURL_HOME",
                "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "AIRLOCK_*",
        };

        for (size_t i = 0; i < COUNT(patterns); i++) {
                if (name_is(patterns[i], name, len))
                        return true;
        }
        return false;
}

static bool starts_name(uint8_t c)
{
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool is_name(const char *name, size_t len)
{
        if (!len || len > VARS_NAME_MAX || !starts_name((uint8_t)*name))
                return false;
        for (size_t i = 0; i < len; i++) {
                if (!starts_name((uint8_t)name[i]) && !(name[i] >= '0' && name[i] <= '9'))
                        return false;
        }
        return true;
}

const char *vars_name(const struct vars *v, const struct var *e)
{
        return v->text + e->at;
}

const char *vars_value(const struct vars *v, const struct var *e)
{
        return v->text + e->at + e->name_len + 1;
}

const struct var *vars_find(const struct vars *v, const char *name, size_t len)
{
        for (size_t i = 0; i < v->count; i++) {
                const struct var *e = &v->list[i];

                if (e->name_len == len && !memcmp(vars_name(v, e), name, len))
                        return e;
        }
        return NULL;
}

/* --- the text that comes out ------------------------------------------------------------- */

struct reader {
        struct vars *v;
        struct rd r;
        const uint8_t *start;
        enum vars_status status; /* the first that is not OK */
};

static bool fail(struct reader *p, enum vars_status status)
{
        if (p->status == VARS_OK) {
                p->status = status;
                p->v->error_at = (size_t)(p->r.at - p->start);
        }
        return false;
}

static bool put(struct reader *p, uint8_t c)
{
        struct vars *v = p->v;

        if (v->len == v->cap)
                return fail(p, VARS_FULL);
        v->text[v->len++] = (char)c;
        return true;
}

/* The name stands at the end of the text: a variable begins. */
static struct var *begin(struct reader *p, size_t at)
{
        struct vars *v = p->v;
        const char *name = v->text + at;
        size_t len = v->len - at;
        struct var *e;

        if (v->count == VARS_MAX) {
                fail(p, VARS_FULL);
                return NULL;
        }
        e = &v->list[v->count];
        *e = (struct var){ .at = (uint32_t)at, .name_len = (uint32_t)len };
        if (!is_name(name, len))
                fail(p, VARS_NAME);
        else if (vars_name_refused(name, len))
                fail(p, VARS_REFUSED);
        else if (vars_find(v, name, len))
                fail(p, VARS_TWICE);
        return p->status == VARS_OK && put(p, '=') ? e : NULL;
}

static bool end(struct reader *p, struct var *e)
{
        e->value_len = (uint32_t)(p->v->len - e->at - e->name_len - 1);
        if (memchr(vars_value(p->v, e), '\0', e->value_len))
                return fail(p, VARS_NUL);
        p->v->count++;
        return put(p, '\0');
}

/* --- JSON ------------------------------------------------------------------------------- */

static bool at_end(const struct reader *p)
{
        return p->r.at == p->r.end;
}

static bool next_is(const struct reader *p, uint8_t c)
{
        return !at_end(p) && *p->r.at == c;
}

static bool take(struct reader *p, uint8_t c)
{
        if (!next_is(p, c))
                return false;
        rd_u8(&p->r);
        return true;
}

static void skip_white(struct reader *p)
{
        while (take(p, ' ') || take(p, '\t') || take(p, '\n') || take(p, '\r'))
                ;
}

static int hex4(struct reader *p)
{
        int n = 0;

        for (unsigned i = 0; i < 4; i++) {
                uint8_t c = rd_u8(&p->r);

                if (c >= '0' && c <= '9')
                        n = n * 16 + c - '0';
                else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                        n = n * 16 + (c | 0x20) - 'a' + 10;
                else
                        return -1;
        }
        return n;
}

static bool put_code_point(struct reader *p, uint32_t c)
{
        if (c < 0x80)
                return put(p, (uint8_t)c);
        if (c < 0x800)
                return put(p, (uint8_t)(0xc0 | c >> 6)) && put(p, (uint8_t)(0x80 | (c & 63)));
        if (c >= 0x10000 && !put(p, (uint8_t)(0xf0 | c >> 18)))
                return false;
        return put(p, (uint8_t)(c < 0x10000 ? 0xe0 | c >> 12 : 0x80 | (c >> 12 & 63))) &&
               put(p, (uint8_t)(0x80 | (c >> 6 & 63))) && put(p, (uint8_t)(0x80 | (c & 63)));
}

static bool json_escape(struct reader *p)
{
        static const char from[] = "\"\\/bfnrt";
        static const char to[] = "\"\\/\b\f\n\r\t";
        uint8_t c = rd_u8(&p->r);
        const char *at = c ? strchr(from, c) : NULL;
        int unit, low;

        if (at)
                return put(p, (uint8_t)to[at - from]);
        unit = c == 'u' ? hex4(p) : -1;
        if (unit < 0 || (unit >= 0xdc00 && unit < 0xe000))
                return fail(p, VARS_SYNTAX);
        if (unit < 0xd800 || unit >= 0xe000)
                return put_code_point(p, (uint32_t)unit);
        low = take(p, '\\') && take(p, 'u') ? hex4(p) : -1;
        if (low < 0xdc00 || low >= 0xe000)
                return fail(p, VARS_SYNTAX);
        return put_code_point(p, 0x10000 + ((uint32_t)(unit - 0xd800) << 10) +
                                         (uint32_t)(low - 0xdc00));
}

static bool json_text(struct reader *p)
{
        if (!take(p, '"'))
                return fail(p, VARS_SYNTAX);
        while (!take(p, '"')) {
                uint8_t c;

                if (at_end(p))
                        return fail(p, VARS_SYNTAX);
                c = rd_u8(&p->r);
                if (c < 0x20)
                        return fail(p, VARS_SYNTAX);
                if (!(c == '\\' ? json_escape(p) : put(p, c)))
                        return false;
        }
        return true;
}

static bool json_pair(struct reader *p)
{
        size_t at = p->v->len;
        struct var *e;

        skip_white(p);
        if (!json_text(p))
                return false;
        e = begin(p, at);
        if (!e)
                return false;
        skip_white(p);
        if (!take(p, ':'))
                return fail(p, VARS_SYNTAX);
        skip_white(p);
        if (!next_is(p, '"'))
                return fail(p, VARS_STRING);
        return json_text(p) && end(p, e);
}

static bool json_object(struct reader *p)
{
        rd_u8(&p->r); /* the brace */
        skip_white(p);
        if (!take(p, '}')) {
                do {
                        if (!json_pair(p))
                                return false;
                        skip_white(p);
                } while (take(p, ','));
                if (!take(p, '}'))
                        return fail(p, VARS_SYNTAX);
        }
        skip_white(p);
        return at_end(p) || fail(p, VARS_SYNTAX);
}

/* --- dotenv ----------------------------------------------------------------------------- */

static void skip_blanks(struct reader *p)
{
        while (take(p, ' ') || take(p, '\t'))
                ;
}

static void skip_line(struct reader *p)
{
        while (!at_end(p) && rd_u8(&p->r) != '\n')
                ;
}

static bool env_double(struct reader *p)
{
        static const char from[] = "nrt\"\\$`";
        static const char to[] = "\n\r\t\"\\$`";

        while (!take(p, '"')) {
                const char *at;
                uint8_t c;

                if (at_end(p))
                        return fail(p, VARS_QUOTE);
                c = rd_u8(&p->r);
                at = c == '\\' && !at_end(p) && *p->r.at ? strchr(from, *p->r.at) : NULL;
                if (at)
                        rd_u8(&p->r);
                if (!put(p, at ? (uint8_t)to[at - from] : c))
                        return false;
        }
        return true;
}

static bool env_single(struct reader *p)
{
        while (!take(p, '\'')) {
                if (at_end(p))
                        return fail(p, VARS_QUOTE);
                if (!put(p, rd_u8(&p->r)))
                        return false;
        }
        return true;
}

static bool env_plain(struct reader *p)
{
        size_t start = p->v->len;

        while (!at_end(p) && !next_is(p, '\n')) {
                if (!put(p, rd_u8(&p->r)))
                        return false;
        }
        while (p->v->len > start && strchr(" \t\r", p->v->text[p->v->len - 1]) &&
               p->v->text[p->v->len - 1])
                p->v->len--;
        return true;
}

static bool env_value(struct reader *p)
{
        bool quoted = next_is(p, '"') || next_is(p, '\'');

        if (!quoted)
                return env_plain(p);
        if (!(rd_u8(&p->r) == '"' ? env_double(p) : env_single(p)))
                return false;
        skip_blanks(p);
        take(p, '\r');
        return at_end(p) || next_is(p, '\n') || next_is(p, '#') || fail(p, VARS_QUOTE);
}

static bool env_line(struct reader *p)
{
        size_t at = p->v->len;
        struct var *e;

        skip_blanks(p);
        take(p, '\r');
        if (at_end(p) || take(p, '\n'))
                return true;
        if (next_is(p, '#')) {
                skip_line(p);
                return true;
        }
        if (rd_left(&p->r) > 7 && !memcmp(p->r.at, "export ", 7)) {
                rd_bytes(&p->r, 7);
                skip_blanks(p);
        }
        while (!at_end(p) && !next_is(p, '=')) {
                if (next_is(p, '\n'))
                        return fail(p, VARS_SYNTAX);
                if (!put(p, rd_u8(&p->r)))
                        return false;
        }
        if (at_end(p))
                return fail(p, VARS_SYNTAX);
        e = begin(p, at);
        if (!e)
                return false;
        rd_u8(&p->r); /* = */
        if (!env_value(p) || !end(p, e))
                return false;
        skip_line(p);
        return true;
}

enum vars_status vars_parse(struct vars *v, const void *source, size_t len, char *text,
                            size_t cap)
{
        struct reader p = { .v = v, .r = rd_of(source, len), .start = source };

        v->count = v->len = v->error_at = 0;
        v->text = text;
        v->cap = cap;
        skip_white(&p);
        if (next_is(&p, '{')) {
                json_object(&p);
        } else {
                while (p.status == VARS_OK && !at_end(&p))
                        env_line(&p);
        }
        if (p.status != VARS_OK && v->error_at > len)
                v->error_at = len;
        return p.status;
}

unsigned vars_line(const void *source, size_t at)
{
        const uint8_t *s = source;
        unsigned line = 1;

        for (size_t i = 0; i < at; i++)
                line += s[i] == '\n';
        return line;
}
