/*
 * agent/value.h - JSON where it lies: checked once, then walked as slices. Pure.
 *
 * base/json makes a tree, which is right for a file that an operator wrote. Here a message
 * may be one base64 string of 60 MiB, and ten thousand small ones may come in a second: so
 * value_parse checks the whole text (RFC 8259, UTF-8, at most VALUE_DEPTH deep) without
 * memory of its own, and the rest finds its way in text that is known to be right.
 *
 * Of two members with the same key the first one counts.
 */
#ifndef AGENT_VALUE_H
#define AGENT_VALUE_H

#include "base/base.h"

#define VALUE_DEPTH 128

enum value_type {
        VALUE_ABSENT, /* no such member */
        VALUE_NULL,
        VALUE_BOOL,
        VALUE_NUMBER,
        VALUE_STRING,
        VALUE_ARRAY,
        VALUE_OBJECT,
};
const char *value_type_str(enum value_type t); /* "string" */

struct value {
        enum value_type type;
        const char *at; /* a string's first byte behind the quote; else the first byte */
        size_t len;     /* without the quotes */
        /*
         * The longest string of the text without an escape, all of it ASCII: nobody walks it
         * a second time to find its end. Both NULL in a value made by hand: nothing is known.
         */
        const char *plain_at, *plain_end;
};

struct value_error {
        size_t at;
        const char *what; /* "expected a comma" */
};

/* False: *@e says where the text is no JSON. */
MUST_USE bool value_parse(struct value *v, const char *text, size_t len, struct value_error *e);

/* The member of an object; VALUE_ABSENT when there is none or @v is no object. */
struct value value_get(const struct value *v, const char *key);

/* Those of @count keys in one pass: a message may hold 60 MiB beside them. */
void value_members(const struct value *v, const char *const keys[], struct value members[],
                   size_t count);

struct value_iter {
        const char *at, *end;
        const char *plain_at, *plain_end; /* the value's */
        bool object;
};
/* Over the items of an array, or the members of an object (then *@key too, may be NULL). */
struct value_iter value_items(const struct value *v);
bool value_next(struct value_iter *i, struct value *key, struct value *item);
size_t value_count(const struct value *v);

/* The string unescaped into @out of v->len bytes, which may be v->at itself. Its length. */
size_t value_string(const struct value *v, char *out);
bool value_is(const struct value *v, const char *text); /* a string that reads so */
bool value_true(const struct value *v);

/* Integers without fraction or exponent, in range; false: it is not one. */
MUST_USE bool value_u64(const struct value *v, uint64_t *n);
MUST_USE bool value_i64(const struct value *v, int64_t *n);

#endif
