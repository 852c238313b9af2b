/*
 * agent/push_branch.c - the first turn: a commit of what the diff shows, on its branch.
 *
 * GIT_DIR is the private repository that borrows the objects of the agent's, and whose index
 * PID 1 has filled. What the branch holds already decides how it is written:
 *
 *   no such branch            our commit on the start commit
 *   the start commit          the same
 *   a commit of ours, from    our commit on top of that one: the pull request keeps its
 *   the same start            history, and what was said about it
 *   a commit of ours, from    our commit on the start commit, in the place of the other one
 *   another start
 *   any other commit          nothing: it is somebody's work
 *
 * "Of ours" is what the commit says of itself, in trailers, as long as nobody made it anew: amend
 * and rebase keep them, but not the committer. Whatever was seen there has to be there still when
 * the branch is written: --force-with-lease.
 */
#include "agent/push.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REMOTE "http://127.0.0.1"
#define SHALLOW_MAX (1U << 20)
#define TEXT 1024
#define LOCAL_MS 60000
#define SHOWN 20 /* lines of what a git says that failed */

/* What the remote has. */
struct remote {
        char url[TEXT]; /* our relay, and the repository's path */
        char host[TEXT]; /* the header that says whose it is */
        char head[256]; /* its default branch, or "" */
        char tip[PUSH_ID]; /* of our branch, or "" */
        bool has_ref;    /* repo.ref is a branch there */
};

/* An object's name in hex at @s; false: none. */
static bool take_id(const char *s, char id[static PUSH_ID])
{
        size_t len = strspn(s, "0123456789abcdef");

        *id = '\0';
        if (len != 40 && len != 64)
                return false;
        memcpy(id, s, len);
        id[len] = '\0';
        return true;
}

/* Runs git for its one line. */
static bool ask(struct push *p, const char *const *argv, char id[static PUSH_ID])
{
        struct buf out = { 0 }, err = { 0 };
        const struct git g = { argv, -1, &out, &err };
        bool ok = !git_run(p, &g);

        buf_put(&out, "", 1);
        ok = take_id(buf_at(&out), id) && ok;
        if (!ok && err.len)
                log_line(LOG_ERROR, "git %s: %.*s", argv[0], err.len > 300 ? 300 : (int)err.len,
                         buf_at(&err));
        buf_free(&out);
        buf_free(&err);
        return ok;
}

/* A shallow clone stays one. The file is the agent's: only its own git reads it. */
static void take_shallow(void)
{
        static char text[SHALLOW_MAX] LARGE_BUFFER;
        AUTO_CLOSE int from = open(".git/shallow", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        const char *git = getenv("GIT_DIR");
        AUTO_CLOSE int dir = git ? open(git, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        struct stat st;
        ssize_t n;

        if (from < 0 || dir < 0 || fstat(from, &st) < 0 || !S_ISREG(st.st_mode))
                return;
        n = read_full(from, text, sizeof(text));
        if (n > 0 && (size_t)n < sizeof(text) && write_file(dir, "shallow", text, (size_t)n) < 0)
                log_line(LOG_WARN, "the clone's depth can't be taken over");
}

/* --- the remote --------------------------------------------------------------------------- */

/* git speaks HTTP to the relay; whose repository it means, it says in a header. */
static bool name_remote(const struct push *p, struct remote *r, int port)
{
        const char *host = p->url + 8, *path = host + strcspn(host, "/");
        struct wr u = wr_of(r->url, sizeof(r->url) - 1);
        struct wr h = wr_of(r->host, sizeof(r->host) - 1);

        wr_fmt(&u, REMOTE ":%d%s", port, path);
        wr_cstr(&u);
        wr_fmt(&h, "http.extraHeader=Host: %.*s", (int)(path - host), host);
        wr_cstr(&h);
        return !u.full && !h.full;
}

static bool is_refused(const struct buf *said)
{
        static const char *const words[] = { "Authentication failed", "returned error: 4",
                                             "could not read Username", "not found", "[rejected]",
                                             "[remote rejected]", "declined" };

        for (size_t i = 0; i < COUNT(words); i++) {
                if (memmem(buf_at(said), said->len, words[i], strlen(words[i])))
                        return true;
        }
        return false;
}

/* Shows what git said, and keeps the line that tells most: one with a word of these, or the last. */
static int git_failed(struct push *p, const char *what, struct buf *said)
{
        static const char *const words[] = { "remote: airlock: ", "rejected]", "fatal: " };
        const char *best = "";
        size_t rank = COUNT(words), shown = 0;
        bool refused = is_refused(said);

        buf_put(said, "", 1);
        for (char *line = buf_at(said), *end; *line; line = end) {
                size_t i = 0;

                end = line + strcspn(line, "\n");
                if (*end)
                        *end++ = '\0';
                while (i < rank && !strstr(line, words[i]))
                        i++;
                if (i < rank || rank == COUNT(words))
                        best = line;
                rank = i < rank ? i : rank;
                if (shown++ < SHOWN)
                        log_line(LOG_INFO, "git: %.*s", 300, line);
        }
        return push_fail(p, refused ? STATUS_OUTPUT : STATUS_AGAIN, "%s%s%.*s", what,
                         *best ? ": " : now_ms() >= p->deadline_ms ? ": took too long" : "", 300, best);
}

/* A line of ls-remote: "ID\tNAME", or "ref: NAME\tHEAD". */
static void take_line(struct push *p, struct remote *r, const char *line)
{
        const char *tab = strchr(line, '\t'), *name = tab ? tab + 1 : "";
        char id[PUSH_ID];

        if (!strncmp(line, "ref: refs/heads/", 16) && !strcmp(name, "HEAD")) {
                size_t len = (size_t)(tab - (line + 16));

                if (len < sizeof(r->head)) {
                        memcpy(r->head, line + 16, len);
                        r->head[len] = '\0';
                }
        } else if (take_id(line, id) && !strncmp(name, "refs/heads/", 11)) {
                name += 11;
                if (!strcmp(name, p->branch))
                        memcpy(r->tip, id, sizeof(id));
                if (p->ref && !strcmp(name, p->ref))
                        r->has_ref = true;
        }
}

static int look(struct push *p, struct remote *r)
{
        char branch[TEXT], ref[TEXT];
        struct wr b = wr_of(branch, sizeof(branch) - 1);
        struct wr w = wr_of(ref, sizeof(ref) - 1);
        const char *argv[] = { "-c", r->host, "ls-remote", "--quiet", "--symref", r->url, "HEAD",
                               branch, ref, NULL };
        struct buf out = { 0 }, err = { 0 };
        const struct git g = { argv, -1, &out, &err };
        int status;

        wr_fmt(&b, "refs/heads/%s", p->branch);
        wr_cstr(&b);
        wr_fmt(&w, "refs/heads/%s", p->ref ? p->ref : p->branch);
        wr_cstr(&w);
        status = git_run(p, &g);
        if (status) {
                status = git_failed(p, "the repository's branches can't be listed", &err);
        } else {
                buf_put(&out, "", 1);
                for (char *line = buf_at(&out), *end; *line; line = end) {
                        end = line + strcspn(line, "\n");
                        if (*end)
                                *end++ = '\0';
                        take_line(p, r, line);
                }
        }
        buf_free(&out);
        buf_free(&err);
        return status;
}

/* Where the pull request leads; never the branch that is pushed. */
static int choose_base(struct push *p, const struct remote *r)
{
        const char *base = p->base ? p->base : r->has_ref ? p->ref : r->head;
        size_t len = strlen(base);

        if (!len && p->forge)
                return push_fail(p, STATUS_OUTPUT, "no base: the repository has no default branch; give "
                                                   "\"base\"");
        if (len >= sizeof(p->into))
                return push_fail(p, STATUS_OUTPUT, "the base's name is too long");
        memcpy(p->into, base, len + 1);
        if (!strcmp(p->branch, base) || !strcmp(p->branch, r->head))
                return push_fail(p, STATUS_OUTPUT, "%s is the branch that others work from: nothing is "
                                                   "pushed there", p->branch);
        return 0;
}

/* --- the commit ----------------------------------------------------------------------------- */

/* Is there a line "NAME: VALUE" in the message? A NULL value: any. */
static bool has_trailer(struct buf *commit, const char *name, const char *value)
{
        size_t len = strlen(name);

        for (char *line = buf_at(commit); line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (!strncmp(line, name, len) && !strncmp(line + len, ": ", 2) &&
                    (!value || (!strncmp(line + len + 2, value, strlen(value)) &&
                                line[len + 2 + strlen(value)] == '\n')))
                        return true;
        }
        return false;
}

/* Author and committer are one, as make_commit has them: name, mail and second. */
static bool is_as_made(struct buf *commit)
{
        const char *author = strstr(buf_at(commit), "\nauthor ");
        const char *committer = author ? strstr(author, "\ncommitter ") : NULL;
        size_t len;

        if (!committer)
                return false;
        author += strlen("\nauthor ");
        committer += strlen("\ncommitter ");
        len = strcspn(author, "\n");
        return strcspn(committer, "\n") == len && !memcmp(author, committer, len);
}

enum tip { TIP_NONE, TIP_START, TIP_OURS, TIP_OLD, TIP_FOREIGN, TIP_UNKNOWN };

/* Fetches what is on the branch, and asks it whose it is. */
static enum tip whose(struct push *p, const struct remote *r)
{
        char from[TEXT];
        struct wr f = wr_of(from, sizeof(from) - 1);
        const char *mark[] = { "update-ref", "refs/airlock/start", p->start, NULL };
        const char *fetch[] = { "-c", r->host, "fetch", "--quiet", "--no-tags",
                                "--no-recurse-submodules", r->url, from, NULL };
        const char *show[] = { "cat-file", "commit", r->tip, NULL };
        struct buf text = { 0 }, err = { 0 };
        const struct git marks = { mark, -1, NULL, NULL }, fetches = { fetch, -1, NULL, &err },
                         shows = { show, -1, &text, NULL };
        enum tip tip = TIP_FOREIGN;

        if (!*r->tip || !strcmp(r->tip, p->start))
                return *r->tip ? TIP_START : TIP_NONE;
        wr_fmt(&f, "refs/heads/%s", p->branch);
        wr_cstr(&f);
        /* What is had already is told by a ref: nothing but the rest comes. */
        if (git_run(p, &marks) || git_run(p, &fetches) || git_run(p, &shows)) {
                git_failed(p, "what is on the branch can't be fetched", &err);
                tip = TIP_UNKNOWN;
        } else {
                buf_put(&text, "", 1);
                if (is_as_made(&text) && has_trailer(&text, "Airlock-Start", p->start))
                        tip = TIP_OURS;
                else if (is_as_made(&text) && has_trailer(&text, "Airlock-Start", NULL))
                        tip = TIP_OLD;
        }
        buf_free(&text);
        buf_free(&err);
        return tip;
}

static bool make_commit(struct push *p, const char *tree, const char *parent)
{
        char trailers[TEXT];
        struct wr w = wr_of(trailers, sizeof(trailers) - 1);
        const char *argv[] = { "commit-tree", tree, "-p", parent, "-m", p->title, "-m", trailers,
                               NULL };

        wr_fmt(&w, "Airlock: " AIRLOCK_VERSION "\nAirlock-Start: %s", p->start);
        if (p->link)
                wr_fmt(&w, "\nAirlock-Task: %s", p->link);
        wr_cstr(&w);
        return ask(p, argv, p->commit);
}

/* OUT/branch.bundle: the branch, for whoever has the start commit. */
static bool export(struct push *p)
{
        char branch[TEXT], without[PUSH_ID + 1];
        struct wr b = wr_of(branch, sizeof(branch) - 1);
        struct wr w = wr_of(without, sizeof(without) - 1);
        const char *mark[] = { "update-ref", branch, p->commit, NULL };
        const char *make[] = { "bundle", "create", "--quiet", "-", branch, without, NULL };
        const struct git marks = { mark, -1, NULL, NULL }, makes = { make, p->bundle, NULL, NULL };

        wr_fmt(&b, "refs/heads/%s", p->branch);
        wr_cstr(&b);
        wr_fmt(&w, "^%s", p->start);
        wr_cstr(&w);
        return !git_run(p, &marks) && !git_run(p, &makes);
}

/* To the branch if that may be written, else to one that is not there yet. */
static void say_how(struct push *p, const char *tip, bool another)
{
        struct wr w = wr_of(p->by_hand, sizeof(p->by_hand) - 1);
        const char *more = another ? "-2" : "";

        wr_fmt(&w, "in a clone of the repository: git fetch OUT/branch.bundle refs/heads/%s && git push "
                   "--force-with-lease=refs/heads/%s%s:%s %s FETCH_HEAD:refs/heads/%s%s",
               p->branch, p->branch, more, another ? "" : tip, p->url, p->branch, more);
        wr_cstr(&w);
}

/* --- the turn --------------------------------------------------------------------------------- */

/* The commit on top of what is there, and in OUT. */
static int prepare(struct push *p, const struct remote *r, enum tip tip, const char *tree)
{
        char name[PUSH_ID + 8], old[PUSH_ID];
        struct wr w = wr_of(name, sizeof(name) - 1);
        const char *argv[] = { "rev-parse", "--verify", "--quiet", name, NULL };

        wr_fmt(&w, "%s^{tree}", r->tip);
        wr_cstr(&w);
        if (tip == TIP_OURS && ask(p, argv, old) && !strcmp(old, tree)) {
                memcpy(p->commit, r->tip, sizeof(p->commit));
                p->pushed = true; /* by an earlier task */
        } else if (!make_commit(p, tree, tip == TIP_OURS ? r->tip : p->start)) {
                return push_fail(p, STATUS_OUTPUT, "git can't make a commit of the changes");
        }
        if (!export(p))
                log_line(LOG_WARN, "OUT/branch.bundle can't be written: changes.diff has the same");
        return 0;
}

static int write_branch(struct push *p, const struct remote *r)
{
        char lease[TEXT], what[TEXT];
        struct wr l = wr_of(lease, sizeof(lease) - 1);
        struct wr w = wr_of(what, sizeof(what) - 1);
        const char *argv[] = { "-c", r->host, "push", "--quiet", "--no-verify", "--no-signed",
                               "--recurse-submodules=no", lease, r->url, what, NULL };
        struct buf err = { 0 };
        const struct git g = { argv, -1, NULL, &err };
        int status;

        wr_fmt(&l, "--force-with-lease=refs/heads/%s:%s", p->branch, r->tip);
        wr_cstr(&l);
        wr_fmt(&w, "%s:refs/heads/%s", p->commit, p->branch);
        wr_cstr(&w);
        status = git_run(p, &g);
        if (status)
                status = git_failed(p, "git push failed", &err);
        else
                p->pushed = true;
        buf_free(&err);
        return status;
}

/* No remote is needed to see that there is nothing for it. */
static int take_tree(struct push *p, char tree[static PUSH_ID])
{
        char name[PUSH_ID + 8], start[PUSH_ID];
        struct wr w = wr_of(name, sizeof(name) - 1);
        const char *write[] = { "write-tree", NULL };
        const char *parse[] = { "rev-parse", "--verify", "--quiet", name, NULL };

        wr_fmt(&w, "%s^{tree}", p->start);
        wr_cstr(&w);
        if (!ask(p, write, tree) || !ask(p, parse, start))
                return push_fail(p, STATUS_OUTPUT, "git can't take the work tree");
        return strcmp(tree, start) ? 0 : PUSH_NOTHING;
}

int push_branch(struct push *p)
{
        struct remote r = { .head = "" };
        char tree[PUSH_ID];
        uint64_t end_ms;
        enum tip tip;
        int port = relay_open(), status;

        take_shallow();
        status = take_tree(p, tree);
        if (status)
                return status;
        if (port < 0 || !name_remote(p, &r, port))
                return push_fail(p, STATUS_AGAIN, "no way to airlock-proxy for git");
        status = look(p, &r);
        tip = status ? TIP_UNKNOWN : whose(p, &r);
        if (tip == TIP_UNKNOWN && !status)
                status = STATUS_AGAIN;
        /* In OUT, whatever comes of the rest, and however long the network took. */
        end_ms = p->deadline_ms;
        p->deadline_ms = now_ms() + LOCAL_MS;
        if (prepare(p, &r, tip, tree) && !status)
                status = STATUS_OUTPUT;
        p->deadline_ms = end_ms;
        if (!status)
                status = choose_base(p, &r);
        if (!status && tip == TIP_FOREIGN)
                status = push_fail(p, STATUS_OUTPUT, "%s is there, and its last commit %s is not "
                                   "airlock's: it stays as it is", p->branch, r.tip);
        say_how(p, r.tip, tip != TIP_UNKNOWN && status);
        if (!status && !p->pushed)
                status = write_branch(p, &r);
        relay_close();
        return status;
}
