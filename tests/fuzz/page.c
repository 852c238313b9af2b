/*
 * tests/fuzz/page.c - whatever the files say, the page has no tag that is not ours, and no
 * quote or ampersand that is not written as an entity.
 */
#include "init/page.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct sink {
        char *bytes;
        size_t len;
};

static struct page page;

static void put(void *to, const char *bytes, size_t len)
{
        struct sink *s = to;

        s->bytes = realloc(s->bytes, s->len + len + 1);
        if (!s->bytes || len > PAGE_BUFFER)
                abort();
        memcpy(s->bytes + s->len, bytes, len);
        s->len += len;
        s->bytes[s->len] = '\0';
}

static size_t starts_with_any(const char *at, const char *const *list)
{
        for (; *list; list++)
                if (!strncmp(at, *list, strlen(*list)))
                        return strlen(*list);
        return 0;
}

static void check(const char *at)
{
        static const char *const tags[] = {
                "<!doctype html>", "<html lang", "</html>", "<head>", "</head>", "<meta ", "<title>",
                "</title>", "<style>", "</style>", "<body>", "</body>", "<h1>", "</h1>", "<h2>", "</h2>",
                "<table>", "</table>", "<tr>", "</tr>", "<th>", "</th>", "<td>", "<td class=\"n\">",
                "<td class=\"bad\">", "<td class=\"good\">", "<td style=\"width:30%\">", "</td>",
                "<span class=\"bad\">", "<span class=\"good\">", "<span class=\"dim\">",
                "<span class=\"add\">", "<span class=\"del\">", "<span class=\"at\">",
                "<span class=\"bar\" style=\"margin-left:", "</span>", "<pre>", "</pre>", "<p>", "</p>",
                "<p class=\"dim\">", "<i class=\"dim\">", "</i>", NULL,
        };
        static const char *const entities[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&#39;", NULL };

        at = strstr(at, "</style>"); /* what is before it holds no input */
        if (!at)
                abort();
        while (*at) {
                size_t n = *at == '<' ? starts_with_any(at, tags)
                                      : *at == '&' ? starts_with_any(at, entities) : 1;

                if (!n || *at == '\'')
                        abort();
                at += n;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        const char *text = (const char *)data;
        size_t half = len / 2;
        struct sink s = { 0 };

        page.put = put;
        page.to = &s;
        page_open(&page, text, half);
        for (unsigned part = 0; part < PAGE_PART_COUNT; part++) {
                page_part_open(&page, (enum page_part)part);
                page_event(&page, (enum page_part)part, text, len);
                page_event(&page, (enum page_part)part, text + half, len - half);
                page_part_close(&page);
        }
        page_file(&page, "file", PAGE_DIFF, text, len, false);
        page_file(&page, "file", PAGE_TEXT, text, len, true);
        page_close(&page);
        if (strlen(s.bytes) != s.len)
                abort();
        check(s.bytes);
        free(s.bytes);
        return 0;
}
