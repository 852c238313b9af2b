/*
 * agent/yaml.h - the part of YAML 1.1 that people write at the head of a skill, as a tree. Pure.
 *
 * Mappings, sequences, scalars of all five styles, one document. The text is untrusted:
 * everything it can make is bounded here. White space in a scalar is not kept as it was: the
 * end of a line is one space, whatever the style says, for whoever reads a skill takes words.
 *
 * Anchors, aliases, tags, directives and keys that are no scalars are well-formed and not
 * read: y->beyond tells such a text from one that is wrong. Neither guesses.
 */
#ifndef AGENT_YAML_H
#define AGENT_YAML_H

#include "base/base.h"

#define YAML_DEPTH 64
#define YAML_NODES 8192
#define YAML_TEXT_MAX (1U << 20) /* of all scalars together */
#define YAML_KEY_MAX 1024

enum yaml_type { YAML_SCALAR, YAML_MAP, YAML_LIST };

struct yaml_node {
        enum yaml_type type;
        bool plain; /* a scalar without quotes: may be a number, a truth, nothing at all */
        const char *text;
        size_t len;
        const char *key; /* of a mapping's member */
        size_t key_len;
        uint32_t next, first, last; /* 0: none */
};

struct yaml {
        struct yaml_node nodes[YAML_NODES]; /* [0] is the document */
        uint32_t count;
        char bytes[YAML_TEXT_MAX];
        size_t len;
        const char *at, *end, *line; /* the line that @at is in */
        bool fresh;     /* a line began since the last word */
        bool anchors;   /* one was seen */
        unsigned depth, flow;
        bool wrong;
        bool beyond;    /* it is right, as far as it was read, but not for this reader */
};

/* @y holds copies: the text is not needed any more. */
MUST_USE bool yaml_parse(struct yaml *y, const char *text, size_t len);

/* The member of a mapping; NULL: none. *@twice is set when there are two. */
const struct yaml_node *yaml_get(const struct yaml *y, const struct yaml_node *map,
                                 const char *key, bool *twice);

bool yaml_null(const struct yaml_node *n); /* nothing, ~, null */
bool yaml_is(const struct yaml_node *n, const char *text);

#endif
