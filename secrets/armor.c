/* secrets/armor.c - age files as text. */
#include "secrets/armor.h"

#include "base/base64.h"
#include "base/rd.h"

#include <string.h>

#define LINE 64UL
#define LINE_BYTES (LINE / 4 * 3)

static const char begin[] = "-----BEGIN AGE ENCRYPTED FILE-----";
static const char end[] = "-----END AGE ENCRYPTED FILE-----";

const char *armor_status_str(enum armor_status s)
{
        switch (s) {
        case ARMOR_OK:
                return "right";
        case ARMOR_BEGIN:
                return "no line -----BEGIN AGE ENCRYPTED FILE-----";
        case ARMOR_LINE:
                return "a line is not 64 characters of base64";
        case ARMOR_END:
                return "no line -----END AGE ENCRYPTED FILE-----";
        case ARMOR_AFTER:
                return "something follows the END line";
        }
        return "?";
}

static bool is_space(uint8_t c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Skips white space; returns how much. */
static size_t skip_space(struct rd *r)
{
        const uint8_t *from = r->at;

        while (r->at < r->end && is_space(*r->at))
                r->at++;
        return (size_t)(r->at - from);
}

/* The next line without its LF or CRLF; at the very end of the text both may be missing. */
static struct rd take_line(struct rd *r)
{
        const uint8_t *lf = memchr(r->at, '\n', rd_left(r));
        struct rd line = rd_sub(r, lf ? (size_t)(lf - r->at) : rd_left(r));

        if (lf) {
                rd_u8(r);
                if (rd_left(&line) && line.end[-1] == '\r')
                        line.end--;
        }
        return line;
}

/* Skips lines of white space, but none before a word on its own line; returns how much. */
static size_t skip_blank_lines(struct rd *r)
{
        const uint8_t *from = r->at;

        for (;;) {
                struct rd next = *r;
                struct rd line = take_line(&next);

                skip_space(&line);
                if (rd_left(&line) || !rd_left(r))
                        return (size_t)(r->at - from);
                *r = next;
        }
}

static bool line_is(const struct rd *line, const char *text)
{
        size_t len = strlen(text);

        return rd_left(line) == len && !memcmp(line->at, text, len);
}

/* Takes the padding off a line. False when it is not the padding that the line needs. */
static bool unpad(struct rd *line)
{
        size_t len = rd_left(line);
        size_t pad = 0;

        while (pad < 2 && pad < len && line->end[-1] == '=') {
                line->end--;
                pad++;
        }
        return len && len <= LINE && len % 4 == 0;
}

bool armor_is(const void *buf, size_t len)
{
        struct rd r = rd_of(buf, len);

        skip_space(&r);
        return rd_left(&r) >= 5 && !memcmp(r.at, begin, 5);
}

enum armor_status armor_parse(const void *text, size_t len, uint8_t *out, size_t *out_len)
{
        struct rd r = rd_of(text, len);
        struct rd line;
        size_t total = 0, n;
        bool more = true; /* the last line was full: another may follow */

        if (skip_blank_lines(&r) > ARMOR_SPACE_MAX)
                return ARMOR_BEGIN;
        line = take_line(&r);
        if (!line_is(&line, begin))
                return ARMOR_BEGIN;
        for (;;) {
                if (!rd_left(&r))
                        return ARMOR_END;
                line = take_line(&r);
                if (rd_left(&line) && line.at[0] == '-')
                        break;
                if (!more || !unpad(&line) ||
                    !base64_decode(line.at, rd_left(&line), out + total, &n))
                        return ARMOR_LINE;
                total += n;
                more = n == LINE_BYTES;
        }
        if (!line_is(&line, end))
                return ARMOR_END;
        if (skip_space(&r) >= ARMOR_SPACE_MAX || rd_left(&r))
                return ARMOR_AFTER;
        *out_len = total;
        return ARMOR_OK;
}

void armor_put(struct wr *w, const uint8_t *bytes, size_t len)
{
        wr_str(w, begin);
        wr_char(w, '\n');
        while (len) {
                size_t n = len < LINE_BYTES ? len : LINE_BYTES;

                base64_put_bare(w, bytes, n);
                wr_bytes(w, "==", n % 3 ? 3 - n % 3 : 0);
                wr_char(w, '\n');
                bytes += n;
                len -= n;
        }
        wr_str(w, end);
        wr_char(w, '\n');
}
