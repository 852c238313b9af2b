/* agent/skill.c - the fields of a skill's two files, out of their YAML. */
#include "agent/skill.h"

#include "base/utf8.h"

#include <string.h>

/* --- words ---------------------------------------------------------------------------------- */

/* The length of the white space character at @s, Unicode's; 0: it is none. */
static size_t space_len(const char *s, size_t len)
{
        static const char *const wide[] = { "\xc2\x85", "\xc2\xa0", "\xe1\x9a\x80", "\xe2\x80\xa8",
                                            "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f",
                                            "\xe3\x80\x80" };

        if (len && (*s == ' ' || (*s >= '\t' && *s <= '\r')))
                return 1;
        for (size_t i = 0; i < COUNT(wide); i++)
                if (len >= strlen(wide[i]) && !memcmp(s, wide[i], strlen(wide[i])))
                        return strlen(wide[i]);
        return len >= 3 && !memcmp(s, "\xe2\x80", 2) && (unsigned char)s[2] <= 0x8a ? 3 : 0;
}

/* The words, with one space between them. */
static void put_words(struct buf *out, const char *s, size_t len)
{
        size_t was = out->len;

        while (len) {
                size_t space = space_len(s, len), n = 0;

                s += space;
                len -= space;
                while (n < len && !space_len(s + n, len - n))
                        n++;
                if (n && out->len > was)
                        buf_str(out, " ");
                buf_put(out, s, n);
                s += n;
                len -= n;
        }
}

static const char *trim(const char *s, size_t *len)
{
        size_t n = 0, end = 0;

        while (n < *len && space_len(s + n, *len - n))
                n += space_len(s + n, *len - n);
        s += n;
        *len -= n;
        for (n = 0; n < *len;) {
                size_t space = space_len(s + n, *len - n);

                n += space ? space : 1;
                if (!space)
                        end = n;
        }
        *len = end;
        return s;
}

void skill_trim(const struct buf *text, struct buf *out)
{
        size_t len = text->len;
        const char *at = len ? trim(buf_at(text), &len) : "";

        buf_put(out, at, len);
}

size_t skill_chars(const struct buf *text)
{
        size_t n = 0;

        for (size_t i = 0; i < text->len; i++)
                n += (buf_at(text)[i] & 0xc0) != 0x80;
        return n;
}

/* --- fields ----------------------------------------------------------------------------------- */

struct fields {
        const struct yaml *y;
        bool bad; /* one is of the wrong kind, or there twice */
};

/* What is null is not there. */
static const struct yaml_node *field(struct fields *f, const struct yaml_node *map,
                                     const char *key)
{
        const struct yaml_node *n = yaml_get(f->y, map, key, &f->bad);

        return n && yaml_null(n) ? NULL : n;
}

static const struct yaml_node *field_of(struct fields *f, const struct yaml_node *map,
                                        const char *key, enum yaml_type type)
{
        const struct yaml_node *n = field(f, map, key);

        if (!n || n->type == type)
                return n;
        f->bad = true;
        return NULL;
}

static const struct yaml_node *next_of(const struct fields *f, const struct yaml_node *n)
{
        return n->next ? &f->y->nodes[n->next] : NULL;
}

static const struct yaml_node *first_of(const struct fields *f, const struct yaml_node *n)
{
        return n && n->first ? &f->y->nodes[n->first] : NULL;
}

/* A mapping, or nothing at all: that has no members either. */
static bool is_record(const struct yaml_node *n)
{
        return n->type == YAML_MAP || (n->plain && !n->len);
}

/* --- SKILL.md ----------------------------------------------------------------------------------- */

static bool is_fence(const char *line, size_t len)
{
        line = trim(line, &len);
        return len == 3 && !memcmp(line, "---", 3);
}

/* The lines between the two fences; false: there are none. */
static bool cut_head(const char *text, size_t len, struct buf *head)
{
        bool begun = false;

        while (len) {
                const char *end = memchr(text, '\n', len);
                size_t n = end ? (size_t)(end - text) : len, line = n;

                if (is_fence(text, n)) {
                        if (begun)
                                return head->len > 0;
                        begun = true;
                } else if (!begun) {
                        return false;
                } else {
                        while (line && text[line - 1] == '\r')
                                line--;
                        buf_put(head, text, line);
                        buf_str(head, "\n");
                }
                n += end != NULL;
                text += n;
                len -= n;
        }
        return false;
}

static void put_field(struct buf *out, const struct yaml_node *n)
{
        if (n)
                put_words(out, n->text, n->len);
}

static bool read_head(struct yaml *y, const char *text, size_t len, struct skill *s)
{
        struct fields f = { .y = y };
        const struct yaml_node *root = &y->nodes[0], *metadata, *name, *description, *brief = NULL;

        if (!yaml_parse(y, text, len) || root->type != YAML_MAP)
                return false;
        name = field_of(&f, root, "name", YAML_SCALAR);
        description = field_of(&f, root, "description", YAML_SCALAR);
        metadata = yaml_get(y, root, "metadata", &f.bad);
        if (metadata && !is_record(metadata))
                return false;
        if (metadata)
                brief = field_of(&f, metadata, "short-description", YAML_SCALAR);
        if (f.bad)
                return false;
        put_field(&s->name, name);
        put_field(&s->description, description);
        put_field(&s->brief, brief);
        return true;
}

/* --- prose behind a colon ------------------------------------------------------------------------- */

/* Is it a colon that YAML would take for one more key's? */
static bool has_colon(const char *s, size_t len)
{
        for (size_t i = 0; i + 1 < len; i++)
                if (s[i] == ':' && space_len(s + i + 1, len - i - 1))
                        return true;
        return false;
}

static size_t comment_at(const char *s, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (s[i] == '#' && (!i || s[i - 1] == ' ' || s[i - 1] == '\t'))
                        return i;
        return len;
}

static bool needs_quotes(struct yaml *y, const char *s, size_t len)
{
        if (!len || s[0] == '\'' || s[0] == '"')
                return false;
        return has_colon(s, len) || (strchr("[{@`", s[0]) && !yaml_parse(y, s, len) && !y->beyond);
}

static void put_quoted(struct buf *out, const char *s, size_t len)
{
        buf_str(out, "'");
        for (size_t i = 0; i < len; i++)
                buf_put(out, s[i] == '\'' ? "''" : s + i, s[i] == '\'' ? 2 : 1);
        buf_str(out, "'");
}

static size_t indent_of(const char *line, size_t len)
{
        size_t n = 0;

        while (n < len && line[n] == ' ')
                n++;
        return n;
}

/* A line of which is it not said that it is YAML: *@block: the column of a block's key, or none. */
static bool mend_line(struct yaml *y, const char *line, size_t len, size_t *block, struct buf *out)
{
        const char *colon = memchr(line, ':', len), *value;
        size_t rest, n = len;

        (void)trim(line, &n);
        if (*block != SIZE_MAX && (!n || indent_of(line, len) > *block))
                return false;
        *block = SIZE_MAX;
        n = colon ? (size_t)(colon - line) : 0;
        (void)trim(line, &n);
        if (!colon || !n)
                return false;
        rest = n = len - (size_t)(colon + 1 - line);
        if (!rest || !space_len(colon + 1, rest))
                return false;
        value = trim(colon + 1, &n);
        n = comment_at(value, rest - (size_t)(value - colon - 1));
        (void)trim(value, &n);
        if (n && (*value == '|' || *value == '>'))
                *block = indent_of(line, len);
        else if (needs_quotes(y, value, n)) {
                buf_put(out, line, (size_t)(value - line));
                put_quoted(out, value, n);
                buf_put(out, value + n, len - (size_t)(value + n - line));
                return true;
        }
        return false;
}

/* Writes @head again with quotes where prose needs them. False: nowhere. */
static bool mend(struct yaml *y, const struct buf *head, struct buf *out)
{
        const char *line = buf_at(head), *end = line + head->len;
        size_t block = SIZE_MAX;
        bool mended = false;

        while (line < end) {
                const char *stop = memchr(line, '\n', (size_t)(end - line));
                size_t len = (size_t)((stop ? stop : end) - line);

                if (mend_line(y, line, len, &block, out))
                        mended = true;
                else
                        buf_put(out, line, len);
                buf_str(out, "\n");
                line += len + (stop != NULL);
        }
        return mended;
}

bool skill_read(struct yaml *y, const char *text, size_t len, const char *folder, struct skill *s)
{
        struct buf head = { 0 }, mended = { 0 };
        bool good;

        *s = (struct skill){ 0 };
        good = cut_head(text, len, &head) && utf8_prefix(text, len) == len;
        if (good && !read_head(y, buf_at(&head), head.len, s))
                good = !y->beyond && mend(y, &head, &mended) &&
                       read_head(y, buf_at(&mended), mended.len, s);
        if (!s->name.len)
                put_words(&s->name, folder, strlen(folder));
        if (!s->name.len)
                buf_str(&s->name, "skill");
        good = good && s->description.len && skill_chars(&s->name) <= SKILL_NAME_MAX;
        buf_free(&head);
        buf_free(&mended);
        if (!good)
                skill_free(s);
        return good;
}

void skill_free(struct skill *s)
{
        buf_free(&s->name);
        buf_free(&s->description);
        buf_free(&s->brief);
        *s = (struct skill){ 0 };
}

/* --- agents/openai.yaml ------------------------------------------------------------------------------ */

/* A JSON string, or null for one that is empty or too long. False: null. */
static bool put_text(struct buf *out, const struct yaml_node *n, size_t max)
{
        struct buf words = { 0 };
        bool good;

        put_field(&words, n);
        good = words.len && skill_chars(&words) <= max;
        if (good)
                buf_json(out, buf_at(&words), words.len);
        else
                buf_str(out, "null");
        buf_free(&words);
        return good;
}

/* Nobody asks for it here, but what is wrong in it makes all of the file wrong. */
static void check_interface(struct fields *f, const struct yaml_node *root)
{
        static const char *const keys[] = { "display_name", "short_description", "icon_small",
                                            "icon_large", "brand_color", "default_prompt" };
        const struct yaml_node *n = field_of(f, root, "interface", YAML_MAP);

        for (size_t i = 0; n && i < COUNT(keys); i++)
                (void)field_of(f, n, keys[i], YAML_SCALAR);
}

static void put_port(struct fields *f, const struct yaml_node *tool, struct buf *out)
{
        const struct yaml_node *oauth = field_of(f, tool, "oauth", YAML_MAP), *n = NULL, *other;
        uint32_t port = 0;

        buf_str(out, ",\"oauthCallbackPort\":");
        if (oauth) {
                n = field_of(f, oauth, "callback_port", YAML_SCALAR);
                other = field_of(f, oauth, "callbackPort", YAML_SCALAR);
                f->bad |= n && other;
                n = n ? n : other;
        }
        if (!n) {
                buf_str(out, "null");
                return;
        }
        f->bad |= !n->plain || n->len > 5;
        for (size_t i = 0; i < n->len && !f->bad; i++) {
                f->bad = n->text[i] < '0' || n->text[i] > '9' || (!i && n->text[i] == '0');
                port = port * 10 + (uint32_t)(n->text[i] - '0');
        }
        f->bad |= port > 65535;
        buf_u64(out, port);
}

/* One that has a type and a value; others are left out. */
static bool put_tool(struct fields *f, const struct yaml_node *tool, struct buf *out)
{
        static const struct {
                const char *key, *json;
                size_t max;
        } texts[] = {
                { "type", "{\"type\":", SKILL_NAME_MAX },
                { "value", ",\"value\":", SKILL_TEXT_MAX },
                { "description", ",\"description\":", SKILL_TEXT_MAX },
                { "transport", ",\"transport\":", SKILL_NAME_MAX },
                { "command", ",\"command\":", SKILL_TEXT_MAX },
                { "url", ",\"url\":", SKILL_TEXT_MAX },
        };
        bool good = true;

        for (size_t i = 0; i < COUNT(texts); i++) {
                buf_str(out, texts[i].json);
                good &= put_text(out, field_of(f, tool, texts[i].key, YAML_SCALAR), texts[i].max) ||
                        i > 1;
        }
        put_port(f, tool, out);
        buf_str(out, "}");
        return good;
}

static void put_dependencies(struct fields *f, const struct yaml_node *root, struct buf *out)
{
        const struct yaml_node *n = field_of(f, root, "dependencies", YAML_MAP);
        bool any = false;

        n = n ? field_of(f, n, "tools", YAML_LIST) : NULL;
        for (n = first_of(f, n); n; n = next_of(f, n)) {
                struct buf one = { 0 };

                f->bad |= !is_record(n);
                if (put_tool(f, n, &one)) {
                        buf_str(out, any ? "," : "{\"tools\":[");
                        buf_put(out, buf_at(&one), one.len);
                        any = true;
                }
                buf_free(&one);
        }
        buf_str(out, any ? "]}" : "null");
}

static void put_truth(struct fields *f, const struct yaml_node *n, struct buf *out)
{
        static const char *const words[] = { "true", "True", "TRUE", "false", "False", "FALSE" };
        size_t i = 0;

        while (n && i < COUNT(words) && !yaml_is(n, words[i]))
                i++;
        f->bad |= n && (!n->plain || i == COUNT(words));
        buf_str(out, !n ? "null" : i < 3 ? "true" : "false");
}

static void put_product(struct fields *f, const struct yaml_node *n, struct buf *out)
{
        static const char *const names[][2] = { { "codex", "CODEX" }, { "chatgpt", "CHATGPT" },
                                                { "atlas", "ATLAS" } };
        size_t i = 0;

        while (i < COUNT(names) && !yaml_is(n, names[i][0]) && !yaml_is(n, names[i][1]))
                i++;
        if (i == COUNT(names))
                f->bad = true;
        else
                buf_json(out, names[i][0], strlen(names[i][0]));
}

static void put_policy(struct fields *f, const struct yaml_node *root, struct buf *out)
{
        const struct yaml_node *n = field_of(f, root, "policy", YAML_MAP), *products;
        const char *before = "";

        if (!n) {
                buf_str(out, "null");
                return;
        }
        buf_str(out, "{\"allowImplicitInvocation\":");
        put_truth(f, field_of(f, n, "allow_implicit_invocation", YAML_SCALAR), out);
        buf_str(out, ",\"products\":[");
        products = field_of(f, n, "products", YAML_LIST);
        for (n = first_of(f, products); n; n = next_of(f, n), before = ",") {
                buf_str(out, before);
                put_product(f, n, out);
        }
        buf_str(out, "]}");
}

bool skill_read_about(struct yaml *y, const char *text, size_t len, struct buf *dependencies,
                      struct buf *policy)
{
        struct fields f = { .y = y };

        f.bad = !yaml_parse(y, text, len) || y->nodes[0].type != YAML_MAP;
        if (!f.bad) {
                check_interface(&f, &y->nodes[0]);
                put_dependencies(&f, &y->nodes[0], dependencies);
                put_policy(&f, &y->nodes[0], policy);
        }
        if (f.bad) {
                buf_drop(dependencies, dependencies->len, SIZE_MAX);
                buf_drop(policy, policy->len, SIZE_MAX);
                buf_str(dependencies, "null");
                buf_str(policy, "null");
        }
        return !y->beyond;
}
