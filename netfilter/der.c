/* netfilter/der.c - see der.h. */
#include "netfilter/der.h"

#include <string.h>

struct der der_of(void *buf, size_t cap)
{
        return (struct der){ buf, cap, 0, false };
}

void der_bytes(struct der *w, const void *bytes, size_t len)
{
        if (w->full || len > w->cap - w->len) {
                w->full = true;
                return;
        }
        if (len)
                memcpy(w->buf + w->len, bytes, len);
        w->len += len;
}

size_t der_open(struct der *w, unsigned tag)
{
        uint8_t head[2] = { (uint8_t)tag, 0 };

        der_bytes(w, head, sizeof(head));
        return w->len;
}

void der_close(struct der *w, size_t opened)
{
        size_t len = w->len - opened;
        size_t more = len < 0x80 ? 0 : len < 0x100 ? 1 : 2;

        if (w->full || len > 0xffff || more > w->cap - w->len) {
                w->full = true;
                return;
        }
        memmove(w->buf + opened + more, w->buf + opened, len);
        w->len += more;
        if (!more) {
                w->buf[opened - 1] = (uint8_t)len;
                return;
        }
        w->buf[opened - 1] = (uint8_t)(0x80 | more);
        if (more == 2)
                w->buf[opened] = (uint8_t)(len >> 8);
        w->buf[opened + more - 1] = (uint8_t)len;
}

void der_value(struct der *w, unsigned tag, const void *bytes, size_t len)
{
        size_t value = der_open(w, tag);

        der_bytes(w, bytes, len);
        der_close(w, value);
}

void der_integer(struct der *w, const uint8_t *bytes, size_t len)
{
        size_t value = der_open(w, DER_INTEGER);

        while (len && !*bytes) {
                bytes++;
                len--;
        }
        if (!len || *bytes & 0x80)
                der_bytes(w, "", 1);
        der_bytes(w, bytes, len);
        der_close(w, value);
}

static void put_digits(uint8_t *at, unsigned n, unsigned digits)
{
        while (digits--) {
                at[digits] = (uint8_t)('0' + n % 10);
                n /= 10;
        }
}

void der_time(struct der *w, uint64_t unix_s)
{
        /* Years begin in March here, so that the leap day is the last of a year. */
        uint64_t days = unix_s / 86400 + 719468;
        unsigned second = (unsigned)(unix_s % 86400);
        unsigned of_era = (unsigned)(days % 146097);
        unsigned year_of_era =
                (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
        unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        unsigned march = (5 * of_year + 2) / 153;
        unsigned month = march < 10 ? march + 3 : march - 9;
        unsigned year = (unsigned)(days / 146097) * 400 + year_of_era + (month <= 2);
        uint8_t text[15];

        put_digits(text, year, 4);
        put_digits(text + 4, month, 2);
        put_digits(text + 6, of_year - (153 * march + 2) / 5 + 1, 2);
        put_digits(text + 8, second / 3600, 2);
        put_digits(text + 10, second / 60 % 60, 2);
        put_digits(text + 12, second % 60, 2);
        text[14] = 'Z';
        if (year < 2050)
                der_value(w, DER_UTC_TIME, text + 2, sizeof(text) - 2);
        else
                der_value(w, DER_GENERAL_TIME, text, sizeof(text));
}
