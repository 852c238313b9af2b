/*
 * agent/push_main.c - the main of airlock-push: base/push.h says what it is for.
 *
 * It reads what a forge and a git, maybe the agent's, say, and holds nothing but a channel to
 * airlock-proxy, whose policy says what can be done there. It can't be traced: the git that it
 * runs has its user.
 */
#include "agent/push.h"

#include "base/clock.h"
#include "base/confine.h"
#include "base/digits.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

int push_fail(struct push *p, int status, const char *fmt, ...)
{
        char text[FORGE_TEXT];
        struct wr w = wr_of(text, sizeof(text) - 1);
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        wr_cstr(&w);
        log_line(LOG_ERROR, "%s", text);
        if (!*p->reason)
                memcpy(p->reason, text, sizeof(text));
        return status;
}

/* --- what we were told ------------------------------------------------------------------- */

/* "Name <mail>" */
static void set_author(const char *author)
{
        const char *open = strchr(author, '<');
        char name[512], mail[512];
        struct wr n = wr_of(name, sizeof(name) - 1);
        struct wr m = wr_of(mail, sizeof(mail) - 1);

        if (!open || open == author)
                return;
        wr_bytes(&n, author, (size_t)(open - author) - 1);
        wr_bytes(&m, open + 1, strcspn(open + 1, ">"));
        wr_cstr(&n);
        wr_cstr(&m);
        setenv("GIT_AUTHOR_NAME", name, 1);
        setenv("GIT_AUTHOR_EMAIL", mail, 1);
        setenv("GIT_COMMITTER_NAME", name, 1);
        setenv("GIT_COMMITTER_EMAIL", mail, 1);
}

static bool options(struct push *p, int argc, char **argv)
{
        const struct {
                const char *name, **value;
        } texts[] = {
                { "--url", &p->url },   { "--branch", &p->branch }, { "--title", &p->title },
                { "--base", &p->base }, { "--ref", &p->ref },       { "--api", &p->api },
                { "--author", &p->author }, { "--link", &p->link },
        };
        uint64_t seconds = 120;

        for (int i = 1; i < argc; i++) {
                size_t n = 0;

                if (!strcmp(argv[i], "--draft")) {
                        p->draft = true;
                        continue;
                }
                if (i + 1 == argc)
                        return false;
                while (n < COUNT(texts) && strcmp(argv[i], texts[n].name) != 0)
                        n++;
                i++;
                if (n < COUNT(texts)) {
                        *texts[n].value = argv[i];
                } else if (!strcmp(argv[i - 1], "--forge")) {
                        p->forge = strcmp(argv[i], "none") != 0;
                        p->gitea = !strcmp(argv[i], "gitea");
                } else if (strcmp(argv[i - 1], "--timeout-s") != 0 ||
                           !digits_parse(argv[i], 3600, &seconds)) {
                        return false;
                }
        }
        p->timeout_ms = seconds * 1000;
        return p->url && strlen(p->url) > 8 && p->branch && p->title && p->author &&
               (p->api || !p->forge);
}

/* What every git of ours gets, and nothing of the agent's but its PATH. */
static bool set_environment(const char *repository)
{
        static const char *const fixed[][2] = {
                { "LC_ALL", "C.UTF-8" },      { "GIT_CONFIG_NOSYSTEM", "1" },
                { "GIT_ATTR_NOSYSTEM", "1" }, { "GIT_CONFIG_GLOBAL", "/dev/null" },
                { "GIT_OPTIONAL_LOCKS", "0" }, { "GIT_TERMINAL_PROMPT", "0" },
                { "GIT_NO_REPLACE_OBJECTS", "1" }, { "GIT_ALLOW_PROTOCOL", "http" },
        };
        static char path[65536] LARGE_BUFFER;
        char tree[PATH_MAX];
        const char *had = getenv("PATH");
        struct wr w = wr_of(path, sizeof(path) - 1);
        bool ok;

        wr_str(&w, had ? had : "/usr/local/bin:/usr/bin:/bin");
        ok = !w.full && getcwd(tree, sizeof(tree)) && !clearenv() && !setenv("PATH", wr_cstr(&w), 1) &&
             !setenv("HOME", repository, 1) && !setenv("GIT_DIR", repository, 1) &&
             !setenv("GIT_WORK_TREE", tree, 1);
        for (size_t i = 0; i < COUNT(fixed) && ok; i++)
                ok = !setenv(fixed[i][0], fixed[i][1], 1);
        return ok;
}

/* AIRLOCK_PUSH, which git does not get to see. */
static bool place(struct push *p)
{
        static char repository[PATH_MAX];
        const char *s = getenv("AIRLOCK_PUSH"), *colon;
        uint64_t channel, bundle;

        if (!s || !digits_take(&s, INT_MAX, &channel) || *s++ != ':' ||
            !digits_take(&s, INT_MAX, &bundle) || *s++ != ':')
                return false;
        colon = strchr(s, ':');
        if (!colon || (size_t)(colon - s) >= sizeof(p->start) || strlen(colon) > sizeof(repository))
                return false;
        memcpy(p->start, s, (size_t)(colon - s));
        memcpy(repository, colon + 1, strlen(colon));
        p->channel = (int)channel;
        p->bundle = (int)bundle;
        return set_environment(repository) && !fcntl(p->channel, F_SETFD, FD_CLOEXEC) && !fcntl(p->bundle, F_SETFD, FD_CLOEXEC);
}

/* --- what is told ------------------------------------------------------------------------- */

static void put(struct wr *w, const char *key, const char *value)
{
        wr_fmt(w, ", \"%s\": ", key);
        if (value && *value)
                wr_json(w, value, strlen(value));
        else
                wr_str(w, "null");
}

static int put_result(const struct push *p)
{
        char text[PUSH_RESULT];
        struct wr w = wr_of(text, sizeof(text));

        wr_fmt(&w, "{\"pushed\": %s", p->pushed ? "true" : "false");
        put(&w, "state", p->state);
        put(&w, "branch", p->branch);
        put(&w, "base", p->into);
        put(&w, "commit", p->commit);
        wr_fmt(&w, p->pull.number ? ", \"number\": %u" : ", \"number\": null", p->pull.number);
        put(&w, "url", p->pull.url);
        put(&w, "reason", p->reason);
        put(&w, "by_hand", p->by_hand);
        wr_str(&w, "}");
        if (w.full || ftruncate(STDOUT_FILENO, 0) < 0 || lseek(STDOUT_FILENO, 0, SEEK_SET) < 0)
                return -1;
        return write_full(STDOUT_FILENO, text, w.len);
}

static bool take(const struct json *j, const char *key, char *out, size_t cap)
{
        uint32_t v = json_find(j, 0, key);

        if (!v || j->tokens[v].type != JSON_STRING || j->tokens[v].end - j->tokens[v].start >= cap)
                return false;
        json_string(j, v, out);
        return true;
}

/* What the first turn said; false: this is the first one. */
static bool take_result(struct push *p)
{
        char text[PUSH_RESULT];
        ssize_t n = pread(STDOUT_FILENO, text, sizeof(text), 0);
        struct json_error e;
        struct json j;
        bool ok;

        if (n <= 0 || json_open(&j, text, (size_t)n, &e) < 0)
                return false;
        ok = take(&j, "base", p->into, sizeof(p->into)) &&
             take(&j, "commit", p->commit, sizeof(p->commit));
        json_close(&j);
        p->pushed = true;
        return ok;
}

static int turn(struct push *p)
{
        bool second = take_result(p);
        int status;

        p->deadline_ms = now_ms() + p->timeout_ms;
        if (second && !p->forge)
                status = 0;
        else
                status = second ? push_forge(p) : push_branch(p);
        p->state = status == PUSH_NOTHING ? "nothing" : status ? "failed" : "pushed";
        if (!status && *p->pull.state)
                p->state = p->pull.state;
        if (status <= PUSH_NOTHING)
                *p->by_hand = '\0';
        else
                log_line(LOG_INFO, "by hand: %s", p->by_hand);
        if (!status && (second || !p->forge))
                log_line(LOG_INFO, "%s: %s %s", p->branch, p->state, p->pull.url);
        return put_result(p) < 0 ? STATUS_OUTPUT : status;
}

int main(int argc, char **argv)
{
        static struct push p;
        int status;

        confine_relro();
        log_role("push");
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        if (!options(&p, argc, argv) || !place(&p)) {
                log_line(LOG_ERROR, "started by airlock run alone");
                return STATUS_USAGE;
        }
        set_author(p.author);
        status = turn(&p);
        return status;
}
