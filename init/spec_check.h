/*
 * init/spec_check.h - is this string a ref, a host, an absolute path, …? Pure.
 */
#ifndef INIT_SPEC_CHECK_H
#define INIT_SPEC_CHECK_H

#include "base/base.h"

enum spec_rule_of {
        OF_TEXT, /* anything, newlines too; nothing holds a NUL */
        OF_LINE, /* no control bytes, not empty */
        OF_URL,  /* what git clone takes, less what runs commands */
        OF_REF,
        OF_PATH, /* absolute and normalised */
        OF_NAME, /* an environment variable's */
        OF_HOST,
        OF_METHOD,
        OF_SHA256,
        OF_USER,
        OF_VERSION,
        OF_HTTP,
        OF_SERVER, /* where an exec-server waits */
        OF_TOKEN,      /* the name of an HTTP header */
        OF_REFERENCES, /* a line with ${NAME} in it */
};

/* NULL, or what was expected: "an absolute path without . or .. parts". */
const char *spec_check(enum spec_rule_of of, const char *s);

#define SERVER_PATH_MAX 107 /* bytes of a socket's path: sun_path less its NUL */

/* An OF_SERVER string that no other machine can reach. */
bool spec_is_private(const char *server);

/* strstr(3) for short parts of one or two bytes: libc's is a kilobyte of PID 1. */
const char *text_find(const char *text, const char *part);

#endif
