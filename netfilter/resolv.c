/* netfilter/resolv.c - see resolv.h. */
#include "netfilter/resolv.h"

#include "base/wr.h"

#include <string.h>

bool resolv_word(const char **at, struct rd *word)
{
        const char *p = *at, *start;

        while (*p == ' ' || *p == '\t')
                p++;
        start = p;
        while (*p && !strchr(" \t\r\n#;", *p))
                p++;
        *at = p;
        *word = rd_of(start, (size_t)(p - start));
        return p != start;
}

const char *resolv_line(const char *at)
{
        at += strcspn(at, "\n");
        return *at ? at + 1 : at;
}

static bool word_is(const struct rd *word, const char *s)
{
        return rd_left(word) == strlen(s) && !memcmp(word->at, s, rd_left(word));
}

/* "NAME:N", at most @most; false: another option. */
static bool option(const struct rd *word, const char *name, uint8_t most, uint8_t *out)
{
        size_t len = strlen(name);
        unsigned n = 0;

        if (rd_left(word) <= len || memcmp(word->at, name, len) != 0)
                return false;
        for (const uint8_t *p = word->at + len; p < word->end; p++) {
                if (*p < '0' || *p > '9')
                        return false;
                n = n * 10 + (unsigned)(*p - '0');
                n = n < most ? n : most;
        }
        *out = (uint8_t)n;
        return true;
}

static void read_searches(struct resolv *r, const char *at)
{
        struct rd word;

        r->search_count = 0;
        while (r->search_count < RESOLV_SEARCHES && resolv_word(&at, &word)) {
                if (name_parse(&r->searches[r->search_count], (const char *)word.at,
                               rd_left(&word)) == NAME_OK)
                        r->search_count++;
        }
}

static void read_options(struct resolv *r, const char *at)
{
        struct rd word;

        while (resolv_word(&at, &word)) {
                if (!option(&word, "timeout:", 30, &r->timeout_s) &&
                    !option(&word, "attempts:", 5, &r->attempts))
                        (void)option(&word, "ndots:", 15, &r->ndots);
        }
}

void resolv_parse(struct resolv *r, const char *text)
{
        struct rd word;

        *r = (struct resolv){ .ndots = 1 };
        for (const char *line = text; line && *line; line = resolv_line(line)) {
                const char *at = line;

                if (!resolv_word(&at, &word))
                        continue;
                if (word_is(&word, "nameserver") && r->server_count < RESOLV_SERVERS &&
                    resolv_word(&at, &word) &&
                    address_parse(&r->servers[r->server_count], (const char *)word.at,
                                  rd_left(&word)) == ADDRESS_OK)
                        r->server_count++;
                else if (word_is(&word, "search") || word_is(&word, "domain"))
                        read_searches(r, at);
                else if (word_is(&word, "options"))
                        read_options(r, at);
        }
}

static unsigned dots_in(const struct name *n)
{
        unsigned dots = 0;

        for (size_t i = 0; i < n->len; i++)
                dots += n->text[i] == '.';
        return dots;
}

/* What is too long together stays alone. */
static void join(struct name *out, const struct name *label, const struct name *domain)
{
        char text[2 * NAME_LEN + 1];
        struct wr w = wr_of(text, sizeof(text));

        wr_bytes(&w, label->text, label->len);
        wr_char(&w, '.');
        wr_bytes(&w, domain->text, domain->len);
        if (name_parse(out, text, w.len) != NAME_OK)
                *out = *label;
}

bool resolv_candidate(const struct resolv *r, const struct name *asked, unsigned n,
                      struct name *out)
{
        unsigned dots = dots_in(asked), searched = dots < r->ndots ? r->search_count : 0;
        unsigned itself = dots ? 0 : searched;

        if (n > searched)
                return false;
        if (n == itself)
                *out = *asked;
        else
                join(out, asked, &r->searches[n > itself ? n - 1 : n]);
        return true;
}
