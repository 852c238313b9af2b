/*
 * secrets/vars.h - what a sealed file holds: names and values, as JSON or dotenv. Pure.
 *
 * JSON: one object whose values are all strings. Dotenv: lines NAME=value; empty lines and
 * lines that start with # are skipped, a leading `export ` is allowed. A value in single
 * quotes stands as it is, one in double quotes knows \n \r \t \" \\ \$ \`; both may span
 * lines, and only blanks or a comment follow the closing quote. Without quotes the value
 * is the rest of the line, less blanks at its end. Nothing is expanded.
 *
 * Whoever knows the recipient can seal a file, so names are not trusted: variables that
 * make programs load or run something, or that airlock sets itself, are refused.
 */
#ifndef SECRETS_VARS_H
#define SECRETS_VARS_H

#include "base/base.h"

#define VARS_MAX 1024
#define VARS_TEXT (256 * 1024)
#define VARS_NAME_MAX 255

struct var {
        uint32_t at;        /* of NAME=VALUE NUL in vars.text */
        uint32_t name_len, value_len;
};

struct vars {
        struct var list[VARS_MAX];
        size_t count;
        char *text;         /* the caller's */
        size_t len, cap;
        size_t error_at;    /* on failure: a byte of the source, or its length */
};

enum vars_status {
        VARS_OK,
        VARS_SYNTAX,   /* neither a JSON object of strings nor dotenv */
        VARS_STRING,   /* a JSON value that is no string */
        VARS_QUOTE,    /* a quote that is not closed, or followed by text */
        VARS_NAME,     /* not [A-Za-z_][A-Za-z0-9_]*, or too long */
        VARS_REFUSED,  /* a name that would run something */
        VARS_TWICE,    /* a name for the second time */
        VARS_NUL,      /* a value with a zero byte */
        VARS_FULL,     /* more names or text than fit */
};

const char *vars_status_str(enum vars_status s);

/*
 * Reads @source into NAME=VALUE NUL … in @text of at least @len + 1 bytes. The last entry
 * of the list may be half of one on failure; its name (vars_name) says whom it was about
 * where there was a name yet.
 */
MUST_USE enum vars_status vars_parse(struct vars *v, const void *source, size_t len, char *text,
                                     size_t cap);

/* Is this a name that no secret may have? */
bool vars_name_refused(const char *name, size_t len);

/* The entry's name (not NUL-terminated) and value (NUL-terminated). */
const char *vars_name(const struct vars *v, const struct var *e);
const char *vars_value(const struct vars *v, const struct var *e);

/* The entry of that name, or NULL. */
const struct var *vars_find(const struct vars *v, const char *name, size_t len);

/* Line, from 1, of the byte at @at. */
unsigned vars_line(const void *source, size_t at);

#endif
