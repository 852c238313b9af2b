/* base/wr.c - the bounded writer. */
#include "base/wr.h"

#include "base/utf8.h"

#include <string.h>

struct wr wr_of(void *buf, size_t cap)
{
        return (struct wr){ .buf = buf, .cap = cap };
}

void wr_bytes(struct wr *w, const void *bytes, size_t len)
{
        if (w->full || len > w->cap - w->len) {
                w->full = true;
                return;
        }
        if (len)
                memcpy(w->buf + w->len, bytes, len);
        w->len += len;
}

void wr_str(struct wr *w, const char *s)
{
        wr_bytes(w, s, strlen(s));
}

void wr_char(struct wr *w, char c)
{
        wr_bytes(w, &c, 1);
}

static void put_base(struct wr *w, uint64_t n, unsigned base)
{
        char digits[20];
        size_t at = sizeof(digits);

        do {
                digits[--at] = "0123456789abcdef"[n % base];
                n /= base;
        } while (n);
        wr_bytes(w, digits + at, sizeof(digits) - at);
}

void wr_u64(struct wr *w, uint64_t n)
{
        put_base(w, n, 10);
}

static void put_i64(struct wr *w, int64_t n)
{
        if (n < 0)
                wr_char(w, '-');
        wr_u64(w, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

/* One conversion; @f stands after the '%'. Returns the byte after it. */
static const char *put_conversion(struct wr *w, const char *f, va_list *ap)
{
        const char *start = f;
        int precision = -1;
        int longs = 0;
        bool size = false;

        if (f[0] == '.' && f[1] == '*') {
                precision = va_arg(*ap, int);
                f += 2;
        }
        for (; *f == 'l' || *f == 'z'; f++) {
                size |= *f == 'z';
                longs += *f == 'l';
        }
        switch (*f) {
        case 's': {
                const char *s = va_arg(*ap, const char *);

                if (!s)
                        s = "(null)";
                wr_bytes(w, s, precision < 0 ? strlen(s) : strnlen(s, (size_t)precision));
                break;
        }
        case 'c':
                wr_char(w, (char)va_arg(*ap, int));
                break;
        case 'd':
        case 'i':
                put_i64(w, size    ? va_arg(*ap, ssize_t)
                           : longs ? va_arg(*ap, long)
                                   : va_arg(*ap, int));
                break;
        case 'u':
        case 'x':
                put_base(w,
                         size    ? va_arg(*ap, size_t)
                         : longs ? va_arg(*ap, unsigned long)
                                 : va_arg(*ap, unsigned),
                         *f == 'x' ? 16 : 10);
                break;
        case '%':
                wr_char(w, '%');
                break;
        default:
                wr_char(w, '%');
                return start;
        }
        return f + 1;
}

void wr_vfmt(struct wr *w, const char *fmt, va_list ap)
{
        va_list args;

        va_copy(args, ap);
        while (*fmt) {
                size_t plain = strcspn(fmt, "%");

                wr_bytes(w, fmt, plain);
                fmt += plain;
                if (*fmt)
                        fmt = put_conversion(w, fmt + 1, &args);
        }
        va_end(args);
}

void wr_fmt(struct wr *w, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(w, fmt, ap);
        va_end(ap);
}

static void put_hex2(struct wr *w, unsigned char c)
{
        wr_char(w, "0123456789abcdef"[c >> 4]);
        wr_char(w, "0123456789abcdef"[c & 15]);
}

static void put_json_ascii(struct wr *w, unsigned char c)
{
        if (c == '"' || c == '\\') {
                wr_char(w, '\\');
                wr_char(w, (char)c);
        } else if (c == '\n') {
                wr_str(w, "\\n");
        } else if (c == '\t') {
                wr_str(w, "\\t");
        } else if (c < 0x20 || c == 0x7f) {
                wr_str(w, "\\u00");
                put_hex2(w, c);
        } else {
                wr_char(w, (char)c);
        }
}

void wr_json(struct wr *w, const char *bytes, size_t len)
{
        wr_char(w, '"');
        while (len) {
                unsigned char c = (unsigned char)*bytes;
                size_t n = utf8_len(bytes, len);

                if (c < 0x80)
                        put_json_ascii(w, c);
                else if (n)
                        wr_bytes(w, bytes, n);
                else
                        wr_str(w, "\xef\xbf\xbd"); /* U+FFFD */
                n = n ? n : 1;
                bytes += n;
                len -= n;
        }
        wr_char(w, '"');
}

void wr_plain(struct wr *w, const char *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++) {
                unsigned char c = (unsigned char)bytes[i];

                /* U+0080 to U+009F are controls too: U+009B begins what ESC [ begins. */
                if (c < 0x20 || c == 0x7f || (c < 0xa0 && i && bytes[i - 1] == '\xc2')) {
                        wr_str(w, "\\x");
                        put_hex2(w, c);
                } else {
                        wr_char(w, (char)c);
                }
        }
}

void wr_percent(struct wr *w, const char *bytes, size_t len, const char *plain)
{
        for (size_t i = 0; i < len; i++) {
                unsigned char c = (unsigned char)bytes[i];

                if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                    (c && strchr(plain, c))) {
                        wr_char(w, (char)c);
                } else {
                        wr_char(w, '%');
                        wr_char(w, "0123456789ABCDEF"[c >> 4]);
                        wr_char(w, "0123456789ABCDEF"[c & 15]);
                }
        }
}

const char *wr_cstr(struct wr *w)
{
        if (!w->cap)
                return "";
        w->buf[w->len < w->cap ? w->len : w->cap - 1] = '\0';
        return w->buf;
}
