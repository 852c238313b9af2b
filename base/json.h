/*
 * base/json.h - strict JSON (RFC 8259), as a tree of values that one can walk.
 *
 * jsmn finds the tokens; it also accepts much that is not JSON, so a grammar check
 * runs first and jsmn only ever sees valid text. What json_open accepts is UTF-8, at
 * most JSON_DEPTH deep, at most JSON_VALUES tokens, and no object has a key twice
 * (as unescaped: "a" is "\u0061") or more than JSON_KEYS keys.
 *
 * A value is an index: 0 is the whole text, and "none" where a sibling or child is
 * asked for. The text stays the caller's and must outlive the tree; json_close gives
 * the tree's one mapping back.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/base.h"

#define JSON_DEPTH 32
#define JSON_VALUES 65536
#define JSON_KEYS 1024

enum json_type {
        JSON_NULL,
        JSON_BOOL,
        JSON_NUMBER,
        JSON_STRING,
        JSON_ARRAY,
        JSON_OBJECT,
};

struct json_token {
        uint32_t start, end; /* bytes of the text; a string's without its quotes */
        uint32_t size;       /* items of an array, keys of an object */
        uint32_t next;       /* sibling (after a key: the next key), 0: none */
        uint32_t last;       /* last child, 0: none */
        enum json_type type;
};

struct json {
        const char *text;
        struct json_token *tokens;
        size_t count;
};

/* Where the text breaks the rules: a byte offset, the length of the text at most. */
struct json_error {
        size_t at;
        const char *what; /* "expected a comma or a closing brace" */
};

/* 0; -EINVAL and *@error is filled; -ENOMEM. On failure @j is zero. */
MUST_USE int json_open(struct json *j, const char *text, size_t len,
                       struct json_error *error);
void json_close(struct json *j);

/* First key of an object or item of an array; 0: empty. */
uint32_t json_first(const struct json *j, uint32_t v);
uint32_t json_next(const struct json *j, uint32_t v);
/* The value that belongs to a key. */
uint32_t json_value(uint32_t key);
/*
 * The value of @key, 0: @object has none, or is no object. The key is compared as it is
 * written: one with escapes in it is not found.
 */
uint32_t json_find(const struct json *j, uint32_t object, const char *key);

/* "a string": for messages. */
const char *json_type_str(enum json_type type);

/* Offset of the value's first byte, a string's opening quote included. */
size_t json_at(const struct json *j, uint32_t v);

/*
 * The string unescaped, with a NUL behind it, into @out of at least end - start + 1
 * bytes. Returns its length; it may hold NUL bytes of its own.
 */
size_t json_string(const struct json *j, uint32_t v, char *out);

/* A number that is an integer of digits alone, at most @max. False: it is not. */
MUST_USE bool json_u32(const struct json *j, uint32_t v, uint32_t max, uint32_t *n);

bool json_true(const struct json *j, uint32_t v);

/* Line and column (both from 1, columns count bytes) of the byte at offset @at. */
void json_position(const char *text, size_t at, unsigned *line, unsigned *column);

#endif
