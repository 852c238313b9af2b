/*
 * init/spec_pull.c - what "pull_request" means: two rules that nobody goes by but the push, and
 * the command line of airlock-push.
 *
 * The token is in these rules and in no other, so that it can't be used before the agent is
 * dead; and the one lets git push a single branch of a single repository, the other ask for
 * pull requests of that repository. An ssh key could not be kept so: the program that would
 * have to read it is the image's, and the agent may have written another one in its place.
 */
#include "init/policy_text.h"
#include "init/spec_read.h"

#include "base/utf8.h"

#include <string.h>

#define WORDS 32
#define TEXT 1024
#define TITLE 72 /* bytes of one that is made of the prompt */
#define BRANCH 200

/* An https:// URL, taken apart; its path is without a slash at the end. */
struct place {
        const char *host, *path;
        size_t host_len, path_len;
        unsigned port;
};

/* Of what reads the same to every server, and to a shell. */
static bool is_plain(const char *s, size_t len)
{
        for (size_t i = 0; i < len; i++) {
                char c = s[i];

                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      strchr("._/-+", c)) ||
                    (i && c == s[i - 1] && (c == '/' || c == '.')))
                        return false;
        }
        return true;
}

static bool take_place(struct place *p, const char *url)
{
        if (strncmp(url, "https://", 8) != 0 || strchr(url, '@') ||
            !policy_text_repo(url, &p->host, &p->host_len, &p->port))
                return false;
        p->path = url + 8 + strcspn(url + 8, "/?#");
        p->path_len = strlen(p->path);
        while (p->path_len && p->path[p->path_len - 1] == '/')
                p->path_len--;
        return is_plain(p->path, p->path_len) && !text_find(p->path, "/./") &&
               (p->path_len < 2 || memcmp(p->path + p->path_len - 2, "/.", 2) != 0);
}

/* "owner/name" at the end of a repository's path, without .git; false: it has no two parts. */
static bool take_name(const struct place *p, const char **name, size_t *len)
{
        const char *end = p->path + p->path_len, *slash;

        if (p->path_len > 4 && !memcmp(end - 4, ".git", 4))
                end -= 4;
        slash = memrchr(p->path, '/', (size_t)(end - p->path));
        if (!slash || slash == p->path || slash + 1 == end)
                return false;
        *name = (const char *)memrchr(p->path, '/', (size_t)(slash - p->path)) + 1;
        *len = (size_t)(end - *name);
        return *name != slash;
}

static const char *text_of(struct spec *s, const struct wr *w)
{
        return w->full ? NULL : spec_copy(s, w->buf, w->len);
}

/* --- what was not said -------------------------------------------------------------------- */

static const char *default_title(struct spec *s)
{
        const char *from = s->prompt ? s->prompt : "";
        size_t len;

        from += strspn(from, " \t\r\n");
        len = strcspn(from, "\r\n");
        if (len > TITLE)
                len = utf8_prefix(from, TITLE);
        while (len && (from[len - 1] == ' ' || from[len - 1] == '\t'))
                len--;
        for (size_t i = 0; i < len; i++) {
                if ((unsigned char)from[i] < ' ' || from[i] == 0x7f)
                        len = 0;
        }
        return len ? spec_copy(s, from, len) : "Changes by an agent";
}

static bool is_host(const struct place *p, const char *name)
{
        return p->host_len == strlen(name) && !memcmp(p->host, name, p->host_len);
}

static bool guess_forge(struct spec *s, const struct place *p)
{
        if (s->output.pull.forge == FORGE_UNSET && is_host(p, "github.com"))
                s->output.pull.forge = FORGE_GITHUB;
        if (s->output.pull.forge == FORGE_UNSET && (is_host(p, "codeberg.org") || is_host(p, "gitea.com")))
                s->output.pull.forge = FORGE_GITEA;
        return s->output.pull.forge != FORGE_UNSET;
}

/* Where the forge of a repository has its API. */
static const char *default_api(struct spec *s, const struct place *p, const char *name)
{
        size_t authority = (size_t)(p->path - (s->output.pull.url + 8));
        char text[TEXT];
        struct wr w = wr_of(text, sizeof(text));

        if (s->output.pull.forge == FORGE_GITHUB && is_host(p, "github.com"))
                return "https://api.github.com";
        wr_fmt(&w, "https://%.*s%.*s%s", (int)authority, s->output.pull.url + 8,
               (int)(name - 1 - p->path), p->path,
               s->output.pull.forge == FORGE_GITHUB ? "/api/v3" : "/api/v1");
        return text_of(s, &w);
}

/* --- the rules ------------------------------------------------------------------------------ */

/* An address or a range, and no name. */
static bool is_address(const char *s)
{
        return strchr(s, ':') || strchr(s, '/') || !s[strspn(s, "0123456789.")];
}

static bool takes(const struct spec_rule *r, unsigned port)
{
        for (size_t i = 0; i < r->port_count; i++) {
                if (r->ports[i] == port)
                        return true;
        }
        return !r->port_count && (port == 443 || port == 80);
}

/*
 * The rule; and behind it one for each address that the operator has opened to the task, because
 * a forge of his own may be there.
 */
static struct spec_rule *make_rule(struct spec *s, enum spec_way way, const struct place *p)
{
        const struct spec_list *allow = &s->network.allow;
        size_t before = s->network.rule_count, n = 1;
        struct spec_rule *r = spec_add_rules(s, way, 1 + allow->count + before);
        uint16_t *port = spec_arena_take(s->arena, sizeof(*port), 8);

        if (!r || !port)
                return NULL;
        *port = (uint16_t)p->port;
        r->host = spec_copy(s, p->host, p->host_len);
        r->inject_header = "Authorization";
        for (size_t i = 0; i < allow->count; i++) {
                if (is_address(allow->items[i]))
                        r[n++].host = allow->items[i];
        }
        for (const struct spec_rule *o = s->network.rules; o < r; o++) {
                if (o->way == WAY_TASK && is_address(o->host) && takes(o, p->port))
                        r[n++].host = o->host;
        }
        s->network.rule_count = before + n;
        for (size_t i = 0; i < n; i++) {
                r[i].ports = port;
                r[i].port_count = 1;
        }
        return r->host ? r : NULL;
}

static const char **make_list(struct spec *s, struct spec_list *l, size_t count)
{
        const char **items = spec_arena_take(s->arena, (count + 1) * sizeof(*items), 8);

        if (items)
                items[count] = NULL;
        *l = (struct spec_list){ items, items ? count : 0 };
        return items;
}

/* The token is "${NAME}": NAME} stands behind @before. */
static const char *make_value(struct spec *s, const char *before)
{
        const char *name = s->output.pull.token + 2;
        char text[TEXT];
        struct wr w = wr_of(text, sizeof(text));

        wr_fmt(&w, "%s%s", before, name);
        return text_of(s, &w);
}

static bool push_rule(struct spec *s, const struct place *p)
{
        struct spec_rule *r = make_rule(s, WAY_PUSH, p);
        const char **path = r ? make_list(s, &r->paths, 1) : NULL;
        char text[TEXT];
        struct wr w = wr_of(text, sizeof(text));
        struct wr b = wr_of(text, sizeof(text));

        if (!path)
                return false;
        wr_fmt(&w, "%.*s/*", (int)p->path_len, p->path);
        path[0] = text_of(s, &w);
        wr_fmt(&b, "refs/heads/%s", s->output.pull.branch);
        r->git = GIT_PUSH;
        r->git_branch = text_of(s, &b);
        /* Forges take a token as the password of any user; this name is GitHub's own. */
        r->inject_value = make_value(s, "Basic ${base64:x-access-token:");
        return path[0] && r->git_branch && r->inject_value;
}

static bool forge_rule(struct spec *s, const struct place *api, const char *repo)
{
        static const char *const methods[] = { "GET", "POST", "PATCH" };
        struct spec_rule *r = make_rule(s, WAY_FORGE, api);
        const char **path = r ? make_list(s, &r->paths, 2) : NULL;
        const char **method = r ? make_list(s, &r->methods, COUNT(methods)) : NULL;
        const char *at = repo + 8 + strcspn(repo + 8, "/");
        char text[TEXT];
        struct wr w = wr_of(text, sizeof(text));

        if (!path || !method)
                return false;
        memcpy(method, methods, sizeof(methods));
        wr_fmt(&w, "%s/pulls", at);
        path[0] = text_of(s, &w);
        wr_str(&w, "/*");
        path[1] = text_of(s, &w);
        r->inject_value = make_value(s, s->output.pull.forge == FORGE_GITHUB ? "Bearer ${" : "token ${");
        return path[0] && path[1] && r->inject_value;
}

/* --- all of it ------------------------------------------------------------------------------- */

/* The API's URL for the repository, and the rule that leads there; NULL: said why. */
static const char *make_forge(struct spec *s, const struct place *p, const char **why)
{
        const char *name, *repo;
        size_t len;
        struct place api;
        char text[TEXT];
        struct wr w = wr_of(text, sizeof(text));

        *why = "output.pull_request.url: no OWNER/NAME at its end, which the forge knows it by";
        if (!take_name(p, &name, &len))
                return NULL;
        *why = "output.pull_request.forge: expected one of github|gitea|none for this host";
        if (!guess_forge(s, p))
                return NULL;
        *why = "output.pull_request: too long";
        if (!s->output.pull.api)
                s->output.pull.api = default_api(s, p, name);
        if (!s->output.pull.api)
                return NULL;
        *why = "output.pull_request.api: expected https://HOST[:PORT][/PATH]";
        if (!take_place(&api, s->output.pull.api))
                return NULL;
        *why = "output.pull_request: too long";
        wr_fmt(&w, "%.*s/repos/%.*s", (int)(api.path + api.path_len - s->output.pull.api),
               s->output.pull.api, (int)len, name);
        repo = text_of(s, &w);
        return repo && forge_rule(s, &api, repo) ? repo : NULL;
}

static const char *make_command(struct spec *s, const char *repo)
{
        static const char forges[][7] = { "", "github", "gitea", "none" };
        struct spec_line w = { s, spec_arena_take(s->arena, WORDS * sizeof(*w.at), 8), 0 };

        if (!w.at)
                return "output.pull_request: too long";
        w.at[w.n++] = "airlock-push";
        spec_option(&w, "--url", s->output.pull.url);
        spec_option(&w, "--branch", s->output.pull.branch);
        spec_option(&w, "--title", s->output.pull.title);
        spec_option(&w, "--base", s->output.pull.base);
        spec_option(&w, "--ref", s->repo.ref);
        spec_option(&w, "--forge", forges[s->output.pull.forge]);
        spec_option(&w, "--api", repo);
        spec_option(&w, "--author", s->output.pull.author);
        spec_option(&w, "--link", s->output.pull.link);
        spec_number(&w, "--timeout-s", s->output.pull.timeout_s);
        if (s->output.pull.draft)
                w.at[w.n++] = "--draft";
        w.at[w.n] = NULL;
        s->output.push = (struct spec_list){ w.at, w.n };
        return NULL;
}

static const char *check_branch(const struct spec *s)
{
        const char *b = s->output.pull.branch;
        size_t len = strlen(b);

        if (len > BRANCH || !is_plain(b, len) || !strncmp(b, "refs/", 5))
                return "output.pull_request.branch: expected a name of A-Z a-z 0-9 . _ / - +, "
                       "without refs/heads/";
        if (!strcmp(b, "main") || !strcmp(b, "master") || !strcmp(b, "HEAD") ||
            (s->output.pull.base && !strcmp(b, s->output.pull.base)) ||
            (s->repo.ref && !strcmp(b, s->repo.ref)))
                return "output.pull_request.branch: a branch of its own, not the one that it "
                       "is to be merged into";
        return !s->output.pull.base || is_plain(s->output.pull.base, strlen(s->output.pull.base))
                       ? NULL
                       : "output.pull_request.base: expected a name of A-Z a-z 0-9 . _ / - +";
}

/* "Name <mail>", as git takes it apart. */
static bool is_author(const char *s)
{
        const char *open = strchr(s, '<'), *at = strchr(s, '@');

        return open && open > s + 1 && open[-1] == ' ' && at > open + 1 &&
               !strpbrk(open + 1, "< ") && strchr(s, '>') == s + strlen(s) - 1 &&
               at + 2 < s + strlen(s);
}

const char *spec_pull(struct spec *s)
{
        const char *wrong, *repo = NULL;
        struct place p;

        if (!s->output.pull.branch)
                return NULL;
        if (!s->repo.url)
                return "output.pull_request: \"repo.url\" is missing: there is nothing to push";
        if (s->repo.lfs)
                return "output.pull_request: not together with repo.lfs: LFS files are not uploaded";
        if (!s->secrets.sealed)
                return "output.pull_request.token: \"secrets\" are missing, and it is one of them";
        if (s->network.lock == LOCK_CLOSED)
                return "output.pull_request: not under network.lock \"closed\", where git has no socket "
                       "to push by";
        wrong = check_branch(s);
        if (wrong)
                return wrong;
        if (!s->output.pull.author)
                s->output.pull.author = "airlock <noreply@airlock.invalid>";
        if (!is_author(s->output.pull.author))
                return "output.pull_request.author: expected \"Name <mail@host>\"";
        if (!s->output.pull.title)
                s->output.pull.title = default_title(s);
        if (!s->output.pull.url)
                s->output.pull.url = s->repo.url;
        if (!take_place(&p, s->output.pull.url) || !p.path_len)
                return "output.pull_request.url: expected https://HOST[:PORT]/OWNER/NAME[.git]; the "
                       "push goes over https, where airlock-proxy adds the token: an ssh key would be in "
                       "the reach of the image's ssh, and of an agent that replaced it";
        if (s->output.pull.forge != FORGE_NONE) {
                repo = make_forge(s, &p, &wrong);
                if (!repo)
                        return wrong;
        }
        if (!s->output.pull.title || !push_rule(s, &p))
                return "output.pull_request: too long";
        return make_command(s, repo);
}
