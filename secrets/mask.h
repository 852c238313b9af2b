/*
 * secrets/mask.h - replaces secrets in a stream by `***`, wherever writes split them.
 *
 * Where several needles (secrets/needle.h) start at one place the longest wins; masks with
 * nothing between them are one. The output is never longer than the input. Only what may
 * still grow into a match is held back, so ordinary output is not delayed.
 *
 * When the stream falls quiet (a prompt, a dot per second) the caller says so with
 * masker_quiet(): fewer than MASK_SURE held bytes are shown, and should they turn out to
 * begin a secret then its rest is masked; more are kept until the stream goes on or ends.
 * At the end, as many as MASK_SURE bytes that begin a secret are masked too.
 *
 * Pure. The buffer lies in the struct: it holds parts of secrets (the arena; masker_wipe).
 */
#ifndef SECRETS_MASK_H
#define SECRETS_MASK_H

#include "secrets/search.h"

#define MASK_SURE 16

struct masker {
        const struct search *search;
        size_t len;      /* bytes held */
        size_t shown;    /* of these, the first ones were given out already */
        bool masked;     /* the last that was given out is a mask */
        uint16_t expect; /* the piece that would go on behind that mask */
        uint8_t buf[4 * NEEDLE_TEXT_MAX];
};

void masker_init(struct masker *m, const struct search *s);

/*
 * Takes @len bytes and writes what is certain to @out of at least @len + MASK_OUT_EXTRA
 * bytes. Returns how many.
 */
#define MASK_OUT_EXTRA (4 * NEEDLE_TEXT_MAX)
size_t masker_put(struct masker *m, const void *bytes, size_t len, void *out);

/* Nothing came for a while. @out as above with @len 0. */
size_t masker_quiet(struct masker *m, void *out);

/* Nothing comes any more: everything that is held, masked where it must be. */
size_t masker_end(struct masker *m, void *out);

void masker_wipe(struct masker *m);

#endif
