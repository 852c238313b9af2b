/*
 * agent/uri.h - file: URIs and the paths they mean. Pure.
 *
 * Read as browsers do (WHATWG URL): dot segments fall away before anybody looks at a file
 * system, escapes become bytes, a backslash is a slash.
 */
#ifndef AGENT_URI_H
#define AGENT_URI_H

#include "base/base.h"
#include "base/wr.h"

#define URI_PATH_MAX 4096 /* bytes of a path, its NUL included */
#define URI_ROOM(n) (3 * (n) + 7) /* what uri_put writes at most for a path of n bytes */

enum uri_status {
        URI_OK,
        URI_RELATIVE,  /* no scheme */
        URI_SCHEME,    /* not file */
        URI_AUTHORITY, /* a host that is not this one */
        URI_QUERY,
        URI_FRAGMENT,
        URI_NUL,
        URI_TOO_LONG,
};

/*
 * The path of @text into @path; it begins with '/'. On a failure @path holds what
 * uri_error talks about: the scheme, or the authority.
 */
MUST_USE enum uri_status uri_parse(char path[URI_PATH_MAX], const char *text, size_t len);

/* "unsupported path URI scheme `http`"; @path as the failed uri_parse left it. */
void uri_error(struct wr *w, enum uri_status s, const char *path);

/* "file://" and the path, escaped. */
void uri_put(struct wr *w, const char *path, size_t len);

#endif
