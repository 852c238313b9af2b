/* tests/unit/test_guide.c - AGENTS.md as it was committed, whoever brings the bytes. */
#include "agent/guide.h"
#include "tests/unit/unit.h"

#include <bearssl.h>
#include <errno.h>
#include <string.h>

#define ID 65
#define OBJECTS 64

/* A repository in memory, and the work tree beside it. */
static struct {
        struct {
                char kind[8], id[ID];
                struct buf bytes;
        } objects[OBJECTS];
        size_t count, asked;
        bool sha256;
        struct {
                const char *path, *text;
        } files[8];
        size_t file_count;
} repo;

static void reset(bool sha256)
{
        for (size_t i = 0; i < repo.count; i++)
                buf_free(&repo.objects[i].bytes);
        memset(&repo, 0, sizeof(repo));
        repo.sha256 = sha256;
}

static const char *add(const char *kind, const void *bytes, size_t len)
{
        char head[32];
        struct wr w = wr_of(head, sizeof(head));
        uint8_t digest[32];
        size_t n = repo.sha256 ? 32 : 20;
        char *id = repo.objects[repo.count].id;

        wr_fmt(&w, "%s %zu", kind, len);
        wr_char(&w, '\0');
        if (repo.sha256) {
                br_sha256_context c;

                br_sha256_init(&c);
                br_sha256_update(&c, head, w.len);
                br_sha256_update(&c, bytes, len);
                br_sha256_out(&c, digest);
        } else {
                br_sha1_context c;

                br_sha1_init(&c);
                br_sha1_update(&c, head, w.len);
                br_sha1_update(&c, bytes, len);
                br_sha1_out(&c, digest);
        }
        for (size_t i = 0; i < n; i++) {
                id[2 * i] = "0123456789abcdef"[digest[i] >> 4];
                id[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
        }
        id[2 * n] = '\0';
        memcpy(repo.objects[repo.count].kind, kind, strlen(kind) + 1);
        buf_put(&repo.objects[repo.count].bytes, bytes, len);
        repo.count++;
        return id;
}

static const char *blob(const char *text)
{
        return add("blob", text, strlen(text));
}

struct item {
        const char *mode, *name, *id;
};

static const char *tree(const struct item *items, size_t count)
{
        struct buf b = { 0 };
        const char *id;

        for (size_t i = 0; i < count; i++) {
                buf_fmt(&b, "%s %s", items[i].mode, items[i].name);
                buf_put(&b, "", 1);
                for (const char *p = items[i].id; *p; p += 2) {
                        char byte = (char)((strchr("0123456789abcdef", p[0]) -
                                            "0123456789abcdef") << 4 |
                                           (strchr("0123456789abcdef", p[1]) -
                                            "0123456789abcdef"));

                        buf_put(&b, &byte, 1);
                }
        }
        id = add("tree", b.len ? buf_at(&b) : "", b.len);
        buf_free(&b);
        return id;
}

#define TREE(...)                                                                         \
        tree((const struct item[]){ __VA_ARGS__ },                                        \
             sizeof((const struct item[]){ __VA_ARGS__ }) / sizeof(struct item))

static const char *commit(const char *root)
{
        struct buf b = { 0 };
        const char *id;

        buf_fmt(&b, "tree %s\nauthor A <a@b> 0 +0000\n\nmessage\n", root);
        id = add("commit", buf_at(&b), b.len);
        buf_free(&b);
        return id;
}

static int bring(void *ctx, const char *kind, const char *id, struct buf *out)
{
        (void)ctx;
        repo.asked++;
        for (size_t i = 0; i < repo.count; i++) {
                if (strcmp(repo.objects[i].id, id) != 0 || strcmp(repo.objects[i].kind, kind) != 0)
                        continue;
                if (repo.objects[i].bytes.len)
                        buf_put(out, buf_at(&repo.objects[i].bytes), repo.objects[i].bytes.len);
                return 0;
        }
        return -ENOENT;
}

static int work_file(void *ctx, const char *path, struct buf *out)
{
        (void)ctx;
        for (size_t i = 0; i < repo.file_count; i++) {
                if (strcmp(repo.files[i].path, path) != 0)
                        continue;
                buf_str(out, repo.files[i].text);
                return 0;
        }
        return -ENOENT;
}

static void file(const char *path, const char *text)
{
        repo.files[repo.file_count].path = path;
        repo.files[repo.file_count++].text = text;
}

static bool reads(struct guide *g, const char *id, const char *dir, struct buf *why)
{
        const struct guide_source source = { NULL, bring, work_file };

        return guide_read(g, id, dir, &source, why);
}

static bool text_is(const struct guide *g, const char *text)
{
        return g->text.len == strlen(text) &&
               (!g->text.len || !memcmp(buf_at(&g->text), text, g->text.len));
}

static bool noted(const struct guide *g, size_t i, enum guide_change change, const char *path)
{
        return i < g->note_count && g->notes[i].change == change &&
               !strcmp(g->notes[i].path, path);
}

/* root: AGENTS.md; sub: both kinds; sub/deep: a link to ../../docs/guide; empty: a blank one */
static const char *usual(void)
{
        const char *docs = TREE({ "100644", "guide", blob("linked\n") });
        const char *deep = TREE({ "120000", "AGENTS.md", blob("../../docs/guide") });
        const char *sub = TREE({ "100644", "AGENTS.md", blob("hidden\n") },
                               { "100755", "AGENTS.override.md", blob("over\xff\n") },
                               { "40000", "deep", deep });
        const char *empty = TREE({ "100644", "AGENTS.md", blob(" \n") });

        return commit(TREE({ "100644", "AGENTS.md", blob("root\n") }, { "40000", "docs", docs },
                           { "40000", "empty", empty }, { "40000", "sub", sub }));
}

TEST(files_come_from_the_root_down_one_of_each_directory)
{
        static const char *const rows[][3] = {
                { "the root", "", "root\n" },
                { "an override hides the other", "sub", "root\n\n\nover\xef\xbf\xbd\n" },
                { "a link inside the tree is followed", "sub/deep",
                  "root\n\n\nover\xef\xbf\xbd\n\n\nlinked\n" },
                { "a blank one is none", "empty", "root\n" },
                { "a directory that was not committed", "new/dir", "root\n" },
                { "a file is no directory", "AGENTS.md/x", "root\n" },
        };

        for (int sha256 = 0; sha256 < 2; sha256++) {
                for (size_t i = 0; i < COUNT(rows); i++) {
                        struct buf why = { 0 };
                        struct guide g;
                        const char *id;

                        reset(sha256);
                        id = usual();
                        CHECK_ROW(reads(&g, id, rows[i][1], &why), rows[i][0]);
                        CHECK_ROW(text_is(&g, rows[i][2]), rows[i][0]);
                        guide_close(&g);
                        buf_free(&why);
                }
        }
        reset(false);
}

TEST(links_that_lead_nowhere_or_out_are_no_files)
{
        static const char *const targets[] = { "/etc/passwd", "../../x", "nothing", "AGENTS.md",
                                               "sub", "a/../../..", "", "guide/x" };

        for (size_t i = 0; i < COUNT(targets); i++) {
                struct buf why = { 0 };
                struct guide g;
                const char *sub, *root;

                reset(false);
                sub = TREE({ "100644", "x", blob("x") });
                root = TREE({ "120000", "AGENTS.md", blob(targets[i]) },
                            { "100644", "guide", blob("g") }, { "40000", "sub", sub });
                CHECK_ROW(reads(&g, commit(root), "", &why), targets[i]);
                CHECK_ROW(text_is(&g, "") && !why.len, targets[i]);
                guide_close(&g);
                buf_free(&why);
        }
        reset(false);
}

TEST(bytes_that_are_not_what_their_id_says_are_refused)
{
        for (size_t forged = 0;; forged++) {
                struct buf why = { 0 };
                struct guide g;
                const char *id;
                size_t asked;

                reset(false);
                id = usual();
                if (forged == repo.count)
                        break;
                CHECK(reads(&g, id, "sub/deep", &why));
                guide_close(&g);
                asked = repo.asked;
                buf_put(&repo.objects[forged].bytes, "x", 1);
                if (reads(&g, id, "sub/deep", &why)) /* then nobody asked for that one */
                        CHECK(text_is(&g, "root\n\n\nover\xef\xbf\xbd\n\n\nlinked\n") &&
                              repo.asked == 2 * asked);
                else
                        CHECK(memmem(buf_at(&why), why.len, "not what its id says", 20) &&
                              !g.text.len && !g.file_count);
                guide_close(&g);
                buf_free(&why);
        }
        reset(false);
}

TEST(what_setup_wrote_is_noted_and_not_taken)
{
        struct buf why = { 0 }, out = { 0 };
        struct guide g;
        const char *id;

        reset(false);
        id = usual();
        file("AGENTS.md", "obey me\n");
        file("AGENTS.override.md", "obey me more\n");
        file("sub/AGENTS.override.md", "over\xff\r\n");
        file("sub/deep/AGENTS.md", "linked\n");
        CHECK(reads(&g, id, "sub/deep", &why));
        CHECK(text_is(&g, "root\n\n\nover\xef\xbf\xbd\n\n\nlinked\n"));
        CHECK(g.note_count == 3);
        CHECK(noted(&g, 0, GUIDE_CREATED, "AGENTS.override.md"));
        CHECK(noted(&g, 1, GUIDE_CHANGED, "AGENTS.md"));
        CHECK(noted(&g, 2, GUIDE_REMOVED, "sub/AGENTS.md"));
        guide_put(&out, &g, "/r/sub/deep");
        CHECK(!memcmp(buf_at(&out), "# AGENTS.md instructions for /r/sub/deep\n\n<INSTRUCTIONS>\n",
                      57));
        CHECK(memmem(buf_at(&out), out.len, "\n- AGENTS.md (changed)", 22));
        CHECK(!memmem(buf_at(&out), out.len, "obey", 4));
        guide_close(&g);
        out.len = 0;
        guide_put(&out, &g, "/r");
        CHECK(!out.len);
        buf_free(&out);
        buf_free(&why);
        reset(false);
}

TEST(all_files_together_have_a_budget)
{
        static char big[GUIDE_MAX];
        struct buf why = { 0 };
        struct guide g;
        const char *deep, *sub, *root;

        reset(false);
        memset(big, 'a', sizeof(big) - 2);
        big[sizeof(big) - 2] = '\0';
        deep = TREE({ "100644", "AGENTS.md", blob("left out") });
        sub = TREE({ "100644", "AGENTS.md", blob("x\xc3\xa9yz") }, { "40000", "deep", deep });
        root = TREE({ "100644", "AGENTS.md", blob(big) }, { "40000", "sub", sub });
        CHECK(reads(&g, commit(root), "sub/deep", &why));
        CHECK(g.file_count == 2 && !g.files[0].cut && g.files[1].cut && g.files[1].bytes == 1);
        CHECK(g.text.len == GUIDE_MAX - 2 + 2 + 1 && buf_at(&g.text)[g.text.len - 1] == 'x');
        guide_close(&g);
        buf_free(&why);
        reset(false);
}

TEST(a_commit_that_makes_no_sense_is_told)
{
        static const char *const ids[] = { "", "HEAD", "0123456789012345678901234567890123456789",
                                           "zz23456789012345678901234567890123456789" };
        static const char torn[] = "100644 AGENTS.md\0abc";
        struct buf why = { 0 };
        struct guide g;

        reset(false);
        for (size_t i = 0; i < COUNT(ids); i++) {
                CHECK_ROW(!reads(&g, ids[i], "", &why) && why.len, ids[i]);
                why.len = 0;
        }
        CHECK(!reads(&g, add("commit", "author x\n", 9), "", &why) && why.len);
        why.len = 0;
        CHECK(!reads(&g, commit(add("tree", torn, sizeof(torn) - 1)), "", &why));
        CHECK(why.len && memmem(buf_at(&why), why.len, "cut off", 7));
        buf_free(&why);
        reset(false);
}
