/*
 * netfilter/git.h - which requests are git's, and which refs does a push change? Pure.
 *
 * Git over HTTP has two services: upload-pack (clone, fetch) and receive-pack (push). A
 * client asks GET …/info/refs?service=git-X, then POSTs to …/git-X; a server without them
 * is read file by file (the dumb protocol). git_classify tells these apart, and leans
 * to the dangerous side: whatever a server could take for receive-pack is GIT_WRITE.
 *
 * The body of a push begins with its command list in pkt-lines, before the pack:
 * git_push_next reads it as it arrives, so that a ref may be refused before one byte went on.
 */
#ifndef NETFILTER_GIT_H
#define NETFILTER_GIT_H

#include "base/base.h"

enum git_service {
        GIT_NONE,  /* not one of git's requests: an ordinary one */
        GIT_READ,  /* upload-pack, its info/refs, or the LFS batch request */
        GIT_WRITE, /* receive-pack or its info/refs */
        GIT_ODD,   /* info/refs with a query that servers could read in two ways */
};

/*
 * @path is the normal form that policy_path makes; @query is what stands behind the '?',
 * as it came, without it (len 0: none). A GIT_READ by POST is the POST to
 * …/git-upload-pack or …/info/lfs/objects/batch and nothing else.
 */
enum git_service git_classify(const char *method, size_t method_len, const char *path,
                              size_t path_len, const char *query, size_t query_len);

/* This is the POST whose body git_push_next reads. */
bool git_is_push(const char *method, size_t method_len, const char *path, size_t path_len);

#define GIT_REF_LEN 1000 /* bytes of a ref's name */
#define GIT_LIST_MAX 65536 /* bytes of the whole command list: hold it back until GIT_DONE */

enum git_status {
        GIT_MORE,      /* all bytes used, and the list goes on */
        GIT_UPDATE,    /* one ref update: look at it, then call again with the rest */
        GIT_DONE,      /* the list is over; what follows is push options and the pack */
        GIT_MALFORMED, /* breaks the format */
        GIT_LIMIT,     /* too long a list, line or name */
        GIT_SIGNED,    /* a push certificate: its commands are not read */
};
const char *git_status_str(enum git_status s);

struct git_update {
        char old_id[65], new_id[65]; /* hex, 40 or 64 digits */
        char ref[GIT_REF_LEN + 1];
        bool deletes, creates;       /* new or old is all zeros */
};

struct git_push {
        uint32_t total, line_len, line_want;
        bool ended, caps_seen;
        enum git_status end; /* of the last call */
        char line[GIT_REF_LEN + 1200]; /* one pkt-line: ids, name, capabilities */
};

void git_push_init(struct git_push *g);

/*
 * Reads on. *@used bytes were taken in; *@u is filled on GIT_UPDATE. The body must not be
 * compressed (the caller refuses Content-Encoding). After GIT_DONE and after
 * an error the reader stays as it is. A list without commands is GIT_DONE: git probes so.
 */
MUST_USE enum git_status git_push_next(struct git_push *g, const char *bytes, size_t len,
                                       size_t *used, struct git_update *u);

/*
 * Does the branch pattern allow this ref? A pattern that does not begin with refs/ means
 * a branch (refs/heads/PATTERN); '*' stands for any characters, '/' among them.
 */
bool git_ref_matches(const char *pattern, const char *ref);

#endif
