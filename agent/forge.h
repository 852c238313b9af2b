/*
 * agent/forge.h - a forge's pull requests, as JSON: what is asked, and what was answered. Pure.
 *
 * GitHub and Gitea (Forgejo too) have the same requests, where only these are used:
 *
 *   GET   API/pulls?state=open&head=OWNER:BRANCH&base=BASE&page=N   a list
 *   POST  API/pulls      {title, head, base, body}                  one pull request
 *   PATCH API/pulls/N    {title, body}                              the same
 *
 * GitHub's list holds what the query names and nothing else; Gitea's holds all that are open,
 * page by page, so the list is searched here. What is answered comes from the network, and what
 * the body says comes from the agent: neither is believed.
 */
#ifndef AGENT_FORGE_H
#define AGENT_FORGE_H

#include "agent/buf.h"

#define FORGE_TEXT 512         /* bytes of a URL or a message, with its NUL */
#define FORGE_BODY 60000       /* bytes of a body: GitHub takes 65,536 characters */
#define FORGE_ANSWER (8U << 20) /* bytes of an answer: what is longer is not read */
#define FORGE_PAGE 50          /* pull requests of one page */

struct forge_pull {
        uint32_t number;
        char url[FORGE_TEXT]; /* http[s], printable ASCII; "": none was told */
        char state[8];        /* open or closed */
};

/* What a pull request is made of. */
struct forge_wish {
        const char *title, *branch, *base;
        const char *owner; /* of OWNER/NAME, where the branch is */
        size_t owner_len;
        const char *name;  /* OWNER/NAME */
        size_t name_len;
        bool gitea, draft;
        const char *answer; /* what the agent said */
        size_t answer_len;
        size_t answer_all;  /* how long it was; more than answer_len: it is cut */
        const char *start, *commit, *link; /* link: NULL without one */
};

/* The query behind API/pulls, for page @page (from 1). */
void forge_put_query(struct buf *out, const struct forge_wish *w, unsigned page);

/* The bodies of POST (@create) and PATCH. */
void forge_put_request(struct buf *out, const struct forge_wish *w, bool create);

/*
 * The text for people: the answer, with what would ping others or hide from readers made
 * harmless, cut at FORGE_BODY; and the trailer. Well-formed UTF-8, no control byte but \n and \t.
 */
void forge_put_text(struct buf *out, const struct forge_wish *w);

enum forge_status {
        FORGE_OK,
        FORGE_NONE_SUCH, /* a list without it */
        FORGE_MORE,      /* the same, and it was a whole page */
        FORGE_GARBAGE,   /* not JSON, or not what was asked for */
};

/* The pull request in the answer to POST or PATCH. */
MUST_USE enum forge_status forge_read(struct forge_pull *p, const char *json, size_t len);

/* Ours in a list: open, from that branch of that repository, into that base. */
MUST_USE enum forge_status forge_find(struct forge_pull *p, const struct forge_wish *w,
                                      const char *json, size_t len);

/* One printable line of what an error says, or "". */
void forge_message(char out[static FORGE_TEXT], const char *json, size_t len);

#endif
