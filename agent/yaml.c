/* agent/yaml.c - a recursive descent by columns, as libyaml's scanner and parser take them. */
#include "agent/yaml.h"

#include "base/utf8.h"

#include <string.h>

static bool fail(struct yaml *y)
{
        y->wrong = true;
        return false;
}

static bool pass(struct yaml *y)
{
        y->beyond |= !y->wrong;
        return fail(y);
}

static char at_of(const struct yaml *y, const char *at)
{
        return at < y->end ? *at : '\0'; /* a NUL of the text's own was refused before */
}

static char peek(const struct yaml *y)
{
        return at_of(y, y->at);
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static bool is_break(char c)
{
        return c == '\n' || c == '\r';
}

/* A blank, the end of a line, the end. */
static bool ends_word(char c)
{
        return is_blank(c) || is_break(c) || c == '\0';
}

/* Is it @c, as an indicator: with nothing behind it? */
static bool stands(const struct yaml *y, char c)
{
        return peek(y) == c && ends_word(at_of(y, y->at + 1));
}

static int column(const struct yaml *y)
{
        return (int)(y->at - y->line);
}

static bool next_line(struct yaml *y)
{
        if (!is_break(peek(y)))
                return false;
        y->at += *y->at == '\r' ? 2 : 1; /* a \r alone was refused before */
        y->line = y->at;
        y->fresh = true;
        return true;
}

/* "---" or "...", which end whatever there is. */
static bool at_marker(const struct yaml *y)
{
        return y->at == y->line && y->end - y->at >= 3 &&
               (!memcmp(y->at, "---", 3) || !memcmp(y->at, "...", 3)) &&
               ends_word(at_of(y, y->at + 3));
}

static bool at_end(const struct yaml *y)
{
        return y->at == y->end || at_marker(y);
}

/* To the next token. A tab may not stand where a line's indentation does. */
static void skip(struct yaml *y, bool tabs)
{
        for (;;) {
                while (peek(y) == ' ' || (peek(y) == '\t' && (tabs || y->flow)))
                        y->at++;
                if (peek(y) == '#')
                        while (y->at < y->end && !is_break(*y->at))
                                y->at++;
                if (!next_line(y))
                        return;
                tabs = false;
        }
}

/* --- the tree ------------------------------------------------------------------------------- */

static uint32_t add(struct yaml *y, uint32_t to, struct yaml_node n)
{
        uint32_t i = y->count;

        if (i == YAML_NODES) {
                pass(y); /* more nodes than are read */
                return 0;
        }
        y->nodes[i] = n;
        y->count++;
        if (y->nodes[to].last)
                y->nodes[y->nodes[to].last].next = i;
        else
                y->nodes[to].first = i;
        y->nodes[to].last = i;
        return i;
}

/* --- scalars ---------------------------------------------------------------------------------- */

/* One that grows at the end of y->bytes. */
static struct yaml_node begin(const struct yaml *y, bool plain)
{
        return (struct yaml_node){ .plain = plain, .text = y->bytes + y->len };
}

static bool put(struct yaml *y, struct yaml_node *n, const char *bytes, size_t len)
{
        if (len > sizeof(y->bytes) - y->len)
                return pass(y); /* more text than is read */
        memcpy(y->bytes + y->len, bytes, len);
        y->len += len;
        n->len += len;
        return true;
}

static bool put_point(struct yaml *y, struct yaml_node *n, uint32_t c)
{
        char b[4];
        size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

        if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
                return fail(y); /* an escape that is no character */
        for (size_t i = len; i-- > 1; c >>= 6)
                b[i] = (char)(0x80 | (c & 0x3f));
        b[0] = (char)(len == 1 ? c : (0xf00U >> len & 0xff) | c);
        return put(y, n, b, len);
}

static bool take_hex(struct yaml *y, struct yaml_node *n, unsigned digits)
{
        uint32_t c = 0;

        while (digits--) {
                char x = peek(y), low = (char)(x | 0x20);

                if (x >= '0' && x <= '9')
                        c = c << 4 | (uint32_t)(x - '0');
                else if (low >= 'a' && low <= 'f')
                        c = c << 4 | (uint32_t)(low - 'a' + 10);
                else
                        return fail(y); /* an escape that is none */
                y->at++;
        }
        return put_point(y, n, c);
}

/* Behind the backslash. */
static bool take_escape(struct yaml *y, struct yaml_node *n)
{
        static const char names[] = "0abt\tnvfe \"/\\N_LP";
        static const uint16_t means[] = { 0, 7, 8, 9, 9, 10, 11, 12, 27, ' ', '"', '/', '\\',
                                          0x85, 0xa0, 0x2028, 0x2029 };
        char c = peek(y);
        const char *name = c ? strchr(names, c) : NULL;

        if (next_line(y)) {
                while (is_blank(peek(y)))
                        y->at++;
                return true;
        }
        y->at += c != '\0';
        if (c == 'x' || c == 'u' || c == 'U')
                return take_hex(y, n, c == 'x' ? 2 : c == 'u' ? 4 : 8);
        return name ? put_point(y, n, means[name - names]) : fail(y);
}

static bool take_quoted(struct yaml *y, struct yaml_node *n)
{
        char quote = *y->at++;

        *n = begin(y, false);
        while (y->at < y->end && !at_marker(y)) {
                const char *c = y->at++;

                if (*c == quote) {
                        if (quote == '"' || peek(y) != quote)
                                return true;
                        y->at++;
                }
                if (*c == '\\' && quote == '"') {
                        if (!take_escape(y, n))
                                return false;
                        continue;
                }
                if (is_break(*c)) {
                        y->at--;
                        next_line(y);
                }
                if (!put(y, n, is_break(*c) ? " " : c, 1))
                        return false;
        }
        return fail(y); /* a quote that does not end */
}

/* Would the word end here? */
static bool ends_plain(struct yaml *y)
{
        char c = peek(y);

        if (c == ':' && y->flow && strchr(",?[]{}", at_of(y, y->at + 1)) &&
            y->at + 1 < y->end)
                fail(y); /* a colon in a word */
        return ends_word(c) || y->wrong || stands(y, ':') ||
               (y->flow && strchr(",[]{}", c));
}

/* Words without quotes, over as many lines as are further in than @indent. */
static bool take_plain(struct yaml *y, struct yaml_node *n, int indent)
{
        *n = begin(y, true);
        for (;;) {
                const char *word = y->at;

                if (at_marker(y) || peek(y) == '#')
                        break;
                while (!ends_plain(y))
                        y->at++;
                if (y->wrong)
                        return false;
                if (word == y->at)
                        break;
                if ((n->len && !put(y, n, " ", 1)) || !put(y, n, word, (size_t)(y->at - word)))
                        return false;
                if (!is_blank(peek(y)) && !is_break(peek(y)))
                        break;
                y->fresh = false;
                do {
                        while (is_blank(peek(y))) {
                                if (y->fresh && column(y) < indent && *y->at == '\t')
                                        return fail(y); /* a tab in an indentation */
                                y->at++;
                        }
                } while (next_line(y));
                if (!y->flow && y->fresh && column(y) <= indent)
                        break;
        }
        return true;
}

/* "|2-", and what else may stand on that line. *@deep: the number, 0 for none. */
static bool take_block_head(struct yaml *y, int *deep)
{
        bool chomp = false;

        *deep = 0;
        y->at++;
        for (; y->at < y->end; y->at++) {
                if ((*y->at == '+' || *y->at == '-') && !chomp)
                        chomp = true;
                else if (*y->at >= '1' && *y->at <= '9' && !*deep)
                        *deep = *y->at - '0';
                else
                        break;
        }
        while (is_blank(peek(y)))
                y->at++;
        if (peek(y) == '#')
                while (y->at < y->end && !is_break(*y->at))
                        y->at++;
        return y->at == y->end || next_line(y) || fail(y);
}

/* Over empty lines, to the first one with text at @deep; 0: as deep as the deepest of them. */
static bool enter_block(struct yaml *y, int indent, int *deep)
{
        int deepest = 0;

        do {
                while (peek(y) == ' ' && (!*deep || column(y) < *deep))
                        y->at++;
                if (column(y) > deepest)
                        deepest = column(y);
                if (peek(y) == '\t' && (!*deep || column(y) < *deep))
                        return fail(y); /* a tab in an indentation */
        } while (next_line(y));
        if (!*deep)
                *deep = deepest > indent + 1 ? deepest : indent + 1;
        if (*deep < 1)
                *deep = 1;
        return true;
}

static bool take_block(struct yaml *y, struct yaml_node *n, int indent)
{
        int deep;

        *n = begin(y, false);
        if (!take_block_head(y, &deep))
                return false;
        if (deep && indent > 0)
                deep += indent;
        y->fresh = true;
        if (!enter_block(y, indent, &deep))
                return false;
        while (column(y) == deep && y->at < y->end) {
                const char *line = y->at;

                while (y->at < y->end && !is_break(*y->at))
                        y->at++;
                if (!put(y, n, line, (size_t)(y->at - line)) || !put(y, n, " ", 1))
                        return false;
                next_line(y);
                if (!enter_block(y, indent, &deep))
                        return false;
        }
        return true;
}

/* --- what is not read ------------------------------------------------------------------------- */

/* Anchor or alias: would libyaml take the name? */
static bool has_name(const struct yaml *y)
{
        const char *c = y->at + 1;

        while ((at_of(y, c) >= '0' && *c <= '9') || (at_of(y, c) >= 'A' && *c <= 'Z') ||
               (at_of(y, c) >= 'a' && *c <= 'z') || at_of(y, c) == '_' || at_of(y, c) == '-')
                c++;
        return c > y->at + 1 && (ends_word(at_of(y, c)) || strchr("?:,]}%@`", at_of(y, c)));
}

/* What may not begin a word, or begins more than one. */
static bool refuse_indicator(struct yaml *y)
{
        char c = peek(y);

        if (c == '!')
                return pass(y); /* a tag */
        if (c == '&' && has_name(y)) {
                y->anchors = true;
                return pass(y); /* an anchor */
        }
        if (c == '*' && has_name(y) && y->anchors)
                return pass(y); /* an alias */
        if (stands(y, '?') || (y->flow && c == '?'))
                return pass(y); /* a key that is no scalar */
        if (c == '\0' || strchr(",[]{}#&*|>%@`\t", c) || stands(y, '-') || stands(y, ':') ||
            (y->flow && c == ':')) /* no key at all: none that anybody asks for */
                return fail(y); /* a character that begins nothing */
        return true;
}

static bool take_scalar(struct yaml *y, struct yaml_node *n, int indent)
{
        if (peek(y) == '"' || peek(y) == '\'')
                return take_quoted(y, n);
        return refuse_indicator(y) && take_plain(y, n, indent);
}

/* Behind a scalar: is it a key? The colon is taken then. */
static bool take_colon(struct yaml *y, const char *line, const struct yaml_node *key)
{
        while (line == y->line && is_blank(peek(y)))
                y->at++;
        if (line != y->line || peek(y) != ':' || (!y->flow && !stands(y, ':')))
                return false;
        if (key->len > YAML_KEY_MAX)
                return fail(y); /* a key that is too long */
        y->at++;
        return true;
}

static void become(struct yaml *y, uint32_t i, const struct yaml_node *n)
{
        y->nodes[i].type = n->type;
        y->nodes[i].plain = n->plain;
        y->nodes[i].text = n->text;
        y->nodes[i].len = n->len;
}

static const struct yaml_node nothing = { .type = YAML_SCALAR, .plain = true, .text = "" };

static uint32_t add_member(struct yaml *y, uint32_t map, const struct yaml_node *key)
{
        struct yaml_node n = nothing;

        n.key = key->text;
        n.key_len = key->len;
        y->nodes[map].type = YAML_MAP;
        return add(y, map, n);
}

/* --- in brackets ---------------------------------------------------------------------------------- */

static bool fill_flow(struct yaml *y, uint32_t i);

/* A value, or nothing before a comma or the end. */
static bool fill_flow_value(struct yaml *y, uint32_t i)
{
        skip(y, true);
        if (peek(y) == ',' || peek(y) == '}' || peek(y) == ']')
                return true;
        return fill_flow(y, i);
}

/* One of a mapping's members, or of a list's items, which may be a pair. */
static bool fill_flow_entry(struct yaml *y, uint32_t i, bool map)
{
        const char *line = y->line;
        struct yaml_node n;
        uint32_t at;

        if (peek(y) == '[' || peek(y) == '{') {
                at = add(y, i, nothing);
                if (map)
                        return pass(y); /* a key that is no scalar */
                if (!at || !fill_flow(y, at))
                        return false;
                skip(y, true);
                return peek(y) != ':' || pass(y);
        }
        if (!take_scalar(y, &n, -1))
                return false;
        if (take_colon(y, line, &n)) {
                at = map ? i : add(y, i, nothing);
                if (y->wrong)
                        return false;
                at = add_member(y, at, &n);
                return at && fill_flow_value(y, at);
        }
        at = y->wrong ? 0 : map ? add_member(y, i, &n) : add(y, i, nothing);
        if (at && !map)
                become(y, at, &n);
        return at != 0;
}

static bool fill_list(struct yaml *y, uint32_t i)
{
        bool map = *y->at == '{';
        char close = map ? '}' : ']';

        y->nodes[i].type = map ? YAML_MAP : YAML_LIST;
        y->nodes[i].plain = false;
        for (y->at++;; y->at++) {
                skip(y, true);
                if (at_end(y))
                        return fail(y); /* brackets that do not end */
                if (peek(y) == close)
                        break;
                if (!fill_flow_entry(y, i, map))
                        return false;
                skip(y, true);
                if (peek(y) == close)
                        break;
                if (peek(y) != ',' || at_end(y))
                        return fail(y); /* no comma between brackets */
        }
        y->at++;
        return true;
}

static bool fill_flow(struct yaml *y, uint32_t i)
{
        struct yaml_node n;
        bool good;

        if (at_end(y))
                return fail(y); /* brackets that do not end */
        if (peek(y) != '[' && peek(y) != '{') {
                good = take_scalar(y, &n, -1);
                if (good)
                        become(y, i, &n);
                return good;
        }
        if (y->depth == YAML_DEPTH)
                return pass(y); /* deeper than is read */
        y->depth++;
        y->flow++;
        good = fill_list(y, i);
        y->flow--;
        y->depth--;
        return good;
}

/* --- by columns ------------------------------------------------------------------------------------ */

static bool fill_block(struct yaml *y, uint32_t i, int indent, bool keys);

/* Nothing may stand behind a value on its last line. */
static bool end_value(struct yaml *y)
{
        if (!y->fresh)
                skip(y, true);
        else
                skip(y, false);
        if (at_end(y) || y->fresh)
                return peek(y) != '\t' || fail(y);
        return fail(y); /* more than a value */
}

/* What stands behind a colon or a dash whose column is @at; nothing there is nothing. */
static bool fill_value(struct yaml *y, uint32_t i, int at, bool keys)
{
        y->fresh = false;
        skip(y, !keys);
        if (at_end(y) || (y->fresh && column(y) <= at))
                return true;
        y->nodes[i].plain = false;
        return fill_block(y, i, at, keys || y->fresh) && end_value(y);
}

/* Items whose dashes are in this column; @below: it may be the column of a mapping, too. */
static bool fill_dashes(struct yaml *y, uint32_t i, bool below)
{
        int at = column(y);

        y->nodes[i].type = YAML_LIST;
        y->nodes[i].plain = false;
        while (!at_end(y) && column(y) == at && stands(y, '-')) {
                uint32_t item = add(y, i, nothing);

                y->at++;
                if (!item || !fill_value(y, item, at, true))
                        return false;
                if (!at_end(y) && peek(y) == '\t')
                        return fail(y); /* a tab in an indentation */
        }
        if (at_end(y) || column(y) < at || (below && column(y) == at))
                return true;
        return fail(y); /* an indentation that fits nothing */
}

/* Members whose keys are in column @at; the first key is taken, with its colon. */
static bool fill_members(struct yaml *y, uint32_t i, int at, struct yaml_node key)
{
        y->nodes[i].plain = false;
        for (;;) {
                uint32_t member = add_member(y, i, &key);
                const char *line;

                if (!member || !fill_value(y, member, at, false))
                        return false;
                if (!at_end(y) && y->fresh && column(y) == at && stands(y, '-') &&
                    y->nodes[member].plain && !y->nodes[member].len &&
                    !fill_dashes(y, member, true))
                        return false;
                if (at_end(y) || column(y) < at)
                        return true;
                if (column(y) > at)
                        return fail(y); /* an indentation that fits nothing */
                line = y->line;
                if (!take_scalar(y, &key, at))
                        return false;
                if (!take_colon(y, line, &key))
                        return fail(y); /* a key without a value */
        }
}

/* @indent: the column of what this belongs to. @keys: it may be a list or a mapping. */
static bool fill_node(struct yaml *y, uint32_t i, int indent, bool keys)
{
        const char *line = y->line;
        int at = column(y);
        struct yaml_node n;

        if (stands(y, '-'))
                return keys ? fill_dashes(y, i, false) : fail(y);
        if (peek(y) == '[' || peek(y) == '{') {
                y->fresh = false;
                if (!fill_flow(y, i))
                        return false;
                y->fresh = false;
                return !take_colon(y, line, &nothing) || pass(y);
        }
        if (peek(y) == '|' || peek(y) == '>') {
                if (!take_block(y, &n, indent))
                        return false;
                become(y, i, &n);
                return true;
        }
        y->fresh = false;
        if (!take_scalar(y, &n, indent))
                return false;
        if (keys && take_colon(y, line, &n))
                return fill_members(y, i, at, n);
        if (!n.plain)
                y->fresh = false; /* lines between the quotes */
        become(y, i, &n);
        return !y->wrong;
}

static bool fill_block(struct yaml *y, uint32_t i, int indent, bool keys)
{
        bool good;

        if (y->depth == YAML_DEPTH)
                return pass(y); /* deeper than is read */
        y->depth++;
        good = fill_node(y, i, indent, keys);
        y->depth--;
        return good;
}

/* --- the document ------------------------------------------------------------------------------------ */

/* The characters that YAML knows; line ends of other kinds are for others to read. */
static bool check(struct yaml *y)
{
        const unsigned char *c = (const unsigned char *)y->at,
                            *end = (const unsigned char *)y->end;

        if (utf8_prefix(y->at, (size_t)(y->end - y->at)) != (size_t)(y->end - y->at))
                return fail(y); /* no UTF-8 */
        for (; c < end; c++) {
                if (*c == '\r' && (c + 1 == end || c[1] != '\n'))
                        return pass(y); /* a line's end of another kind */
                if ((*c < 0x20 && *c != '\t' && *c != '\n' && *c != '\r') || *c == 0x7f)
                        return fail(y); /* a control character */
                if (*c == 0xc2 && c[1] < 0xa0)
                        return c[1] == 0x85 ? pass(y)
                                            : fail(y);
                if (*c == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9))
                        return pass(y); /* a line's end of another kind */
                if (*c == 0xef && ((c[1] == 0xbb && c[2] == 0xbf) || (c[1] == 0xbf && c[2] >= 0xbe)))
                        return fail(y); /* a control character */
        }
        return true;
}

static bool take_document(struct yaml *y)
{
        bool keys = true;

        skip(y, false);
        if (peek(y) == '%' && column(y) == 0)
                return pass(y); /* a directive */
        if (at_marker(y) && *y->at == '-') {
                y->at += 3;
                y->fresh = false;
                skip(y, true);
                keys = y->fresh;
        }
        if (!at_end(y) && (!fill_block(y, 0, -1, keys) || !end_value(y)))
                return false;
        if (at_marker(y) && *y->at == '.') {
                y->at += 3;
                skip(y, true);
        }
        return y->at == y->end || fail(y);
}

bool yaml_parse(struct yaml *y, const char *text, size_t len)
{
        static const char mark[] = "\xef\xbb\xbf";

        if (!len)
                text = ""; /* NULL may be what there is none of */
        if (len >= 3 && !memcmp(text, mark, 3)) {
                text += 3;
                len -= 3;
        }
        y->nodes[0] = nothing;
        y->count = 1;
        y->len = 0;
        y->at = y->line = text;
        y->end = text + len;
        y->fresh = y->anchors = y->beyond = false;
        y->depth = y->flow = 0;
        y->wrong = false;
        return check(y) && take_document(y) && !y->wrong;
}

const struct yaml_node *yaml_get(const struct yaml *y, const struct yaml_node *map,
                                 const char *key, bool *twice)
{
        const struct yaml_node *found = NULL;

        for (uint32_t i = map->first; i; i = y->nodes[i].next) {
                const struct yaml_node *n = &y->nodes[i];

                if (n->key_len != strlen(key) || memcmp(n->key, key, n->key_len) != 0)
                        continue;
                *twice |= found != NULL;
                found = found ? found : n;
        }
        return found;
}

bool yaml_is(const struct yaml_node *n, const char *text)
{
        return n->type == YAML_SCALAR && n->len == strlen(text) && !memcmp(n->text, text, n->len);
}

bool yaml_null(const struct yaml_node *n)
{
        return n->plain && (yaml_is(n, "") || yaml_is(n, "~") || yaml_is(n, "null") ||
                            yaml_is(n, "Null") || yaml_is(n, "NULL"));
}
