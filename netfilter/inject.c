/* netfilter/inject.c - see inject.h. */
#include "netfilter/inject.h"

#include "base/base64.h"

#include <bearssl.h>
#include <string.h>
#include <strings.h>

const char *inject_status_str(enum inject_status s)
{
        switch (s) {
        case INJECT_OK:
                return "ok";
        case INJECT_TEMPLATE:
                return "the value's template is malformed";
        case INJECT_MISSING:
                return "the secret was not given";
        case INJECT_UNFIT:
                return "the secret is too short, too long or not printable";
        case INJECT_LARGE:
                return "the header is too large with the secret in it";
        case INJECT_FOREIGN:
                return "a secret's placeholder is used where its secret may not go";
        }
        return "unknown";
}

void inject_init(struct inject *i, const uint8_t key[static 32])
{
        explicit_bzero(i, sizeof(*i));
        memcpy(i->key, key, sizeof(i->key));
}

/* --- placeholders ------------------------------------------------------------------- */

/* How tokens of widely used services begin: public, and checked by their tools. */
static size_t public_prefix(const char *value, size_t len)
{
        static const char *const prefixes[] = {
                "github_pat_", "ghp_",  "gho_",  "ghu_",  "ghs_",  "ghr_",      "glpat-",
                "sk-ant-",     "sk-proj-", "sk-", "npm_", "pypi-", "xoxb-",     "xoxp-",
                "hf_",         "AKIA",  "ASIA",  "dop_v1_", "rk_live_", "sk_live_", "sk_test_",
        };

        for (size_t i = 0; i < COUNT(prefixes); i++) {
                size_t n = strlen(prefixes[i]);

                if (len >= n + INJECT_VALUE_MIN && !memcmp(value, prefixes[i], n))
                        return n;
        }
        return 0;
}

void inject_placeholder(const uint8_t key[static 32], const char *value, size_t len, char *out)
{
        size_t keep = public_prefix(value, len);
        br_hmac_key_context hmac_key;
        uint8_t block[br_sha256_SIZE], again = 0;

        br_hmac_key_init(&hmac_key, &br_sha256_vtable, key, 32);
        do {
                memcpy(out, value, len);
                for (size_t i = keep; i < len; i++) {
                        char c = value[i];

                        if ((i - keep) % sizeof(block) == 0) {
                                uint8_t count[3] = { again, (uint8_t)(i >> 8), (uint8_t)i };
                                br_hmac_context hmac;

                                br_hmac_init(&hmac, &hmac_key, 0);
                                br_hmac_update(&hmac, value, len);
                                br_hmac_update(&hmac, count, sizeof(count));
                                br_hmac_out(&hmac, block);
                        }
                        if (c >= '0' && c <= '9')
                                out[i] = (char)('0' + block[(i - keep) % sizeof(block)] % 10);
                        else if (c >= 'a' && c <= 'z')
                                out[i] = (char)('a' + block[(i - keep) % sizeof(block)] % 26);
                        else if (c >= 'A' && c <= 'Z')
                                out[i] = (char)('A' + block[(i - keep) % sizeof(block)] % 26);
                }
        } while (!memcmp(out, value, len) && ++again < 8);
        out[len] = '\0';
        explicit_bzero(&hmac_key, sizeof(hmac_key));
        explicit_bzero(block, sizeof(block));
}

/* --- secrets ------------------------------------------------------------------------ */

static char *text_take(struct inject *i, const char *from, size_t len)
{
        char *at = i->text + i->text_len;

        if (len >= sizeof(i->text) - i->text_len)
                return NULL;
        memcpy(at, from, len);
        at[len] = '\0';
        i->text_len += len + 1;
        return at;
}

/* It may stand in a header, and is more than punctuation that a placeholder would copy. */
static bool fit(const char *value, size_t len)
{
        size_t alphanumeric = 0;

        for (size_t k = 0; k < len; k++) {
                char c = value[k];

                if (c < 0x20 || c > 0x7e)
                        return false;
                alphanumeric += (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                                (c >= 'A' && c <= 'Z');
        }
        return len >= INJECT_VALUE_MIN && len <= INJECT_VALUE_MAX &&
               alphanumeric >= INJECT_VALUE_MIN / 2;
}

static bool secret_add(struct inject *i, const char *entry, size_t len)
{
        const char *equals = memchr(entry, '=', len), *value;
        struct inject_secret *s = &i->secrets[i->count];
        char *placeholder;

        if (!equals || equals == entry)
                return true;
        value = equals + 1;
        len -= (size_t)(value - entry);
        while (len && (value[len - 1] == '\n' || value[len - 1] == '\r' || value[len - 1] == ' ' ||
                       value[len - 1] == '\t'))
                len--;
        if (i->count == COUNT(i->secrets))
                return false;
        s->name = text_take(i, entry, (size_t)(equals - entry));
        s->value = text_take(i, value, len);
        placeholder = text_take(i, value, len);
        if (!s->name || !s->value || !placeholder)
                return false;
        s->len = len;
        s->fit = fit(value, len);
        s->placeholder = placeholder;
        if (s->fit)
                inject_placeholder(i->key, value, len, placeholder);
        else
                explicit_bzero(placeholder, len);
        i->count++;
        return true;
}

enum inject_status inject_load(struct inject *i, const char *list, size_t len)
{
        explicit_bzero(i->text, sizeof(i->text));
        i->text_len = 0;
        i->count = 0;
        for (size_t at = 0; at < len;) {
                size_t n = strnlen(list + at, len - at);

                if (!secret_add(i, list + at, n)) {
                        explicit_bzero(i->text, sizeof(i->text));
                        i->text_len = 0;
                        i->count = 0;
                        return INJECT_LARGE;
                }
                at += n + 1;
        }
        return INJECT_OK;
}

static const struct inject_secret *find(const struct inject *i, const char *name, size_t len)
{
        for (size_t k = 0; k < i->count; k++)
                if (strlen(i->secrets[k].name) == len && !memcmp(i->secrets[k].name, name, len))
                        return &i->secrets[k];
        return NULL;
}

enum inject_status inject_load_aliases(struct inject *i, const char *list, size_t len)
{
        for (size_t at = 0, n; at < len; at += n + 1) {
                const char *name = list + at, *equals;
                const struct inject_secret *known;
                struct inject_secret *s;
                size_t alias_len;

                n = strnlen(name, len - at);
                equals = memchr(name, '=', n);
                known = equals ? find(i, name, (size_t)(equals - name)) : NULL;
                alias_len = equals ? n - (size_t)(equals + 1 - name) : 0;
                if (!known || !fit(equals + 1, alias_len))
                        continue;
                s = &i->secrets[known - i->secrets];
                s->alias = text_take(i, equals + 1, alias_len);
                s->alias_len = alias_len;
                if (!s->alias)
                        return INJECT_LARGE;
        }
        return INJECT_OK;
}

void inject_put_placeholders(const struct inject *i, struct wr *w)
{
        for (size_t k = 0; k < i->count; k++) {
                const struct inject_secret *s = &i->secrets[k];

                if (!s->fit)
                        continue;
                wr_str(w, s->name);
                wr_char(w, '=');
                wr_bytes(w, s->placeholder, s->len);
                wr_char(w, '\0');
        }
}

void inject_wipe(struct inject *i)
{
        explicit_bzero(i, sizeof(*i));
}

/* --- templates ---------------------------------------------------------------------- */

/* One part of a template: plain text, or a secret with its form. */
struct part {
        const char *text; /* plain text, or what stands before the secret in base64 */
        size_t text_len;
        const char *name; /* NULL: plain text */
        size_t name_len;
        bool base64;
};

/* Takes the next part off *@at. False: malformed. */
static bool part_next(const char **at, struct part *p)
{
        static const char base64[] = "base64:";
        const char *t = *at, *end, *colon = NULL;

        *p = (struct part){ .text = t };
        if (t[0] != '$' || t[1] != '{') {
                const char *next = strstr(t, "${");

                p->text_len = next ? (size_t)(next - t) : strlen(t);
                *at = t + p->text_len;
                return true;
        }
        t += 2;
        end = strchr(t, '}');
        if (!end)
                return false;
        *at = end + 1;
        p->name = t;
        if (!strncmp(t, base64, sizeof(base64) - 1)) {
                p->base64 = true;
                p->text = t + sizeof(base64) - 1;
                for (const char *c = p->text; c < end; c++)
                        if (*c == ':')
                                colon = c;
                if (!colon)
                        return false;
                p->text_len = (size_t)(colon - p->text);
                p->name = colon + 1;
        }
        p->name_len = (size_t)(end - p->name);
        return p->name_len > 0;
}

bool inject_names(const char *template, const struct inject_secret *s)
{
        struct part p;

        while (template && *template) {
                if (!part_next(&template, &p))
                        return false;
                if (p.name && strlen(s->name) == p.name_len &&
                    !memcmp(s->name, p.name, p.name_len))
                        return true;
        }
        return false;
}

enum inject_status inject_render(const struct inject *i, const char *template,
                                 bool placeholders, struct wr *w)
{
        struct part p;

        while (*template) {
                const struct inject_secret *s;
                char pair[INJECT_HEADER_MAX];
                struct wr joined = wr_of(pair, sizeof(pair));

                if (!part_next(&template, &p))
                        return INJECT_TEMPLATE;
                if (!p.name) {
                        wr_bytes(w, p.text, p.text_len);
                        continue;
                }
                s = find(i, p.name, p.name_len);
                if (!s)
                        return INJECT_MISSING;
                if (!s->fit)
                        return INJECT_UNFIT;
                if (!p.base64) {
                        wr_bytes(w, placeholders ? s->placeholder : s->value, s->len);
                        continue;
                }
                wr_bytes(&joined, p.text, p.text_len);
                wr_char(&joined, ':');
                wr_bytes(&joined, placeholders ? s->placeholder : s->value, s->len);
                base64_put(w, joined.buf, joined.len);
                explicit_bzero(pair, sizeof(pair));
                if (joined.full)
                        return INJECT_LARGE;
        }
        return w->full ? INJECT_LARGE : INJECT_OK;
}

/* --- what clients send --------------------------------------------------------------- */

/* The credentials of `Basic BASE64`, decoded into @w. False: it is something else. */
static bool basic(const char *text, size_t len, struct wr *w)
{
        struct base64 b = { 0 };

        if (len < 6 || strncasecmp(text, "basic", 5) != 0 || (text[5] != ' ' && text[5] != '\t'))
                return false;
        for (size_t i = 6; i < len; i++) {
                uint8_t bytes[3];

                wr_bytes(w, bytes, base64_take(&b, text[i], bytes));
        }
        return !b.bad && !w->full;
}

static bool foreign_plain(const struct inject *i, const char *template, const char *text,
                          size_t len)
{
        for (size_t k = 0; k < i->count; k++) {
                const struct inject_secret *s = &i->secrets[k];

                if (s->fit && !inject_names(template, s) &&
                    (memmem(text, len, s->placeholder, s->len) ||
                     (s->alias && memmem(text, len, s->alias, s->alias_len))))
                        return true;
        }
        return false;
}

bool inject_foreign(const struct inject *i, const char *template, const char *text, size_t len)
{
        char decoded[INJECT_HEADER_MAX];
        struct wr w = wr_of(decoded, sizeof(decoded));

        if (!i->count)
                return false;
        return foreign_plain(i, template, text, len) ||
               (basic(text, len, &w) && foreign_plain(i, template, w.buf, w.len));
}

/* The length of what stands for @s at the start of @text; 0: nothing does. */
static size_t stands_for(const struct inject_secret *s, const char *text, size_t len)
{
        if (!s->fit)
                return 0;
        if (len >= s->len && !memcmp(text, s->placeholder, s->len))
                return s->len;
        return s->alias && len >= s->alias_len && !memcmp(text, s->alias, s->alias_len)
                       ? s->alias_len : 0;
}

/* Into @shown goes what the response shows of it: as long as @w. */
static size_t replace_plain(const struct inject *i, const char *template, const char *text,
                            size_t len, struct wr *w, struct wr *shown)
{
        size_t replaced = 0;

        while (len) {
                const struct inject_secret *s = NULL;
                size_t take = 1;

                for (size_t k = 0; k < i->count && !s; k++) {
                        size_t n = stands_for(&i->secrets[k], text, len);

                        if (n && inject_names(template, &i->secrets[k])) {
                                s = &i->secrets[k];
                                take = n;
                        }
                }
                wr_bytes(w, s ? s->value : text, s ? s->len : 1);
                wr_bytes(shown, s ? s->placeholder : text, s ? s->len : 1);
                text += take;
                len -= take;
                replaced += s != NULL;
        }
        return replaced;
}

/* Both pairs in base64 into the mask. */
static bool mask_pair(struct mask *m, const struct wr *real, const struct wr *shown)
{
        char text[INJECT_HEADER_MAX], with[INJECT_HEADER_MAX];
        struct wr t = wr_of(text, sizeof(text)), s = wr_of(with, sizeof(with));
        bool added;

        base64_put(&t, real->buf, real->len);
        base64_put(&s, shown->buf, shown->len);
        added = !t.full && t.len == s.len && mask_add(m, text, with, t.len);
        explicit_bzero(text, sizeof(text));
        return added;
}

size_t inject_replace(const struct inject *i, const char *template, const char *text, size_t len,
                      struct wr *w, struct mask *m)
{
        char decoded[INJECT_HEADER_MAX], pair[INJECT_HEADER_MAX], shown[INJECT_HEADER_MAX];
        struct wr d = wr_of(decoded, sizeof(decoded)), p = wr_of(pair, sizeof(pair));
        struct wr s = wr_of(shown, sizeof(shown));
        size_t replaced = 0;

        if (basic(text, len, &d))
                replaced = replace_plain(i, template, d.buf, d.len, &p, &s);
        if (replaced) {
                wr_str(w, "Basic ");
                base64_put(w, p.buf, p.len);
                w->full |= p.full || s.full || !mask_pair(m, &p, &s);
        } else {
                s.len = 0;
                replaced = replace_plain(i, template, text, len, w, &s);
        }
        explicit_bzero(pair, sizeof(pair));
        return replaced;
}

bool inject_mask(const struct inject *i, const char *template, struct mask *m)
{
        char real[INJECT_HEADER_MAX], shown[INJECT_HEADER_MAX];
        bool added = true;
        struct part p;

        while (added && *template) {
                struct wr r = wr_of(real, sizeof(real)), s = wr_of(shown, sizeof(shown));
                const struct inject_secret *secret;

                if (!part_next(&template, &p))
                        return false;
                secret = p.name ? find(i, p.name, p.name_len) : NULL;
                if (!secret)
                        continue;
                added = mask_add(m, secret->value, secret->placeholder, secret->len);
                if (!p.base64)
                        continue;
                wr_bytes(&r, p.text, p.text_len);
                wr_char(&r, ':');
                wr_bytes(&r, secret->value, secret->len);
                wr_bytes(&s, p.text, p.text_len);
                wr_char(&s, ':');
                wr_bytes(&s, secret->placeholder, secret->len);
                added = added && mask_pair(m, &r, &s);
        }
        explicit_bzero(real, sizeof(real));
        return added;
}

/* --- what comes back ------------------------------------------------------------------ */

void mask_init(struct mask *m)
{
        m->count = 0;
        m->held_at = 0;
        m->held_len = 0;
        memset(m->starts, 0, sizeof(m->starts));
}

bool mask_add(struct mask *m, const void *text, const void *with, size_t len)
{
        struct mask_text *t = &m->texts[m->count];

        for (size_t i = 0; i < m->count; i++)
                if (m->texts[i].len == len && !memcmp(m->texts[i].text, text, len))
                        return true;
        if (m->count == COUNT(m->texts) || !len || len > sizeof(t->text))
                return false;
        memcpy(t->text, text, len);
        memcpy(t->with, with, len);
        t->len = len;
        t->at = 0;
        t->back[0] = 0;
        for (size_t i = 1, k = 0; i < len; i++) {
                while (k && t->text[i] != t->text[k])
                        k = t->back[k - 1];
                k += t->text[i] == t->text[k];
                t->back[i] = (uint16_t)k;
        }
        m->starts[t->text[0]] = true;
        m->count++;
        return true;
}

/* One byte more: returns the text that ends here, or NULL; *@longest may become one. */
static struct mask_text *step(struct mask *m, uint8_t c, size_t *longest)
{
        *longest = 0;
        for (size_t i = 0; i < m->count; i++) {
                struct mask_text *t = &m->texts[i];

                while (t->at && t->text[t->at] != c)
                        t->at = t->back[t->at - 1];
                t->at += t->text[t->at] == c;
                if (t->at == t->len)
                        return t;
                if (t->at > *longest)
                        *longest = t->at;
        }
        return NULL;
}

/* The bytes of @in before the first one that could begin a text. */
static size_t plain_run(const struct mask *m, const uint8_t *in, size_t len)
{
        size_t n = 0;

        while (n < len && !m->starts[in[n]])
                n++;
        return n;
}

size_t mask_run(struct mask *m, const void *in, size_t len, size_t *used, void *out, size_t cap)
{
        const uint8_t *from = in;
        uint8_t *to = out;
        size_t written = 0;

        *used = 0;
        /* Every byte may let go of all that is held and itself: there is room, or we stop. */
        while (*used < len && cap - written > m->held_len) {
                size_t longest, free;
                struct mask_text *whole;

                if (!m->held_len) {
                        size_t n = len - *used < cap - written ? len - *used : cap - written;

                        n = plain_run(m, from + *used, n);
                        if (n) {
                                memcpy(to + written, from + *used, n);
                                written += n;
                                *used += n;
                                continue;
                        }
                }
                if (m->held_at + m->held_len == sizeof(m->held)) {
                        memmove(m->held, m->held + m->held_at, m->held_len);
                        m->held_at = 0;
                }
                m->held[m->held_at + m->held_len++] = from[*used];
                whole = step(m, from[(*used)++], &longest);
                if (whole) {
                        memcpy(m->held + m->held_at + m->held_len - whole->len, whole->with,
                               whole->len);
                        for (size_t i = 0; i < m->count; i++)
                                m->texts[i].at = 0;
                        longest = 0;
                }
                free = m->held_len - longest;
                memcpy(to + written, m->held + m->held_at, free);
                written += free;
                m->held_at += free;
                m->held_len = longest;
                if (!longest)
                        m->held_at = 0;
        }
        return written;
}

size_t mask_end(struct mask *m, void *out, size_t cap)
{
        size_t n = m->held_len < cap ? m->held_len : cap;

        memcpy(out, m->held + m->held_at, n);
        m->held_at += n;
        m->held_len -= n;
        for (size_t i = 0; i < m->count; i++)
                m->texts[i].at = 0;
        return n;
}

void mask_whole(const struct mask *m, void *text, size_t len)
{
        uint8_t *at = text;

        for (size_t i = 0; i < m->count; i++) {
                const struct mask_text *t = &m->texts[i];
                uint8_t *found;

                for (size_t from = 0; from < len; from = (size_t)(found - at) + t->len) {
                        found = memmem(at + from, len - from, t->text, t->len);
                        if (!found)
                                break;
                        memcpy(found, t->with, t->len);
                }
        }
}

void mask_wipe(struct mask *m)
{
        if (m->count)
                explicit_bzero(m, sizeof(*m));
}
