/* agent/forge.c - see forge.h. */
#include "agent/forge.h"

#include "base/json.h"
#include "base/utf8.h"

#include <string.h>
#include <strings.h>

#define ERROR_MAX 8192 /* bytes of an error: a longer one is no message for people */

/* --- what is asked ---------------------------------------------------------------------- */

static void put_percent(struct buf *out, const char *bytes, size_t len)
{
        char text[3 * 256];
        struct wr w = wr_of(text, sizeof(text));

        while (len) {
                size_t n = len < 256 ? len : 256;

                w.len = 0;
                wr_percent(&w, bytes, n, "-._~");
                buf_put(out, text, w.len);
                bytes += n;
                len -= n;
        }
}

void forge_put_query(struct buf *out, const struct forge_wish *w, unsigned page)
{
        buf_str(out, "?state=open&head=");
        put_percent(out, w->owner, w->owner_len);
        buf_str(out, "%3A");
        put_percent(out, w->branch, strlen(w->branch));
        buf_str(out, "&base=");
        put_percent(out, w->base, strlen(w->base));
        buf_fmt(out, "&per_page=%u&limit=%u&page=%u", FORGE_PAGE, FORGE_PAGE, page);
}

static bool is_word(unsigned char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* What goes on: no control byte, and U+FFFD in the place of what is not UTF-8. */
static size_t next_character(const char **s, size_t len)
{
        size_t n = utf8_len(*s, len);

        if (!n) {
                *s = "\xef\xbf\xbd";
                return 3;
        }
        if (n == 1 && **s != '\n' && **s != '\t' && ((unsigned char)**s < ' ' || **s == 0x7f))
                return 0;
        return n;
}

/* Would @s behind @last be more than text? A forge looks for names in what Markdown made of it. */
static bool is_active(char last, const char *s, size_t len)
{
        static const char at[] = "commat";

        if (last == '@')
                return is_word((unsigned char)*s) || *s == '&';
        if (last == '&')
                return *s == '#' || (len >= strlen(at) && !strncmp(s, at, strlen(at)));
        return last == '<' && (*s == '!' || *s == '?');
}

/*
 * @somebody gets mail, and an HTML comment is read by the next agent but by no person: U+200B
 * comes in between. By what was written, not by what was read: something may have been left out.
 */
static size_t put_safe(struct buf *out, size_t start, const char *s, size_t len)
{
        size_t used = utf8_len(s, len), n;
        char last = '\0';

        if (out->len > start)
                last = buf_at(out)[out->len - 1];
        n = next_character(&s, len);
        if (n && is_active(last, s, len))
                buf_str(out, "\xe2\x80\x8b");
        buf_put(out, s, n);
        return used ? used : 1;
}

void forge_put_text(struct buf *out, const struct forge_wish *w)
{
        size_t start = out->len, at = 0;

        while (at < w->answer_len && out->len - start < FORGE_BODY - 2048)
                at += put_safe(out, start, w->answer + at, w->answer_len - at);
        if (at < w->answer_all)
                buf_fmt(out, "\n\n(Cut here: the whole answer has %zu bytes.)", w->answer_all);
        buf_fmt(out, "%s---\nMade by airlock " AIRLOCK_VERSION " from %.*s, as %.*s.",
                out->len > start ? "\n\n" : "", 12, w->start, 12, w->commit);
        if (w->link)
                buf_fmt(out, " Task: <%s>", w->link);
        buf_str(out, "\n");
}

static void put_key(struct buf *out, const char *key, const char *text)
{
        buf_fmt(out, "\"%s\":", key);
        buf_json(out, text, strlen(text));
        buf_str(out, ",");
}

void forge_put_request(struct buf *out, const struct forge_wish *w, bool create)
{
        struct buf text = { 0 };

        buf_str(out, "{");
        if (create) {
                put_key(out, "head", w->branch);
                put_key(out, "base", w->base);
                if (w->draft && !w->gitea)
                        buf_str(out, "\"draft\":true,");
        }
        if (create || !w->gitea || !w->draft) {
                buf_str(&text, w->draft && w->gitea ? "WIP: " : ""); /* Gitea's word for a draft */
                buf_str(&text, w->title);
                buf_str(out, "\"title\":");
                buf_json(out, buf_at(&text), text.len);
                buf_str(out, ",");
                buf_drop(&text, text.len, 0);
        }
        forge_put_text(&text, w);
        buf_str(out, "\"body\":");
        buf_json(out, buf_at(&text), text.len);
        buf_str(out, "}");
        buf_free(&text);
}

/* --- what was answered ------------------------------------------------------------------- */

/* A string of printable ASCII of less than @cap bytes; false: another thing. */
static bool take_text(const struct json *j, uint32_t v, char *out, size_t cap)
{
        const struct json_token *t = &j->tokens[v];
        size_t n;

        *out = '\0';
        if (!v || t->type != JSON_STRING || t->end - t->start >= cap)
                return false;
        n = json_string(j, v, out);
        for (size_t i = 0; i < n; i++) {
                if (out[i] <= ' ' || out[i] > '~') {
                        *out = '\0';
                        return false;
                }
        }
        return n != 0;
}

static bool take_pull(struct forge_pull *p, const struct json *j, uint32_t v)
{
        uint32_t number = json_find(j, v, "number");

        *p = (struct forge_pull){ .number = 0 };
        if (!number || !json_u32(j, number, UINT32_MAX, &p->number) || !p->number)
                return false;
        if (!take_text(j, json_find(j, v, "state"), p->state, sizeof(p->state)) ||
            (strcmp(p->state, "open") != 0 && strcmp(p->state, "closed") != 0))
                return false;
        if (take_text(j, json_find(j, v, "html_url"), p->url, sizeof(p->url)) &&
            strncmp(p->url, "https://", 8) != 0 && strncmp(p->url, "http://", 7) != 0)
                *p->url = '\0';
        return true;
}

static bool is_text(const struct json *j, uint32_t v, const char *text, size_t len, bool any_case)
{
        char found[FORGE_TEXT];

        return take_text(j, v, found, sizeof(found)) && strlen(found) == len &&
               !(any_case ? strncasecmp(found, text, len) : strncmp(found, text, len));
}

/* A fork's branch may have the same name. */
static bool is_ours(const struct json *j, uint32_t v, const struct forge_wish *w)
{
        uint32_t head = json_find(j, v, "head"), base = json_find(j, v, "base");
        uint32_t repo = head ? json_find(j, head, "repo") : 0;

        return head && base && repo &&
               is_text(j, json_find(j, head, "ref"), w->branch, strlen(w->branch), false) &&
               is_text(j, json_find(j, base, "ref"), w->base, strlen(w->base), false) &&
               is_text(j, json_find(j, repo, "full_name"), w->name, w->name_len, true);
}

enum forge_status forge_read(struct forge_pull *p, const char *json, size_t len)
{
        struct json_error e;
        struct json j;
        bool ok;

        *p = (struct forge_pull){ .number = 0 };
        if (json_open(&j, json, len, &e) < 0)
                return FORGE_GARBAGE;
        ok = take_pull(p, &j, 0);
        json_close(&j);
        return ok ? FORGE_OK : FORGE_GARBAGE;
}

enum forge_status forge_find(struct forge_pull *p, const struct forge_wish *w, const char *json,
                             size_t len)
{
        enum forge_status status = FORGE_NONE_SUCH;
        struct json_error e;
        struct json j;

        *p = (struct forge_pull){ .number = 0 };
        if (json_open(&j, json, len, &e) < 0)
                return FORGE_GARBAGE;
        if (j.tokens[0].type != JSON_ARRAY)
                status = FORGE_GARBAGE;
        else if (j.tokens[0].size >= FORGE_PAGE)
                status = FORGE_MORE;
        for (uint32_t v = status == FORGE_GARBAGE ? 0 : json_first(&j, 0); v; v = json_next(&j, v)) {
                struct forge_pull found;

                if (is_ours(&j, v, w) && take_pull(&found, &j, v) && !strcmp(found.state, "open")) {
                        *p = found;
                        status = FORGE_OK;
                        break;
                }
        }
        json_close(&j);
        return status;
}

void forge_message(char out[static FORGE_TEXT], const char *json, size_t len)
{
        char text[ERROR_MAX + 1];
        struct wr w = wr_of(out, FORGE_TEXT - 1);
        struct json_error e;
        struct json j;
        uint32_t v;

        *out = '\0';
        if (len > sizeof(text) - 1 || json_open(&j, json, len, &e) < 0)
                return;
        v = json_find(&j, 0, "message");
        if (v && j.tokens[v].type == JSON_STRING) {
                size_t n = json_string(&j, v, text);

                if (n > 200)
                        n = utf8_prefix(text, 200);
                wr_plain(&w, text, n);
                wr_cstr(&w);
        }
        json_close(&j);
}
