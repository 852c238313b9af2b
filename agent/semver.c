/* agent/semver.c - three numbers, words behind a dash, words behind a plus. */
#include "agent/semver.h"

#include "base/base.h"

#include <string.h>

static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-";

static size_t digits(const char *s)
{
        size_t n = 0;

        while (s[n] >= '0' && s[n] <= '9')
                n++;
        return n;
}

/* Words with dots between them; numbers without zeros in front, when @strict. The length. */
static size_t words_len(const char *s, bool strict)
{
        const char *at = s;

        for (;; at++) {
                size_t n = strspn(at, alphabet);

                if (!n || (strict && n > 1 && *at == '0' && digits(at) == n))
                        return 0;
                at += n;
                if (*at != '.')
                        return (size_t)(at - s);
        }
}

struct version {
        const char *numbers, *pre, *build; /* "" behind what is not there */
        size_t pre_len, build_len;
};

static bool parse(struct version *v, const char *s)
{
        *v = (struct version){ .numbers = s, .pre = "", .build = "" };
        for (unsigned i = 0; i < 3; i++) {
                size_t n = digits(s);

                if (!n || n > 19 || (n > 1 && *s == '0') || (i && s[-1] != '.'))
                        return false;
                s += n + (i < 2 && s[n] != '\0');
        }
        if (*s == '-') {
                v->pre = s + 1;
                v->pre_len = words_len(v->pre, true);
                if (!v->pre_len)
                        return false;
                s = v->pre + v->pre_len;
        }
        if (*s == '+') {
                v->build = s + 1;
                v->build_len = words_len(v->build, false);
                if (!v->build_len)
                        return false;
                s = v->build + v->build_len;
        }
        return *s == '\0';
}

static int compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
        int r = memcmp(a, b, a_len < b_len ? a_len : b_len);

        return r ? r : (a_len > b_len) - (a_len < b_len);
}

static int compare_numbers(const char *a, size_t a_len, const char *b, size_t b_len)
{
        const char *x = a, *y = b;

        while (a_len && *x == '0')
                x++, a_len--;
        while (b_len && *y == '0')
                y++, b_len--;
        if (a_len != b_len)
                return a_len > b_len ? 1 : -1;
        return memcmp(x, y, a_len);
}

/* One word against another: numbers are less than names. */
static int compare_word(const char *a, size_t a_len, const char *b, size_t b_len)
{
        bool a_number = digits(a) >= a_len, b_number = digits(b) >= b_len;
        int r;

        if (a_number != b_number)
                return a_number ? -1 : 1;
        r = a_number ? compare_numbers(a, a_len, b, b_len) : compare_bytes(a, a_len, b, b_len);
        return r || !a_number ? r : (a_len > b_len) - (a_len < b_len);
}

static int compare_words(const char *a, size_t a_len, const char *b, size_t b_len)
{
        const char *a_end = a + a_len, *b_end = b + b_len;

        while (a < a_end && b < b_end) {
                size_t n = strspn(a, alphabet), m = strspn(b, alphabet);
                int r = compare_word(a, n, b, m);

                if (r)
                        return r;
                a += n + (a + n < a_end);
                b += m + (b + m < b_end);
        }
        return (a < a_end) - (b < b_end);
}

static int compare_parsed(const struct version *a, const struct version *b)
{
        const char *x = a->numbers, *y = b->numbers;
        int r = 0;

        for (unsigned i = 0; i < 3 && !r; i++) {
                size_t n = digits(x), m = digits(y);

                r = compare_numbers(x, n, y, m);
                x += n + 1;
                y += m + 1;
        }
        if (!r && (!a->pre_len || !b->pre_len))
                r = (a->pre_len == 0) - (b->pre_len == 0);
        if (!r)
                r = compare_words(a->pre, a->pre_len, b->pre, b->pre_len);
        return r ? r : compare_words(a->build, a->build_len, b->build, b->build_len);
}

int semver_compare(const char *a, const char *b)
{
        struct version x, y;

        return parse(&x, a) && parse(&y, b) ? compare_parsed(&x, &y) : strcmp(a, b);
}
