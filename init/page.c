/* init/page.c - tables, bars and escaped text. */
#include "init/page.h"

#include "base/json.h"
#include "base/utf8.h"
#include "base/wr.h"

#include <string.h>

#define LINE_MAX_SHOWN 65536 /* of one event; the journal's own limit is far below */

static const char head[] =
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" "
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n"
        "<title>airlock report</title>\n<style>\n"
        ":root{color-scheme:light dark}\n"
        "body{font:15px/1.45 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\n"
        "h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em;border-bottom:1px solid #8886}\n"
        "table{border-collapse:collapse;width:100%}\n"
        "td,th{text-align:left;vertical-align:top;padding:.15em .8em .15em 0;"
        "overflow-wrap:anywhere}\n"
        "pre{overflow-x:auto;background:#8881;padding:.8em;white-space:pre-wrap;"
        "overflow-wrap:anywhere}\n"
        ".n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\n"
        ".bad{color:#c33}.good{color:#2a8a3a}.dim{opacity:.65}\n"
        ".bar{display:block;height:.6em;background:#58c;min-width:1px}\n"
        ".add{color:#2a8a3a}.del{color:#c33}.at{opacity:.65}\n"
        "</style></head><body>\n";

/* --- text ------------------------------------------------------------------------------------- */

static void flush(struct page *p)
{
        if (p->len)
                p->put(p->to, p->buffer, p->len);
        p->len = 0;
}

static void raw(struct page *p, const char *bytes, size_t len)
{
        while (len) {
                size_t n = len < PAGE_BUFFER - p->len ? len : PAGE_BUFFER - p->len;

                memcpy(p->buffer + p->len, bytes, n);
                p->len += n;
                bytes += n;
                len -= n;
                if (p->len == PAGE_BUFFER)
                        flush(p);
        }
}

static void markup(struct page *p, const char *s)
{
        raw(p, s, strlen(s));
}

static uint32_t code_point(const char *s, size_t n)
{
        static const uint8_t first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
        uint32_t c = (uint8_t)s[0] & first[n];

        for (size_t i = 1; i < n; i++)
                c = c << 6 | ((uint8_t)s[i] & 0x3f);
        return c;
}

/* Would a browser obey it, or show it as nothing, or as something else? */
static bool is_treacherous(uint32_t c)
{
        return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) || c == 0xad ||
               c == 0x61c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
               (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe0fff);
}

static void put_code(struct page *p, uint32_t c)
{
        char text[16];
        struct wr w = wr_of(text, sizeof(text));

        wr_str(&w, "U+");
        for (int shift = c > 0xffff ? 20 : 12; shift >= 0; shift -= 4)
                wr_char(&w, "0123456789ABCDEF"[c >> shift & 15]);
        markup(p, "<i class=\"dim\">");
        raw(p, text, w.len);
        markup(p, "</i>");
}

static const char *entity(char c)
{
        switch (c) {
        case '&':
                return "&amp;";
        case '<':
                return "&lt;";
        case '>':
                return "&gt;";
        case '"':
                return "&quot;";
        case '\'':
                return "&#39;";
        default:
                return NULL;
        }
}

static void text(struct page *p, const char *s, size_t len)
{
        while (len) {
                size_t n = utf8_len(s, len);
                const char *e = entity(*s);

                if (e)
                        markup(p, e);
                else if (!n)
                        markup(p, "\xef\xbf\xbd");
                else if (is_treacherous(code_point(s, n)))
                        put_code(p, code_point(s, n));
                else
                        raw(p, s, n);
                n = n ? n : 1;
                s += n;
                len -= n;
        }
}

static void number(struct page *p, uint64_t n)
{
        char digits[24];
        struct wr w = wr_of(digits, sizeof(digits));

        wr_u64(&w, n);
        raw(p, digits, w.len);
}

/* --- values of an object ------------------------------------------------------------------------ */

/* A string unescaped; anything else as it is written. */
static void put_value(struct page *p, const struct json *j, uint32_t v)
{
        static char plain[LINE_MAX_SHOWN + 1];
        const struct json_token *t = &j->tokens[v];

        if (t->end - t->start > LINE_MAX_SHOWN)
                markup(p, "<i class=\"dim\">too long to show</i>");
        else if (t->type == JSON_STRING)
                text(p, plain, json_string(j, v, plain));
        else
                text(p, j->text + t->start, t->end - t->start);
}

static void put_field(struct page *p, const struct json *j, const char *name)
{
        uint32_t v = json_find(j, 0, name);

        if (v && j->tokens[v].type != JSON_NULL)
                put_value(p, j, v);
}

static bool field_is(const struct json *j, const char *name, const char *word)
{
        uint32_t v = json_find(j, 0, name);
        const struct json_token *t = &j->tokens[v];

        return v && t->end - t->start == strlen(word) &&
               !memcmp(j->text + t->start, word, strlen(word));
}

static uint32_t field_u32(const struct json *j, uint32_t object, const char *name)
{
        uint32_t v = json_find(j, object, name), n;

        return v && json_u32(j, v, UINT32_MAX, &n) ? n : 0;
}

/* --- the sections --------------------------------------------------------------------------------- */

static void cell(struct page *p, const struct json *j, const char *name)
{
        markup(p, "<td>");
        put_field(p, j, name);
        markup(p, "</td>");
}

static void number_cell(struct page *p, const struct json *j, const char *name)
{
        markup(p, "<td class=\"n\">");
        put_field(p, j, name);
        markup(p, "</td>");
}

static void put_step(struct page *p, const struct json *j)
{
        uint64_t took = field_u32(j, 0, "took_ms"), total = p->total_ms ? p->total_ms : 1;
        uint64_t end = field_u32(j, 0, "ms");

        took = took < total ? took : total;
        end = end < total ? end : total;
        number_cell(p, j, "ms");
        cell(p, j, "phase");
        markup(p, field_is(j, "ok", "true") ? "<td>" : "<td class=\"bad\">");
        put_field(p, j, "name");
        markup(p, "</td>");
        number_cell(p, j, "took_ms");
        markup(p, "<td style=\"width:30%\"><span class=\"bar\" style=\"margin-left:");
        number(p, (end > took ? end - took : 0) * 100 / total);
        markup(p, "%;width:");
        number(p, took * 100 / total);
        markup(p, "%\"></span></td>");
}

static void put_net(struct page *p, const struct json *j)
{
        number_cell(p, j, "ms");
        cell(p, j, "phase");
        markup(p, field_is(j, "verdict", "deny") ? "<td class=\"bad\">" : "<td class=\"good\">");
        put_field(p, j, "verdict");
        markup(p, " ");
        put_field(p, j, "reason");
        markup(p, "</td><td>");
        put_field(p, j, "method");
        markup(p, " ");
        put_field(p, j, "name");
        if (json_find(j, 0, "port"))
                markup(p, ":");
        put_field(p, j, "port");
        put_field(p, j, "path");
        markup(p, "</td>");
        number_cell(p, j, "status");
        number_cell(p, j, "up");
        number_cell(p, j, "down");
        cell(p, j, "command");
}

static void put_try(struct page *p, const struct json *j)
{
        uint32_t v = json_find(j, 0, "result");
        bool ok = v && j->tokens[v].end - j->tokens[v].start > 3 &&
                  !memcmp(j->text + j->tokens[v].start, "ok ", 3);

        markup(p, ok ? "<td class=\"good\">" : "<td class=\"bad\">");
        put_field(p, j, "result");
        markup(p, "</td>");
}

/* Whatever else the event says, key by key. */
static void put_rest(struct page *p, const struct json *j)
{
        static const char *const said[] = { "time", "ms", "phase", "event" };

        markup(p, "<td>");
        for (uint32_t key = json_first(j, 0); key; key = json_next(j, key)) {
                const struct json_token *t = &j->tokens[key];
                bool again = false;

                for (size_t i = 0; i < COUNT(said); i++)
                        again |= t->end - t->start == strlen(said[i]) &&
                                 !memcmp(j->text + t->start, said[i], strlen(said[i]));
                if (again)
                        continue;
                markup(p, "<span class=\"dim\">");
                put_value(p, j, key);
                markup(p, "</span> ");
                put_value(p, j, json_value(key));
                markup(p, " ");
        }
        markup(p, "</td>");
}

static void put_other(struct page *p, const struct json *j)
{
        number_cell(p, j, "ms");
        cell(p, j, "phase");
        cell(p, j, "event");
        put_rest(p, j);
}

static const struct {
        const char *title, *columns;
        void (*put)(struct page *p, const struct json *j);
        const char *events[3]; /* NULL: what no other part has */
} parts[PAGE_PART_COUNT] = {
        [PAGE_TIMELINE] = { "Timeline", "ms|phase|step|took|", put_step, { "step" } },
        [PAGE_COMMANDS] = { "Commands", "ms|phase|event|", put_other, { "command", "exec" } },
        [PAGE_NETWORK] = { "Network", "ms|phase|verdict|request|status|up|down|asked by", put_net,
                           { "net" } },
        [PAGE_PROOF] = { "Proof of the seal", "try", put_try, { "try" } },
        [PAGE_OTHERS] = { "Other events", "ms|phase|event|", put_other, { NULL } },
};

static bool belongs(enum page_part part, const struct json *j)
{
        bool elsewhere = false;

        for (unsigned i = 0; i < PAGE_PART_COUNT; i++)
                for (unsigned k = 0; k < COUNT(parts[i].events) && parts[i].events[k]; k++)
                        if (field_is(j, "event", parts[i].events[k])) {
                                if (i == part)
                                        return true;
                                elsewhere = true;
                        }
        return part == PAGE_OTHERS && !elsewhere;
}

static void title(struct page *p, const char *s)
{
        markup(p, "<h2>");
        text(p, s, strlen(s));
        markup(p, "</h2>\n");
}

void page_part_open(struct page *p, enum page_part part)
{
        const char *at = parts[part].columns;

        title(p, parts[part].title);
        markup(p, "<table><tr>");
        for (;;) {
                size_t n = strcspn(at, "|");

                markup(p, "<th>");
                text(p, at, n);
                markup(p, "</th>");
                if (!at[n])
                        break;
                at += n + 1;
        }
        markup(p, "</tr>\n");
}

void page_event(struct page *p, enum page_part part, const char *line, size_t len)
{
        struct json_error e;
        struct json j;

        if (len > LINE_MAX_SHOWN || json_open(&j, line, len, &e) < 0) {
                if (part == PAGE_OTHERS && len) {
                        markup(p, "<tr><td></td><td></td><td class=\"bad\">not an event</td><td>");
                        text(p, line, len < 256 ? len : 256);
                        markup(p, "</td></tr>\n");
                }
                return;
        }
        if (belongs(part, &j)) {
                markup(p, "<tr>");
                parts[part].put(p, &j);
                markup(p, "</tr>\n");
        }
        json_close(&j);
}

void page_part_close(struct page *p)
{
        markup(p, "</table>\n");
}

static void diff_line(struct page *p, const char *s, size_t len)
{
        const char *class = NULL;

        if (len && *s == '+')
                class = "add";
        else if (len && *s == '-')
                class = "del";
        else if ((len > 2 && !memcmp(s, "@@ ", 3)) || (len > 5 && !memcmp(s, "diff ", 5)))
                class = "at";
        if (class) {
                markup(p, "<span class=\"");
                markup(p, class);
                markup(p, "\">");
        }
        text(p, s, len);
        if (class)
                markup(p, "</span>");
}

void page_file(struct page *p, const char *name, enum page_file kind, const char *bytes,
               size_t len, bool whole)
{
        title(p, name);
        markup(p, "<pre>");
        while (len) {
                const char *end = memchr(bytes, '\n', len);
                size_t n = end ? (size_t)(end - bytes) : len;

                if (kind == PAGE_DIFF)
                        diff_line(p, bytes, n);
                else
                        text(p, bytes, n);
                if (end)
                        markup(p, "\n");
                n += end ? 1 : 0;
                bytes += n;
                len -= n;
        }
        markup(p, "</pre>\n");
        if (!whole)
                markup(p, "<p class=\"dim\">Cut here: the file itself has the rest.</p>\n");
}

/* One row for each key of result.json; objects as they are written. */
static void put_result(struct page *p, const struct json *j)
{
        if (j->tokens[0].type != JSON_OBJECT)
                return;
        markup(p, "<table>");
        for (uint32_t key = json_first(j, 0); key; key = json_next(j, key)) {
                if (j->tokens[json_value(key)].type == JSON_NULL)
                        continue;
                markup(p, "<tr><th>");
                put_value(p, j, key);
                markup(p, "</th><td>");
                put_value(p, j, json_value(key));
                markup(p, "</td></tr>\n");
        }
        markup(p, "</table>\n");
}

void page_open(struct page *p, const char *result, size_t len)
{
        struct json_error e;
        uint32_t durations;
        struct json j;

        p->len = 0;
        p->total_ms = 0;
        markup(p, head);
        if (json_open(&j, result, len, &e) < 0) {
                markup(p, "<h1>airlock: <span class=\"bad\">no result</span></h1>\n"
                          "<p>result.json is missing or damaged: the task was ended from outside, "
                          "or still runs.</p>\n");
                return;
        }
        durations = json_find(&j, 0, "durations_ms");
        p->total_ms = durations ? field_u32(&j, durations, "total") : 0;
        markup(p, field_is(&j, "status", "done") ? "<h1>airlock: <span class=\"good\">"
                                                 : "<h1>airlock: <span class=\"bad\">");
        put_field(p, &j, "status");
        markup(p, "</span></h1>\n");
        put_result(p, &j);
        json_close(&j);
}

void page_close(struct page *p)
{
        markup(p, "</body></html>\n");
        flush(p);
}
