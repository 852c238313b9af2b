/* agent/push_forge.c - the second turn: a pull request of the branch, opened or brought up to date. */
#include "agent/fetch.h"
#include "agent/push.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"

#include <string.h>

#define PAGES 20

/* One exchange with the forge. */
struct answer {
        unsigned code;
        char denied[64];      /* by airlock-proxy: its word */
        bool busy;            /* it asks to come again later */
        struct buf body, why;
};

static bool take_head(void *argument, const struct http1 *h)
{
        struct http1_text denied = http1_header(h, "x-airlock-denied");
        struct answer *a = argument;

        a->code = h->code;
        a->busy = http1_header(h, "retry-after").at != NULL;
        if (denied.at && denied.len < sizeof(a->denied))
                memcpy(a->denied, denied.at, denied.len);
        return true;
}

static bool take_body(void *argument, const char *bytes, size_t len)
{
        struct answer *a = argument;

        if (a->body.len + len > FORGE_ANSWER)
                return false;
        buf_put(&a->body, bytes, len);
        return true;
}

static void answer_free(struct answer *a)
{
        buf_free(&a->body);
        buf_free(&a->why);
}

/* The message of an error, one line of it. */
static int refused(struct push *p, const char *what, const struct answer *a)
{
        bool later = a->busy || a->code == 429 || a->code >= 500;
        char said[FORGE_TEXT];

        if (*a->denied) /* what the proxy could not reach may be there tomorrow */
                return push_fail(p, STATUS_AGAIN, "%s: airlock-proxy: %s", what, a->denied);
        if (a->code >= 300 && a->code < 400)
                return push_fail(p, STATUS_OUTPUT, "%s: the forge answered with a redirect (%u), which "
                                 "is not followed: has the repository moved?", what, a->code);
        forge_message(said, buf_at(&a->body), a->body.len);
        return push_fail(p, later ? STATUS_AGAIN : STATUS_OUTPUT, "%s: the forge answered %u%s%s", what,
                         a->code, *said ? ": " : "", said);
}

/*
 * METHOD API/pulls@tail. 0: 2xx, and @a is the caller's to free; else said why. @taken: a POST
 * that finds one there already (GitHub 422, Gitea 409) is no failure, and makes that true.
 */
static int exchange(struct push *p, const char *method, const struct buf *tail, struct buf *body,
                    struct answer *a, bool *taken)
{
        struct fetch_sink sink = { take_head, take_body, a };
        struct fetch f = { .channel = p->channel };
        struct wr u = wr_of(f.url, sizeof(f.url) - 1);
        uint64_t now = now_ms();
        enum fetch_end end;

        *a = (struct answer){ .code = 0 };
        if (now >= p->deadline_ms)
                return push_fail(p, STATUS_AGAIN, "the forge took too long");
        memcpy(f.method, method, strlen(method) + 1);
        wr_fmt(&u, "%s/pulls", p->api);
        wr_bytes(&u, buf_at(tail), tail->len);
        wr_cstr(&u);
        buf_str(&f.headers, "user-agent: airlock/" AIRLOCK_VERSION "\r\n");
        buf_str(&f.headers, p->gitea ? "accept: application/json\r\n"
                                     : "accept: application/vnd.github+json\r\n"
                                       "x-github-api-version: 2022-11-28\r\n");
        if (body)
                buf_str(&f.headers, "content-type: application/json\r\n");
        if (body)
                f.body = *body;
        f.timeout_ms = p->deadline_ms - now;
        end = fetch(&f, &sink, &a->why);
        buf_free(&f.headers);
        if (end == FETCH_DONE && a->code >= 200 && a->code < 300)
                return 0;
        if (end == FETCH_DONE && taken && (a->code == 409 || a->code == 422)) {
                *taken = true;
                return 0;
        }
        if (end == FETCH_DONE)
                return refused(p, method, a);
        buf_put(&a->why, "", 1);
        return push_fail(p, STATUS_AGAIN, "%s: the forge's answer: %s", method, buf_at(&a->why));
}

/* --- what is asked ------------------------------------------------------------------------- */

/* Ours, if it is open already: FORGE_OK in *@found. */
static int find(struct push *p, const struct forge_wish *w, enum forge_status *found)
{
        int status = 0;

        *found = FORGE_MORE;
        for (unsigned page = 1; page <= PAGES && *found == FORGE_MORE && !status; page++) {
                struct buf tail = { 0 };
                struct answer a;

                forge_put_query(&tail, w, page);
                status = exchange(p, "GET", &tail, NULL, &a, NULL);
                if (!status)
                        *found = forge_find(&p->pull, w, buf_at(&a.body), a.body.len);
                if (*found == FORGE_GARBAGE)
                        status = push_fail(p, STATUS_AGAIN, "GET: the forge's answer is no list of "
                                                            "pull requests");
                buf_free(&tail);
                answer_free(&a);
        }
        return status;
}

/* POST, or PATCH of the one that was found. */
static int put(struct push *p, const struct forge_wish *w, bool create, bool *taken)
{
        const char *method = create ? "POST" : "PATCH";
        struct forge_pull told;
        struct buf tail = { 0 }, body = { 0 };
        struct answer a;
        int status;

        if (!create)
                buf_fmt(&tail, "/%u", p->pull.number);
        forge_put_request(&body, w, create);
        status = exchange(p, method, &tail, &body, &a, create ? taken : NULL);
        if (!status && !(create && *taken)) {
                if (forge_read(&told, buf_at(&a.body), a.body.len) == FORGE_OK)
                        p->pull = told;
                else
                        status = push_fail(p, STATUS_AGAIN, "%s: the forge's answer is no pull request",
                                           method);
        } else if (!status) {
                status = refused(p, method, &a); /* kept, if none is found now */
        }
        buf_free(&tail);
        buf_free(&body);
        answer_free(&a);
        return status;
}

/* Where a person opens one; both forges know the address. */
static void say_how(struct push *p)
{
        size_t len = strlen(p->url);
        struct wr w = wr_of(p->by_hand, sizeof(p->by_hand) - 1);

        if (len > 4 && !strcmp(p->url + len - 4, ".git"))
                len -= 4;
        wr_fmt(&w, "the branch is pushed; open %.*s/compare/%s...%s", (int)len, p->url, p->into,
               p->branch);
        wr_cstr(&w);
}

/* OWNER/NAME: the end of the API's address of the repository. */
static bool take_name(const struct push *p, struct forge_wish *w)
{
        const char *name = strrchr(p->api, '/');
        const char *owner = name ? memrchr(p->api, '/', (size_t)(name - p->api)) : NULL;

        if (!owner)
                return false;
        w->owner = w->name = owner + 1;
        w->owner_len = (size_t)(name - owner) - 1;
        w->name_len = strlen(w->name);
        return true;
}

int push_forge(struct push *p)
{
        static char text[FORGE_BODY] LARGE_BUFFER;
        static char rest[65536] LARGE_BUFFER;
        ssize_t n = read_full(0, text, sizeof(text)), more;
        struct forge_wish w = {
                .title = p->title, .branch = p->branch, .base = p->into, .gitea = p->gitea,
                .draft = p->draft, .start = p->start, .commit = p->commit, .link = p->link,
                .answer = text, .answer_len = n > 0 ? (size_t)n : 0, .answer_all = n > 0 ? (size_t)n : 0,
        };
        enum forge_status found;
        bool taken = false;
        int status;

        while ((more = read_full(0, rest, sizeof(rest))) > 0)
                w.answer_all += (size_t)more;
        say_how(p);
        if (!take_name(p, &w))
                return push_fail(p, STATUS_OUTPUT, "the API's address names no repository");
        status = find(p, &w, &found);
        if (status)
                return status;
        if (found == FORGE_OK)
                return put(p, &w, false, NULL);
        status = put(p, &w, true, &taken);
        /* Somebody was faster; or it was refused for another reason, which is kept. */
        if (taken && !find(p, &w, &found) && found == FORGE_OK) {
                *p->reason = '\0';
                status = put(p, &w, false, NULL);
        }
        return status;
}
