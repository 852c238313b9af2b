/*
 * netfilter/inject.h - a secret that the agent can use and not read. Pure.
 *
 * A rule says `inject=HEADER value=TEMPLATE`. The agent holds a placeholder for each
 * secret: same length, same kind of character in each place, different in each task. In a
 * request that the rule lets through, HEADER
 *
 *   - keeps the client's form where the client put the placeholder there, with the
 *     placeholder replaced (in the credentials of `Basic` as well),
 *   - is what the template says otherwise; what the client sent is dropped.
 *
 * HEADER `*` replaces placeholders in any header and adds none. A placeholder in the head
 * of a request whose rule does not name its secret, or in another header, is refused.
 * In the response the value is masked: the placeholder stands where the secret was, which
 * has the same length, so that no framing changes.
 *
 * What an earlier task's setup wrote into files and a cache brought back has that task's
 * placeholder, the secret's alias: it is replaced and refused like the placeholder, and stands
 * in no response. Its length may be another: the secret may have changed since.
 *
 * Templates are text with `${NAME}`, and `${base64:TEXT:NAME}` for the base64 of TEXT, a
 * colon and the value: `Basic ${base64:x-access-token:GITHUB_TOKEN}`.
 *
 * The proxy owns the one struct inject; every secret in it dies in inject_wipe.
 */
#ifndef NETFILTER_INJECT_H
#define NETFILTER_INJECT_H

#include "base/base.h"
#include "base/wr.h"

#define INJECT_SECRETS 64
#define INJECT_TEXT (64 * 1024)
#define INJECT_VALUE_MIN 8    /* bytes: shorter ones can't be told from ordinary text */
#define INJECT_VALUE_MAX 1024
#define INJECT_HEADER_MAX 2048 /* bytes of a header's value with the secret in it */

/*
 * A stream in which some texts are masked, in pieces of any size. It holds back what may
 * become one of them, and nothing more: at most the longest text less a byte.
 */
#define MASKS 8
struct mask {
        struct mask_text {
                uint8_t text[INJECT_HEADER_MAX], with[INJECT_HEADER_MAX];
                uint16_t back[INJECT_HEADER_MAX]; /* how much is still right if the next is not */
                size_t len, at;
        } texts[MASKS];
        size_t count;
        bool starts[256]; /* one of them begins with this byte */
        uint8_t held[2 * INJECT_HEADER_MAX];
        size_t held_at, held_len;
};

void mask_init(struct mask *m);

/* From now on @text is replaced by @with, which is as long. False: no room for it. */
MUST_USE bool mask_add(struct mask *m, const void *text, const void *with, size_t len);

/*
 * Reads from @in and writes to @out, as much as both allow; *@used bytes were read.
 * Returns the bytes written. @cap of at least 2 * INJECT_HEADER_MAX always makes progress.
 */
size_t mask_run(struct mask *m, const void *in, size_t len, size_t *used, void *out, size_t cap);

/* The stream is over: what was held back, at most @cap bytes; call until it gives 0. */
size_t mask_end(struct mask *m, void *out, size_t cap);

/* Masks a whole text in place, apart from any stream. */
void mask_whole(const struct mask *m, void *text, size_t len);

void mask_wipe(struct mask *m);

enum inject_status {
        INJECT_OK,
        INJECT_TEMPLATE, /* the template is malformed */
        INJECT_MISSING,  /* it names a secret that we were not given */
        INJECT_UNFIT,    /* the value is too short, too long or not printable ASCII */
        INJECT_LARGE,    /* the result, or the list of secrets, is too large */
        INJECT_FOREIGN,  /* a placeholder where its secret may not go */
};
const char *inject_status_str(enum inject_status s);

struct inject_secret {
        const char *name, *value, *placeholder; /* in inject.text, each with a NUL */
        size_t len;                             /* of value and placeholder */
        const char *alias;                      /* there too; NULL: none */
        size_t alias_len;
        bool fit;                               /* it may go into a header */
};

struct inject {
        uint8_t key[32]; /* of this task's placeholders */
        struct inject_secret secrets[INJECT_SECRETS];
        size_t count;
        char text[INJECT_TEXT];
        size_t text_len;
};

/* No secrets; @key is random. */
void inject_init(struct inject *i, const uint8_t key[static 32]);

/*
 * Takes `NAME=VALUE` NUL `NAME=VALUE` NUL …, in place of what it had. White space at the
 * end of a value goes. INJECT_OK, or INJECT_LARGE with none kept.
 */
MUST_USE enum inject_status inject_load(struct inject *i, const char *list, size_t len);

/*
 * Takes `NAME=ALIAS` NUL … for the secrets that are loaded, in place of what they had. A name
 * that is not among them is passed over, and so is an alias that no placeholder can be.
 * INJECT_LARGE: there was no room for the rest.
 */
MUST_USE enum inject_status inject_load_aliases(struct inject *i, const char *list, size_t len);

/* `NAME=PLACEHOLDER` NUL … for those that fit: what the agent's environment may hold. */
void inject_put_placeholders(const struct inject *i, struct wr *w);

/*
 * Writes the placeholder of @value: letters for letters of the same case, digits for
 * digits, other characters as they are; well-known public prefixes (ghp_ and the like)
 * stay. @out has @len bytes and a NUL.
 */
void inject_placeholder(const uint8_t key[static 32], const char *value, size_t len, char *out);

/* The template names the secret. */
bool inject_names(const char *template, const struct inject_secret *s);

/* What the template says, with the secrets, or (@placeholders) with their placeholders. */
MUST_USE enum inject_status inject_render(const struct inject *i, const char *template,
                                          bool placeholders, struct wr *w);

/*
 * Are there placeholders in @text, raw or in the credentials of `Basic`, of secrets that
 * @template does not name? NULL: no secret is named.
 */
bool inject_foreign(const struct inject *i, const char *template, const char *text, size_t len);

/*
 * The same for those that it does name: replaces them, and adds to @m what `Basic` made of
 * them. Returns how many there were.
 */
size_t inject_replace(const struct inject *i, const char *template, const char *text,
                      size_t len, struct wr *w, struct mask *m);

/* Adds the secrets that the template names to @m, as they are and as it writes them. */
MUST_USE bool inject_mask(const struct inject *i, const char *template, struct mask *m);

void inject_wipe(struct inject *i);

#endif
