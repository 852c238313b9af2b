/*
 * agent/truncate.h - what a tool says to the model: cleaned, cut in the middle, framed. Pure.
 *
 * A model pays for each token and has a window, so what a command printed is cut to a
 * budget: its first and its last half stay, and the middle is a note of how much is gone.
 * The exact bytes are those that models have seen in training.
 */
#ifndef AGENT_TRUNCATE_H
#define AGENT_TRUNCATE_H

#include "agent/buf.h"

#define TRUNCATE_TOKENS_DEFAULT 10000U
#define TOKEN_BYTES 4U /* a token is taken for four bytes */

enum truncate_unit { TRUNCATE_TOKENS, TRUNCATE_BYTES };

struct truncate_budget {
        enum truncate_unit unit;
        size_t n;
};

/*
 * @bytes as UTF-8, added to @out: what is none becomes U+FFFD, once for each longest piece
 * that begins a character and does not end it. The functions below want such text.
 */
void text_clean(struct buf *out, const char *bytes, size_t len);

size_t text_tokens(size_t bytes);                 /* rounded up */
size_t text_lines(const char *text, size_t len);  /* the last one needs no newline */

/* The text, or its halves with "…N tokens truncated…" between them. True: it was cut. */
bool truncate_text(struct buf *out, const char *text, size_t len, struct truncate_budget budget);

/* The same; and when it was cut, two lines before it with the size that it had. */
bool truncate_output(struct buf *out, const char *text, size_t len,
                     struct truncate_budget budget);

/* --- the frames around it ----------------------------------------------------------- */

/* The answer to exec_command and write_stdin. */
struct exec_answer {
        uint32_t chunk;     /* any number: the six hex digits are its lower 24 bits */
        uint64_t wall_ms;   /* waited in this call */
        bool exited;
        int exit_code;      /* if it has */
        int session;        /* if it has not: the id for write_stdin */
        const char *output; /* cleaned */
        size_t len;
        uint64_t omitted;   /* bytes that its buffer did not keep (agent/shells.h) */
        struct truncate_budget budget;
};
void put_exec_answer(struct buf *out, const struct exec_answer *a);

/* The answer to shell. */
struct shell_answer {
        uint64_t wall_ms;
        int exit_code;
        uint64_t timeout_ms; /* above 0: it was ended after that time; exit code 124 is told */
        const char *output;  /* cleaned */
        size_t len;
        struct truncate_budget budget;
};
void put_shell_answer(struct buf *out, const struct shell_answer *a);

#endif
