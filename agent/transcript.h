/*
 * agent/transcript.h - a conversation in a file: one line about it, then an item a line.
 *
 *     {"airlock":1,"thread":"…","model":"…","wire":"responses",
 *      "at":"https://…/v1","first":2}
 *     {"type":"message","role":"user",…}
 *
 * The wire is what the server at that URL speaks: another one is asked anew.
 *
 * What is read back may have been written by anybody: each line is checked as if a server had
 * sent it, and a file that is not whole is refused, not repaired.
 */
#ifndef AGENT_TRANSCRIPT_H
#define AGENT_TRANSCRIPT_H

#include "agent/answer.h"

#define TRANSCRIPT_MAX (64U << 20)

struct transcript_head {
        char thread[37];
        enum wire wire;
        bool wire_known;
        char at[1024]; /* whose wire it is; "": not known */
        size_t first;
        char model[256]; /* "": not known */
};

void transcript_put(struct buf *out, const struct transcript_head *head, const struct history *h);

/*
 * Reads @fd to its end and checks all of it. 0, or -1 after a line that says where in @name it
 * is wrong.
 */
MUST_USE int transcript_read(int fd, const char *name, struct buf *text);

/*
 * False: it is none, and *@line is the first that is wrong. @h gets the items; calls without an
 * output get one.
 */
bool transcript_take(const struct buf *text, struct transcript_head *head, struct history *h,
                     size_t *line);

#endif
