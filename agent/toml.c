/* agent/toml.c - a recursive descent, a tree in an array, and back to text. */
#include "agent/toml.h"

#include "base/utf8.h"

#include <string.h>

static bool fail(struct scan *t, const char *what)
{
        if (!t->wrong)
                t->wrong = what;
        return false;
}

static char peek(const struct scan *t)
{
        return t->at < t->end ? *t->at : '\0'; /* a NUL of the text's own is never right */
}

static bool take(struct scan *t, char c)
{
        if (peek(t) != c || t->at == t->end)
                return false;
        t->at++;
        return true;
}

static bool starts(const struct scan *t, const char *s)
{
        size_t n = strlen(s);

        return (size_t)(t->end - t->at) >= n && !memcmp(t->at, s, n);
}

static void skip_spaces(struct scan *t)
{
        while (peek(t) == ' ' || peek(t) == '\t')
                t->at++;
}

static bool is_control(char c)
{
        return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static bool skip_newline(struct scan *t)
{
        if (starts(t, "\r\n"))
                t->at++;
        return take(t, '\n');
}

/* A comment if there is one, then the end of the line or of the text. */
static bool end_line(struct scan *t)
{
        skip_spaces(t);
        if (take(t, '#'))
                while (t->at < t->end && !is_control(*t->at))
                        t->at++;
        return t->at == t->end || skip_newline(t) || fail(t, "more on a line than belongs there");
}

static bool at_line_end(const struct scan *t)
{
        return t->at < t->end && (*t->at == '#' || *t->at == '\n' || starts(t, "\r\n"));
}

/* Spaces, comments and empty lines. */
static bool skip_lines(struct scan *t)
{
        skip_spaces(t);
        while (at_line_end(t)) {
                if (!end_line(t))
                        return false;
                skip_spaces(t);
        }
        return true;
}

/* --- strings ------------------------------------------------------------------------------------ */

static void put(char *out, size_t *len, const char *bytes, size_t n)
{
        if (out)
                memcpy(out + *len, bytes, n);
        *len += n;
}

static void put_point(char *out, size_t *len, uint32_t c)
{
        char b[4];
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

        for (size_t i = n; i-- > 1; c >>= 6)
                b[i] = (char)(0x80 | (c & 0x3f));
        b[0] = (char)(n == 1 ? c : (0xf00U >> n & 0xff) | c);
        put(out, len, b, n);
}

static bool take_hex(struct scan *t, unsigned digits, uint32_t *c)
{
        static const char hex[] = "0123456789abcdef";

        *c = 0;
        while (digits--) {
                char low = (char)(peek(t) | 0x20);
                const char *digit = t->at < t->end && low ? strchr(hex, low) : NULL;

                if (!digit)
                        return fail(t, "a bad escape in a string");
                *c = *c << 4 | (uint32_t)(digit - hex);
                t->at++;
        }
        return (*c < 0xd800 || (*c > 0xdfff && *c <= 0x10ffff)) || fail(t, "a bad escape in a string");
}

/* Behind the backslash. */
static bool take_escape(struct scan *t, char *out, size_t *len)
{
        static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
        char c = peek(t);
        const char *which = c ? strchr(from, c) : NULL;
        uint32_t point;

        if (!which && c != 'u' && c != 'U')
                return fail(t, "a bad escape in a string");
        t->at++;
        if (which) {
                put(out, len, &to[which - from], 1);
                return true;
        }
        if (!take_hex(t, c == 'u' ? 4 : 8, &point))
                return false;
        put_point(out, len, point);
        return true;
}

/* A backslash at the end of a line of a long string: what is blank behind it does not count. */
static bool take_joint(struct scan *t)
{
        const char *start = t->at;

        skip_spaces(t);
        if (!skip_newline(t)) {
                t->at = start;
                return false;
        }
        do
                skip_spaces(t);
        while (skip_newline(t));
        return true;
}

/* """…""" or '''…''': up to two quotes may stand before the last three. */
static bool take_long(struct scan *t, char quote, char *out, size_t *len)
{
        const char end[] = { quote, quote, quote, '\0' };

        t->at += 3;
        skip_newline(t);
        while (t->at < t->end) {
                const char *here = t->at;

                if (starts(t, end)) {
                        for (t->at += 3; peek(t) == quote && t->at - here < 5; t->at++)
                                put(out, len, &quote, 1);
                        return true;
                }
                if (quote == '"' && take(t, '\\')) {
                        if (!take_joint(t) && !take_escape(t, out, len))
                                return false;
                        continue;
                }
                if (!skip_newline(t)) {
                        if (is_control(*t->at))
                                break;
                        t->at++;
                }
                put(out, len, here, (size_t)(t->at - here));
        }
        return fail(t, "a string without its end");
}

/* The string at the cursor; @out, when there is one, has room for what is left of the text. */
static bool take_string(struct scan *t, bool one_line, char *out, size_t *len)
{
        char quote = peek(t);

        *len = 0;
        if (starts(t, "\"\"\"") || starts(t, "'''"))
                return one_line ? fail(t, "a string of several lines where none may be")
                                : take_long(t, quote, out, len);
        t->at++;
        while (t->at < t->end && !is_control(*t->at)) {
                if (take(t, quote))
                        return true;
                if (quote == '"' && take(t, '\\')) {
                        if (!take_escape(t, out, len))
                                return false;
                        continue;
                }
                put(out, len, t->at++, 1);
        }
        return fail(t, "a string without its end");
}

bool toml_string(const struct toml_node *leaf, char *out, size_t *len)
{
        struct scan s = { .at = leaf->text, .end = leaf->text + leaf->text_len };

        return leaf->type == TOML_LEAF && (peek(&s) == '"' || peek(&s) == '\'') &&
               take_string(&s, true, out, len);
}

struct toml_strings toml_strings(const struct toml_node *leaf)
{
        struct toml_strings i = { .s = { .at = leaf->text, .end = leaf->text + leaf->text_len } };

        i.wrong = leaf->type != TOML_LEAF || !take(&i.s, '[');
        return i;
}

/* The array is known to be one: only what stands in it may not be strings. */
bool toml_strings_next(struct toml_strings *i, char *out, size_t *len)
{
        struct scan *s = &i->s;

        if (i->wrong)
                return false;
        if (!skip_lines(s) || (i->begun && peek(s) != ']' && (!take(s, ',') || !skip_lines(s))))
                i->wrong = true;
        i->begun = true;
        if (i->wrong || take(s, ']'))
                return false;
        if ((peek(s) != '"' && peek(s) != '\'') || !take_string(s, true, out, len))
                i->wrong = true;
        return !i->wrong;
}

/* --- numbers, dates, words -------------------------------------------------------------------- */

/* Digits of one kind, single underscores between them; how many characters. */
static size_t digits(const char *s, size_t len, const char *kind)
{
        size_t n = 0;

        while (n < len && s[n] && (strchr(kind, s[n]) || (s[n] == '_' && n && s[n - 1] != '_')))
                n++;
        return n && s[n - 1] == '_' ? 0 : n;
}

static bool is_number(const char *s, size_t len)
{
        static const char decimal[] = "0123456789";
        static const struct {
                const char *prefix, *kind;
        } others[] = { { "0x", "0123456789abcdefABCDEF" }, { "0o", "01234567" }, { "0b", "01" } };
        size_t n;

        for (size_t i = 0; i < COUNT(others); i++)
                if (len > 2 && !memcmp(s, others[i].prefix, 2))
                        return digits(s + 2, len - 2, others[i].kind) == len - 2;
        if (len && (*s == '+' || *s == '-')) {
                s++;
                len--;
        }
        if (len == 3 && (!memcmp(s, "inf", 3) || !memcmp(s, "nan", 3)))
                return true;
        n = digits(s, len, decimal);
        if (!n || (n > 1 && *s == '0'))
                return false;
        if (n < len && s[n] == '.') {
                size_t more = digits(s + n + 1, len - n - 1, decimal);

                if (!more)
                        return false;
                n += 1 + more;
        }
        if (n < len && (s[n] | 0x20) == 'e') {
                n += n + 1 < len && (s[n + 1] == '+' || s[n + 1] == '-') ? 2 : 1;
                s += n;
                len -= n;
                n = digits(s, len, decimal);
                return n && n == len;
        }
        return n == len;
}

/* The length of what @shape describes: '0' is a digit, any other character itself. 0: it is not. */
static size_t shaped(const char *s, size_t len, const char *shape)
{
        size_t n = strlen(shape);

        if (len < n)
                return 0;
        for (size_t i = 0; i < n; i++)
                if (shape[i] == '0' ? s[i] < '0' || s[i] > '9' : s[i] != shape[i])
                        return 0;
        return n;
}

static bool is_time(const char *s, size_t len, bool zone)
{
        size_t n = shaped(s, len, "00:00:00");

        if (!n)
                return false;
        if (n < len && s[n] == '.') {
                size_t more = digits(s + n + 1, len - n - 1, "0123456789");

                n += more ? 1 + more : 0;
        }
        if (zone && n < len && (s[n] == 'Z' || s[n] == 'z'))
                n++;
        else if (zone && n < len && (s[n] == '+' || s[n] == '-'))
                n += 1 + shaped(s + n + 1, len - n - 1, "00:00");
        return n == len;
}

static bool is_date(const char *s, size_t len)
{
        if (!shaped(s, len, "0000-00-00"))
                return is_time(s, len, false);
        return len == 10 || (strchr("Tt ", s[10]) && is_time(s + 11, len - 11, true));
}

static bool take_word(struct scan *t)
{
        static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-_.:";
        const char *start = t->at;
        size_t len;

        while (t->at < t->end && *t->at && strchr(letters, *t->at))
                t->at++;
        if (t->at - start == 10 && peek(t) == ' ' && shaped(t->at + 1, (size_t)(t->end - t->at - 1), "00:"))
                for (t->at++; t->at < t->end && *t->at && strchr(letters, *t->at);)
                        t->at++;
        len = (size_t)(t->at - start);
        return (len == 4 && !memcmp(start, "true", 4)) || (len == 5 && !memcmp(start, "false", 5)) ||
               is_number(start, len) || is_date(start, len) || fail(t, "a value that is none");
}

static bool is_bare(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
}

/* --- the tree ------------------------------------------------------------------------------------ */

static uint32_t add_node(struct toml *t, uint32_t parent, struct toml_node n)
{
        struct toml_node *p = &t->nodes[parent];

        n.depth = p->depth + 1;
        if (t->count == TOML_NODES || n.depth > TOML_DEPTH) {
                fail(&t->s, t->count == TOML_NODES ? "more keys than fit" : "tables nested too deep");
                return 0;
        }
        t->nodes[t->count] = n;
        if (p->last)
                t->nodes[p->last].next = t->count;
        else
                p->first = t->count;
        p->last = t->count;
        return t->count++;
}

static uint32_t find(const struct toml *t, uint32_t table, const char *key, size_t len)
{
        uint32_t i = t->nodes[table].first;

        while (i && (t->nodes[i].key_len != len || memcmp(t->nodes[i].key, key, len) != 0))
                i = t->nodes[i].next;
        return i;
}

const struct toml_node *toml_get(const struct toml *t, const struct toml_node *table,
                                 const char *key, size_t len)
{
        uint32_t i = table->type == TOML_TABLE ? find(t, (uint32_t)(table - t->nodes), key, len) : 0;

        return i ? &t->nodes[i] : NULL;
}

/* One key, decoded to the end of t->keys. */
static bool take_key(struct toml *t, const char **key, size_t *len)
{
        struct scan *s = &t->s;
        char *out = t->keys + t->keys_len;

        if (peek(s) == '"' || peek(s) == '\'') {
                if (!take_string(s, true, out, len))
                        return false;
        } else {
                *len = 0;
                while (s->at < s->end && is_bare(*s->at))
                        put(out, len, s->at++, 1);
                if (!*len)
                        return fail(s, "a key is missing");
        }
        *key = out;
        t->keys_len += *len;
        return true;
}

static bool take_value(struct toml *t, uint32_t table, const char *key, size_t len);

/* The table that dotted keys lead to from @table: made, or of such keys only. 0: wrong. */
static uint32_t step_dots(struct toml *t, uint32_t table, const char *key, size_t len)
{
        uint32_t i = find(t, table, key, len);
        struct toml_node n = { .type = TOML_TABLE, .origin = TOML_DOTS, .key = key, .key_len = len };

        if (!i)
                return add_node(t, table, n);
        if (t->nodes[i].type == TOML_TABLE && t->nodes[i].origin == TOML_DOTS)
                return i;
        fail(&t->s, "a key that was there before");
        return 0;
}

/* key.key = value */
static bool take_pair(struct toml *t, uint32_t table)
{
        const char *key;
        size_t len;

        for (;;) {
                if (!take_key(t, &key, &len))
                        return false;
                skip_spaces(&t->s);
                if (!take(&t->s, '.'))
                        break;
                skip_spaces(&t->s);
                table = step_dots(t, table, key, len);
                if (!table)
                        return false;
        }
        if (!take(&t->s, '='))
                return fail(&t->s, "no = behind a key");
        skip_spaces(&t->s);
        if (find(t, table, key, len))
                return fail(&t->s, "a key that was there before");
        return take_value(t, table, key, len);
}

/* Behind the brace. */
static bool take_inline(struct toml *t, uint32_t table)
{
        struct scan *s = &t->s;

        skip_spaces(s);
        if (take(s, '}'))
                return true;
        for (;;) {
                skip_spaces(s);
                if (!take_pair(t, table))
                        return false;
                skip_spaces(s);
                if (take(s, '}'))
                        return true;
                if (!take(s, ','))
                        return fail(s, "no comma in a table of one line");
        }
}

static bool take_item(struct toml *t);

/* Behind the bracket. */
static bool take_array(struct toml *t)
{
        struct scan *s = &t->s;
        bool good = ++s->nested <= TOML_DEPTH || fail(s, "arrays nested too deep");

        while (good) {
                good = skip_lines(s);
                if (!good || take(s, ']'))
                        break;
                good = take_item(t) && skip_lines(s);
                if (good && !take(s, ',')) {
                        good = take(s, ']') || fail(s, "no comma in an array");
                        break;
                }
        }
        s->nested--;
        return good;
}

/* A value of an array. Its tables are only read to see that they are right. */
static bool take_item(struct toml *t)
{
        struct scan *s = &t->s;
        struct toml_node n = { .type = TOML_TABLE, .origin = TOML_INLINE };
        struct toml_node root = t->nodes[0];
        uint32_t count = t->count, last = root.last, i;
        size_t len, keys_len = t->keys_len;
        bool good;

        if (peek(s) == '"' || peek(s) == '\'')
                return take_string(s, false, NULL, &len);
        if (take(s, '['))
                return take_array(t);
        if (!take(s, '{'))
                return take_word(s);
        good = ++s->nested <= TOML_DEPTH || fail(s, "arrays nested too deep");
        i = good ? add_node(t, 0, n) : 0;
        good = i && take_inline(t, i);
        t->nodes[0] = root;
        if (last)
                t->nodes[last].next = 0;
        t->count = count;
        t->keys_len = keys_len;
        s->nested--;
        return good;
}

static bool take_value(struct toml *t, uint32_t table, const char *key, size_t len)
{
        struct toml_node n = { .type = TOML_LEAF, .key = key, .key_len = len, .text = t->s.at };
        uint32_t i;

        if (take(&t->s, '{')) {
                n = (struct toml_node){ .type = TOML_TABLE, .origin = TOML_INLINE, .key = key,
                                        .key_len = len };
                i = add_node(t, table, n);
                return i && take_inline(t, i);
        }
        if (!take_item(t))
                return false;
        n.text_len = (size_t)(t->s.at - n.text);
        return add_node(t, table, n) != 0;
}

/* --- headers --------------------------------------------------------------------------------------- */

/* One key of a header, not the last: the table to go on in. */
static uint32_t step_header(struct toml *t, uint32_t table, const char *key, size_t len)
{
        uint32_t i = find(t, table, key, len);
        struct toml_node n = { .type = TOML_TABLE, .origin = TOML_IMPLIED, .key = key, .key_len = len };

        if (!i)
                return add_node(t, table, n);
        if (t->nodes[i].type == TOML_TABLES)
                return t->nodes[i].last;
        if (t->nodes[i].type == TOML_TABLE && t->nodes[i].origin != TOML_INLINE)
                return i;
        fail(&t->s, "a header below what is no table, or a finished one");
        return 0;
}

static uint32_t end_header(struct toml *t, uint32_t table, const char *key, size_t len, bool array)
{
        uint32_t i = find(t, table, key, len);
        struct toml_node one = { .type = TOML_TABLE, .origin = TOML_HEADER };
        struct toml_node n = { .type = array ? TOML_TABLES : TOML_TABLE, .origin = TOML_HEADER,
                               .key = key, .key_len = len };

        if (!i) {
                i = add_node(t, table, n);
                return i && array ? add_node(t, i, one) : i;
        }
        if (array && t->nodes[i].type == TOML_TABLES)
                return add_node(t, i, one);
        if (!array && t->nodes[i].type == TOML_TABLE && t->nodes[i].origin == TOML_IMPLIED) {
                t->nodes[i].origin = TOML_HEADER;
                return i;
        }
        fail(&t->s, "a table that was there before");
        return 0;
}

/* Behind the bracket: the table that the next lines belong to. 0: wrong. */
static uint32_t take_header(struct toml *t)
{
        struct scan *s = &t->s;
        bool array = take(s, '[');
        uint32_t table = 0;
        const char *key;
        size_t len;

        for (;;) {
                skip_spaces(s);
                if (!take_key(t, &key, &len))
                        return 0;
                skip_spaces(s);
                if (!take(s, '.'))
                        break;
                table = step_header(t, table, key, len);
                if (s->wrong)
                        return 0;
        }
        if (!take(s, ']') || (array && !take(s, ']'))) {
                fail(s, "no bracket behind a header");
                return 0;
        }
        return end_header(t, table, key, len, array);
}

bool toml_parse(struct toml *t, const char *text, size_t len)
{
        uint32_t table = 0;

        t->s = (struct scan){ .at = text, .end = text + len };
        t->text = text;
        t->nodes[0] = (struct toml_node){ .type = TOML_TABLE, .origin = TOML_HEADER };
        t->count = 1;
        t->keys_len = 0;
        if (len > TOML_TEXT_MAX || utf8_prefix(text, len) != len)
                return fail(&t->s, len > TOML_TEXT_MAX ? "more than 1 MiB" : "no UTF-8");
        while (skip_lines(&t->s) && t->s.at < t->s.end) {
                if (take(&t->s, '['))
                        table = take_header(t);
                else if (!take_pair(t, table))
                        return false;
                if (t->s.wrong || !end_line(&t->s))
                        return false;
        }
        return !t->s.wrong;
}

size_t toml_line(const struct toml *t)
{
        size_t line = 1;

        for (const char *c = t->text; c < t->s.at; c++)
                line += *c == '\n';
        return line;
}

void toml_forget(struct toml *t, const char *key)
{
        uint32_t *at = &t->nodes[0].first, gone = find(t, 0, key, strlen(key)), before = 0;

        if (!gone)
                return;
        while (*at != gone) {
                before = *at;
                at = &t->nodes[*at].next;
        }
        *at = t->nodes[gone].next;
        if (t->nodes[0].last == gone)
                t->nodes[0].last = before;
}

/* --- and back ----------------------------------------------------------------------------------------- */

struct projection {
        const struct toml *t;
        const struct toml_path *paths;
        size_t count;
        struct buf *out;
        const struct toml_node *way[TOML_DEPTH + 1]; /* the tables that lead here */
        bool anything;
};

static void put_key(struct buf *out, const struct toml_node *n)
{
        bool bare = n->key_len > 0;

        for (size_t i = 0; i < n->key_len; i++)
                bare = bare && is_bare(n->key[i]);
        if (bare)
                buf_put(out, n->key, n->key_len);
        else
                buf_json(out, n->key, n->key_len); /* its escapes are TOML's too */
}

/* [a.b], or [[a.b]]; the document has none. */
static void put_header(struct projection *p, unsigned depth, const char *open, const char *close)
{
        if (!depth)
                return;
        if (p->anything)
                buf_str(p->out, "\n");
        buf_str(p->out, open);
        for (unsigned i = 0; i < depth; i++) {
                if (i)
                        buf_str(p->out, ".");
                put_key(p->out, p->way[i]);
        }
        buf_str(p->out, close);
        p->anything = true;
}

/* Of the paths in @mask, those whose next key this is; *@whole: one of them ends with it. */
static uint64_t narrow(const struct projection *p, uint64_t mask, unsigned depth,
                       const struct toml_node *n, bool *whole)
{
        uint64_t left = 0;

        for (size_t i = 0; i < p->count; i++) {
                const struct toml_path *path = &p->paths[i];

                if (!(mask >> i & 1) || path->lens[depth] != n->key_len ||
                    memcmp(path->keys[depth], n->key, n->key_len) != 0)
                        continue;
                if (path->count == depth + 1)
                        *whole = true;
                else
                        left |= UINT64_C(1) << i;
        }
        return left;
}

static void put_tables(struct projection *p, const struct toml_node *array, unsigned depth);

/*
 * The table at p->way[depth - 1], or the document. @mask: the paths that go on in here; @all:
 * it was asked for as a whole; @headed: its header stands there already.
 */
static void put_table(struct projection *p, const struct toml_node *table, unsigned depth,
                      uint64_t mask, bool all, bool headed)
{
        const struct toml_node *nodes = p->t->nodes;
        bool below = false;

        for (uint32_t i = table->first; i; i = nodes[i].next) {
                bool whole = all;
                uint64_t left = all ? 0 : narrow(p, mask, depth, &nodes[i], &whole);

                below |= (whole || left) && nodes[i].type != TOML_LEAF;
                if ((!whole && !left) || nodes[i].type != TOML_LEAF)
                        continue;
                if (!headed)
                        put_header(p, depth, "[", "]\n");
                headed = true;
                put_key(p->out, &nodes[i]);
                buf_str(p->out, " = ");
                buf_put(p->out, nodes[i].text, nodes[i].text_len);
                buf_str(p->out, "\n");
                p->anything = true;
        }
        if (!below && !headed)
                put_header(p, depth, "[", "]\n"); /* an empty one is one, too */
        for (uint32_t i = table->first; below && i; i = nodes[i].next) {
                bool whole = all;
                uint64_t left = all ? 0 : narrow(p, mask, depth, &nodes[i], &whole);

                if (!whole && !left)
                        continue;
                p->way[depth] = &nodes[i];
                if (nodes[i].type == TOML_TABLE)
                        put_table(p, &nodes[i], depth + 1, left, whole, false);
                else if (nodes[i].type == TOML_TABLES)
                        put_tables(p, &nodes[i], depth + 1);
        }
}

static void put_tables(struct projection *p, const struct toml_node *array, unsigned depth)
{
        for (uint32_t i = array->first; i; i = p->t->nodes[i].next) {
                put_header(p, depth, "[[", "]]\n");
                put_table(p, &p->t->nodes[i], depth, 0, true, true);
        }
}

bool toml_project(const struct toml *t, const struct toml_path *paths, size_t count,
                  struct buf *out)
{
        struct projection p = { .t = t, .paths = paths, .count = count, .out = out };

        must_hold(count <= TOML_PATHS);
        put_table(&p, &t->nodes[0], 0, count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1, false,
                  true);
        return p.anything;
}
