/*
 * init/spec_read.h - what the files of the spec reader share; nobody else includes it.
 *
 * spec_keys.c has the tables, spec.c the reader, spec_narrow.c what a repository adds.
 */
#ifndef INIT_SPEC_READ_H
#define INIT_SPEC_READ_H

#include "init/spec.h"
#include "init/spec_check.h"

enum kind { K_STRING, K_LIST, K_U32, K_BOOL, K_WORD, K_OBJECT, K_PAIRS, K_RULES, K_PORTS,
            K_PLACES };

enum object {
        O_TOP, O_REPO, O_RUNTIMES, O_SECRETS, O_SETUP, O_MAINTENANCE, O_CACHE, O_NETWORK,
        O_AGENT, O_MODEL, O_OUTPUT, O_PULL, O_RULE, O_INJECT, O_PLACES, O_PLACE,
        O_OWN, O_OWN_SETUP, O_OWN_NETWORK, /* of a repository's own file */
        O_COUNT,
};

enum words { W_FAILURE, W_LEAK, W_NET, W_PRESET, W_LOCK, W_WIRE, W_GIT, W_FORGE };

/* Names are arrays and not pointers: a static-pie pays 24 bytes for each pointer. */
struct key {
        char name[24];
        uint8_t kind;
        uint8_t of;        /* the string's rule, the words, or the object */
        uint16_t at;       /* where it goes in struct spec, spec_rule or spec_environment */
        uint16_t given;    /* a bool that becomes true; 0: none */
        uint32_t min, max; /* of a number */
};

/* The keys of an object, at most KEYS_MAX; a name is the key's index, or *@count. */
#define KEYS_MAX 16
const struct key *spec_keys(enum object o, size_t *count);
size_t spec_key_index(enum object o, const char *name);
/* The key whose name is at most two edits away; NULL: none is. */
const char *spec_key_nearest(enum object o, const char *name);

/* "fail|continue", in the order of the enums of spec.h; an empty word is no word. */
const char *spec_words(enum words list);

/* In object @o, @key (empty: the object itself) is nothing without @needs. */
struct need {
        uint8_t object;
        char key[14], needs[15];
};
const struct need *spec_needs(size_t *count);

/* The first bytes of a mapping; a merge chains the repository's behind the operator's. */
struct spec_arena {
        struct spec_arena *older;
        size_t size, used;
};

/* NULL: it is full. */
void *spec_arena_take(struct spec_arena *a, size_t size, size_t align);

/* What spec_model.c and spec_pull.c make: in the arena, NULL where there is no room. */
const char *spec_copy(struct spec *s, const char *text, size_t len);
/* So many more rules behind those that there are: the first of them. */
struct spec_rule *spec_add_rules(struct spec *s, enum spec_way way, size_t n);

struct spec_line {
        struct spec *spec;
        const char **at; /* room for all of it, and a NULL */
        size_t n;
};
void spec_option(struct spec_line *w, const char *name, const char *value); /* not for NULL */
void spec_number(struct spec_line *w, const char *name, unsigned value);    /* not for 0 */

/*
 * Reads @json as object @o into @spec, which holds the defaults; @operator is the
 * operator's spec when this is a repository's, else NULL. The same returns as spec_open.
 */
MUST_USE int spec_read(struct spec *spec, enum object o, const struct spec *operator,
                       const char *json, size_t len, struct spec_error *error);

#endif
