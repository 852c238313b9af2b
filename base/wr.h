/*
 * base/wr.h - writes text and bytes into a buffer that the caller bounds.
 *
 * A write that does not fit writes nothing and sets full for good, so a writer
 * runs straight down and its caller checks once. Nothing here allocates, and
 * nothing uses stdio: musl's printf alone would be a third of PID 1.
 */
#ifndef BASE_WR_H
#define BASE_WR_H

#include "base/base.h"

#include <stdarg.h>

struct wr {
        char *buf;
        size_t cap; /* bytes that may be written */
        size_t len; /* bytes that were written */
        bool full;  /* something did not fit */
};

/* A writer into @buf of @cap bytes. */
struct wr wr_of(void *buf, size_t cap);

void wr_bytes(struct wr *w, const void *bytes, size_t len);
void wr_str(struct wr *w, const char *s);
void wr_char(struct wr *w, char c);
void wr_u64(struct wr *w, uint64_t n);

/*
 * A subset of printf: %s %.*s %c %d %i %u %x %% with the lengths l, ll and z; no
 * widths, no floats. An unknown conversion is written as it stands.
 */
void wr_fmt(struct wr *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
void wr_vfmt(struct wr *w, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);

/*
 * The @len bytes as a JSON string with its quotes (RFC 8259). Bytes that are not
 * UTF-8 become U+FFFD, one for each byte, so the line is always valid JSON.
 */
void wr_json(struct wr *w, const char *bytes, size_t len);

/* Letters, digits and the bytes of @plain as they are; every other one becomes %XX. */
void wr_percent(struct wr *w, const char *bytes, size_t len, const char *plain);

/*
 * The text as one printable line: control bytes and DEL become \xHH. What a child
 * or a file named must not move the operator's cursor.
 */
void wr_plain(struct wr *w, const char *bytes, size_t len);

/* The text as a C string. Cuts the last byte off when the buffer is full. */
const char *wr_cstr(struct wr *w);

#endif
