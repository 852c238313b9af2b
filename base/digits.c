/* base/digits.c - see digits.h. */
#include "base/digits.h"

bool digits_take(const char **at, uint64_t max, uint64_t *n)
{
        const char *s = *at;
        uint64_t value = 0;

        *n = 0;
        for (; *s >= '0' && *s <= '9'; s++) {
                unsigned digit = (unsigned)(*s - '0');

                if (digit > max || value > (max - digit) / 10)
                        return false;
                value = value * 10 + digit;
        }
        if (s == *at)
                return false;
        *at = s;
        *n = value;
        return true;
}

bool digits_parse(const char *text, uint64_t max, uint64_t *n)
{
        if (digits_take(&text, max, n) && !*text)
                return true;
        *n = 0;
        return false;
}

int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)(c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
