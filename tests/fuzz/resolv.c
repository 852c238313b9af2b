/*
 * tests/fuzz/resolv.c - whatever the file says, its numbers are within their bounds, the names
 * to ask for are names, end, and have the one that was asked for among them.
 */
#include "netfilter/resolv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_candidates(const struct resolv *r, const char *asked)
{
        struct name name, out, again;
        bool itself = false;
        unsigned n = 0;

        if (name_parse(&name, asked, strlen(asked)) != NAME_OK)
                abort();
        for (; resolv_candidate(r, &name, n, &out); n++) {
                itself |= name_equal(&out, &name);
                if (n > RESOLV_SEARCHES || name_parse(&again, out.text, out.len) != NAME_OK ||
                    !name_equal(&out, &again) || strncmp(out.text, asked, strlen(asked)) != 0)
                        abort();
        }
        if (!itself)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        char *text = malloc(len + 1);
        struct resolv r;

        if (!text)
                abort();
        if (len)
                memcpy(text, data, len);
        text[len] = '\0';
        resolv_parse(&r, text);
        free(text);
        if (r.server_count > RESOLV_SERVERS || r.search_count > RESOLV_SEARCHES ||
            r.timeout_s > 30 || r.attempts > 5 || r.ndots > 15)
                abort();
        check_candidates(&r, "db");
        check_candidates(&r, "db.prod");
        check_candidates(&r, "a.b.c.d.e");
        return 0;
}
