/*
 * secrets/keysource.h - how the key to a sealed file comes in.
 *
 * A key is the text of an age identity file, or the 16 bytes (or 32 hexadecimal digits) of
 * a file key. It is read straight into the caller's buffer, which lies in an arena; no copy
 * is made. Where it lay is emptied: a FIFO or socket is unlinked, a file overwritten and
 * unlinked, a variable overwritten in our own environment (PID 1 does the same with
 * environ_wipe in its).
 * Never from an argument: those everybody sees.
 *
 * Operations: nothing here logs. The prompt on a terminal is the one thing written.
 */
#ifndef SECRETS_KEYSOURCE_H
#define SECRETS_KEYSOURCE_H

#include "base/base.h"

#define KEY_MAX (16UL * 1024)      /* of identity text, comments included */
#define KEY_PATH "/airlock/key"   /* a FIFO, a socket or a file: looked at by key_source_find */
#define KEY_FD_ENV "AIRLOCK_KEY_FD" /* the number of an inherited descriptor */

/* The best first. */
enum key_from {
        KEY_FROM_STDIN,  /* a pipe, or a terminal whose echo can be turned off */
        KEY_FROM_FIFO,   /* in a directory that is mounted from outside */
        KEY_FROM_FD,     /* an inherited descriptor, 3 or higher */
        KEY_FROM_SOCKET, /* a unix socket that says the key to who connects first */
        KEY_FROM_FILE,   /* in a writable tmpfs directory */
        KEY_FROM_ENV,    /* warn: engines keep it, and hand it to every exec */
        KEY_FROM_COUNT,
};

struct key_source {
        enum key_from from;
        int fd;           /* KEY_FROM_STDIN and KEY_FROM_FD */
        const char *name; /* a path, or a variable's name */
};

/* "stdin" or as an operator would say it, for messages: "the FIFO". */
const char *key_from_str(enum key_from from);

/*
 * Reads `stdin` (or `-`), `fifo:PATH`, `fd:N`, `unix:PATH`, `file:PATH` or `env:NAME`; @out
 * points into @text. False for anything else, and so for a key itself.
 */
MUST_USE bool key_source_parse(const char *text, struct key_source *out);

/*
 * The first source that is there, at or after @first in the order above: stdin unless it is
 * /dev/null and the like, what stands at KEY_PATH, KEY_FD_ENV, ENVIRON_KEY. False: none.
 */
MUST_USE bool key_source_find(enum key_from first, struct key_source *out);

enum key_status {
        KEY_OK,
        KEY_NONE,    /* the source is empty */
        KEY_LATE,    /* nothing, or not all, until the deadline */
        KEY_LONG,    /* more than fits: no key */
        KEY_REMAINS, /* it would stay readable where it lies; nothing was read */
        KEY_ECHO,    /* a terminal that would show and keep it */
        KEY_WRONG,   /* what stands at the path is of another kind */
        KEY_SYSTEM,  /* key.error */
};

const char *key_status_str(enum key_status s);

struct key {
        size_t len;
        bool file_key; /* too short for an identity: a file key or nothing */
        bool remains;  /* whoever may read the source can read it again */
        bool on_disk;  /* it lay in a file system that may keep its blocks */
        int error;     /* a positive errno */
};

/*
 * Reads from @s into @buf within @ms (-1: for ever): all up to the end, or up to a
 * complete key's line from whoever keeps the channel open. An inherited descriptor is
 * closed; stdin is not. @leftover_ok: a file that can't be overwritten will do. @buf is
 * wiped unless KEY_OK.
 */
MUST_USE enum key_status key_read(struct key *k, const struct key_source *s, void *buf,
                                  size_t cap, int ms, bool leftover_ok);

#endif
