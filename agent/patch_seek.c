/* agent/patch_seek.c - four ways for two lines to be the same. */
#include "agent/patch_seek.h"

#include "base/utf8.h"

#include <string.h>

/* The code point at @s, of @n bytes; a byte that begins none stands for itself. */
static uint32_t code_point(const char *s, size_t len, size_t *n)
{
        const unsigned char *u = (const unsigned char *)s;
        uint32_t c;

        *n = utf8_len(s, len);
        if (*n < 2) {
                *n = 1;
                return u[0] < 0x80 ? u[0] : 0x110000U + u[0]; /* no character has that number */
        }
        c = u[0] & (0x7fU >> *n);
        for (size_t i = 1; i < *n; i++)
                c = c << 6 | (u[i] & 0x3fU);
        return c;
}

/* Unicode's White_Space. */
static bool is_space(uint32_t c)
{
        return c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
               (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
               c == 0x205f || c == 0x3000;
}

static struct slice trim_end(struct slice s)
{
        while (s.len) {
                size_t at = s.len - 1, n;

                while (at && s.len - at < 3 && ((unsigned char)s.at[at] & 0xc0) == 0x80)
                        at--;
                if (!is_space(code_point(s.at + at, s.len - at, &n)) || n != s.len - at)
                        break;
                s.len = at;
        }
        return s;
}

static struct slice trim_both(struct slice s)
{
        size_t n;

        s = trim_end(s);
        while (s.len && is_space(code_point(s.at, s.len, &n))) {
                s.at += n;
                s.len -= n;
        }
        return s;
}

static uint32_t plain(uint32_t c)
{
        if ((c >= 0x2010 && c <= 0x2015) || c == 0x2212)
                return '-';
        if (c >= 0x2018 && c <= 0x201b)
                return '\'';
        if (c >= 0x201c && c <= 0x201f)
                return '"';
        if (c == 0xa0 || (c >= 0x2002 && c <= 0x200a) || c == 0x202f || c == 0x205f || c == 0x3000)
                return ' ';
        return c;
}

static bool same(struct slice a, struct slice b)
{
        return a.len == b.len && (!a.len || !memcmp(a.at, b.at, a.len));
}

static bool same_plain(struct slice a, struct slice b)
{
        a = trim_both(a);
        b = trim_both(b);
        while (a.len && b.len) {
                size_t m, n;

                if (plain(code_point(a.at, a.len, &m)) != plain(code_point(b.at, b.len, &n)))
                        return false;
                a.at += m;
                a.len -= m;
                b.at += n;
                b.len -= n;
        }
        return !a.len && !b.len;
}

enum pass { PASS_EXACT, PASS_END, PASS_BOTH, PASS_PLAIN, PASS_COUNT };

static bool matches(enum pass pass, struct slice a, struct slice b)
{
        switch (pass) {
        case PASS_EXACT:
                return same(a, b);
        case PASS_END:
                return same(trim_end(a), trim_end(b));
        case PASS_BOTH:
                return same(trim_both(a), trim_both(b));
        case PASS_PLAIN:
                return same_plain(a, b);
        case PASS_COUNT:
                break;
        }
        return false;
}

static bool matches_at(enum pass pass, const struct lines *file, const struct lines *pattern,
                       size_t at, size_t *effort)
{
        for (size_t i = 0; i < pattern->count; i++) {
                struct slice a = file->at[at + i], b = pattern->at[i];
                size_t cost = 1 + (pass != PASS_EXACT || a.len == b.len ? a.len + b.len : 0);

                if (*effort < cost) {
                        *effort = 0;
                        return false;
                }
                *effort -= cost;
                if (!matches(pass, a, b))
                        return false;
        }
        return true;
}

bool patch_seek(const struct lines *file, const struct lines *pattern, size_t start, bool eof,
                size_t *effort, size_t *found)
{
        size_t last;

        *found = start;
        if (!pattern->count)
                return true;
        if (pattern->count > file->count || start > file->count - pattern->count)
                return false;
        last = file->count - pattern->count;
        for (enum pass pass = PASS_EXACT; pass < PASS_COUNT; pass++) {
                for (*found = eof ? last : start; *found <= last && *effort; ++*found)
                        if (matches_at(pass, file, pattern, *found, effort))
                                return true;
        }
        return false;
}
