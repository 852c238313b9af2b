/*
 * agent/grant.h - a sandbox object, as a list of paths and what may be done below. Pure.
 *
 * The most specific entry decides; of two for the same path the narrower one. What no entry
 * holds may not be touched.
 */
#ifndef AGENT_GRANT_H
#define AGENT_GRANT_H

#include "agent/value.h"
#include "base/base.h"
#include "base/wr.h"

#define GRANTS_MAX 128
#define GRANTS_TEXT 32768 /* bytes of all paths */

enum access { ACCESS_NONE, ACCESS_READ, ACCESS_WRITE };

struct grant {
        const char *path; /* absolute, no dot segments, no slash at its end but for "/" */
        enum access access;
        bool skip_missing; /* what is not there needs no protection */
};

struct grants {
        bool everything; /* no limits on files */
        bool network;
        unsigned count;
        struct grant list[GRANTS_MAX];
        char text[GRANTS_TEXT];
};

/* What the object takes from its surroundings. */
struct grant_places {
        const char *tmpdir; /* $TMPDIR, or NULL */
};

/* False: *@why says what is wrong or can't be understood, and so can't be enforced. */
MUST_USE bool grants_parse(struct grants *g, const struct value *sandbox,
                           const struct grant_places *places, struct wr *why);

/* What may be done to @path, a real path without symlinks. */
enum access grants_access(const struct grants *g, const char *path);

/* May something below @path be less than @path itself is? Then a tree can't be judged whole. */
bool grants_narrower_below(const struct grants *g, const char *path);

#endif
