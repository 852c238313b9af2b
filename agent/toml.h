/*
 * agent/toml.h - TOML 1.0, as a tree that can be cut down and written again. Pure.
 *
 * The text is untrusted: everything it can make is bounded here. Leaves keep the bytes they
 * were written with, so what comes out means what came in; only tables are written anew, as
 * headers. A number or a date is looked at closely enough to know that it is one, not whether
 * its month exists.
 */
#ifndef AGENT_TOML_H
#define AGENT_TOML_H

#include "agent/buf.h"
#include "base/base.h"

#define TOML_DEPTH 32          /* of tables in tables, of arrays in arrays */
#define TOML_NODES 16384
#define TOML_TEXT_MAX (1U << 20)
#define TOML_PATHS 64
#define TOML_KEYS 32           /* of one path */

enum toml_type {
        TOML_TABLE,
        TOML_TABLES, /* an array of tables, by [[headers]]: its children have no keys */
        TOML_LEAF,   /* a string, a number, an array, … */
};

/* Who made a table: decides who may add to it. */
enum toml_origin { TOML_IMPLIED, TOML_HEADER, TOML_DOTS, TOML_INLINE };

struct toml_node {
        enum toml_type type;
        enum toml_origin origin;
        unsigned depth;
        const char *key; /* decoded */
        size_t key_len;
        const char *text; /* TOML_LEAF: the value as it was written */
        size_t text_len;
        uint32_t next, first, last; /* 0: none */
};

struct scan {
        const char *at, *end;
        unsigned nested;   /* arrays */
        const char *wrong; /* "a key that was there before"; NULL: nothing */
};

struct toml {
        struct toml_node nodes[TOML_NODES]; /* [0] is the document */
        uint32_t count;
        char keys[TOML_TEXT_MAX];
        size_t keys_len;
        const char *text;
        struct scan s;
};

/* Keys, as bytes, from the document inwards. */
struct toml_path {
        const char *keys[TOML_KEYS];
        size_t lens[TOML_KEYS];
        unsigned count;
};

/* False: t->s.wrong says what, toml_line where. @t points into @text from then on. */
MUST_USE bool toml_parse(struct toml *t, const char *text, size_t len);
size_t toml_line(const struct toml *t);

/* The member of a table; NULL: none. */
const struct toml_node *toml_get(const struct toml *t, const struct toml_node *table,
                                 const char *key, size_t len);

/* The bytes of a leaf that is a string of one line, into @out of its text_len bytes. */
MUST_USE bool toml_string(const struct toml_node *leaf, char *out, size_t *len);

/*
 * Over an array of such strings. i->wrong: it is none, or not only of them; that is known when
 * there is no next one.
 */
struct toml_strings {
        struct scan s;
        bool wrong, begun;
};
struct toml_strings toml_strings(const struct toml_node *leaf);
bool toml_strings_next(struct toml_strings *i, char *out, size_t *len);

/* The document without that member. */
void toml_forget(struct toml *t, const char *key);

/*
 * The part of the document that the paths select, as a document. A value that is no table
 * stands for all that a path looks for below it. False: nothing is selected.
 */
bool toml_project(const struct toml *t, const struct toml_path *paths, size_t count,
                  struct buf *out);

#endif
