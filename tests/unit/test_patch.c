/* tests/unit/test_patch.c - what a patch does to files, and what it never does. */
#include "tests/memory_files.h"
#include "tests/unit/unit.h"

#define BEGIN "*** Begin Patch\n"
#define END "*** End Patch\n"
#define UPDATE(name) BEGIN "*** Update File: " name "\n"

static const struct patch_place place = { "/r", "/r/src" };

static void set(struct memory_files *m, const char *path, const char *text)
{
        CHECK(!memory_put(m, path, text, strlen(text), false));
}

static void link_to(struct memory_files *m, const char *path, const char *to)
{
        CHECK(!memory_put(m, path, to, strlen(to), true));
}

static void fill(struct memory_files *m)
{
        *m = (struct memory_files){ .writes = 0 };
        set(m, "/r/.git/config", "[core]\n");
        set(m, "/r/a", "one\ntwo\nthree\n");
        set(m, "/r/src/b", "x\n");
        set(m, "/etc/passwd", "root\n");
        link_to(m, "/r/out", "/etc");
        link_to(m, "/r/src/to-a", "/r/a");
        link_to(m, "/r/src/gone", "/etc/evil");
        link_to(m, "/r/src/dotgit", "/r/.git");
}

static bool is(struct memory_files *m, const char *path, const char *text)
{
        struct memory_file *f = memory_find(m, path);

        if (!text || !f)
                return !text && !f;
        return f->bytes.len == strlen(text) &&
               (!f->bytes.len || !memcmp(buf_at(&f->bytes), text, f->bytes.len));
}

static bool says(const struct patch_result *r, const char *text)
{
        return r->text.len == strlen(text) && !memcmp(buf_at(&r->text), text, r->text.len);
}

static bool mentions(const struct patch_result *r, const char *text)
{
        return r->text.len && memmem(buf_at(&r->text), r->text.len, text, strlen(text));
}

static bool apply(struct memory_files *m, const char *patch, struct patch_result *r)
{
        struct patch_files files = memory_files(m);
        size_t n = strlen(patch);

        return patch_apply(r, at_page_end(patch, n), n, &place, &files);
}

/* --- one file, edited ------------------------------------------------------------------- */

struct edit {
        const char *why, *before, *chunks, *after; /* after NULL: the error is in @error */
        const char *error;
};

static void check_edit(const struct edit *e)
{
        struct memory_files m = { .writes = 0 };
        struct patch_result r;
        struct buf patch = { 0 };
        bool ok;

        set(&m, "/r/src/f", e->before);
        buf_str(&patch, UPDATE("f"));
        buf_str(&patch, e->chunks);
        buf_put(&patch, END, sizeof(END));
        ok = apply(&m, buf_at(&patch), &r);
        CHECK_ROW(ok == !e->error, e->why);
        CHECK_ROW(is(&m, "/r/src/f", e->error ? e->before : e->after), e->why);
        CHECK_ROW(says(&r, e->error ? e->error : "Success. Updated the following files:\nM f\n"),
                  e->why);
        patch_close(&r);
        buf_free(&patch);
        memory_close(&m);
}

TEST(an_update_finds_its_lines_and_changes_them)
{
        static const struct edit rows[] = {
                { "a line replaced", "a\nb\nc\n", "@@\n a\n-b\n+B\n c\n", "a\nB\nc\n", NULL },
                { "the first chunk needs no @@", "a\nb\n", "-a\n+A\n", "A\nb\n", NULL },
                { "the context line says which", "f:\n x\ng:\n x\n", "@@ g:\n- x\n+ y\n",
                  "f:\n x\ng:\n y\n", NULL },
                { "chunks go downwards", "x\nm\nx\n", "@@\n-x\n+1\n@@\n-x\n+2\n", "1\nm\n2\n",
                  NULL },
                { "pure lines come at the end", "a\n", "@@\n+b\n+c\n", "a\nb\nc\n", NULL },
                { "before a last empty line", "a\n\n", "@@\n+b\n", "a\nb\n\n", NULL },
                { "to an empty file", "", "@@\n+b\n", "b\n", NULL },
                { "two at the end stay in order", "a\n", "@@\n+b\n@@\n+c\n", "a\nb\nc\n", NULL },
                { "all lines gone", "a\n", "@@\n-a\n", "", NULL },
                { "a missing last newline is added", "a\nb", "@@\n a\n-b\n+c\n", "a\nc\n", NULL },
                { "End of File is the last of several", "x\na\nx\n",
                  "@@\n-x\n+y\n*** End of File\n", "x\na\ny\n", NULL },
                { "an empty line is empty context", "a\n\nb\n", "@@\n a\n\n-b\n+c\n", "a\n\nc\n",
                  NULL },
                { "an empty line too many at the end", "a\nb\n", "@@\n-a\n+c\n b\n\n",
                  "c\nb\n", NULL },
                { "an empty line that does not match is left out of the new lines too", "a\n",
                  "@@\n-a\n+c\n\n", "c\n", NULL },
                { "blanks at the end of a line", "a  \nb\n", "@@\n a\n-b\n+c\n", "a  \nc\n", NULL },
                { "indentation", "    a\n", "@@\n-  a\n+  b\n", "  b\n", NULL },
                { "an exact hit later wins over a loose one before", "a \na\n", "@@\n-a\n+b\n",
                  "a \nb\n", NULL },
                { "dashes, quotes and blanks of print", "x \xe2\x80\x94 \xe2\x80\x9cy\xe2\x80\x9d\xc2\xa0z\n",
                  "@@\n-x - \"y\" z\n+k\n", "k\n", NULL },
                { "CR LF stays", "a\r\nb\r\n", "@@\n a\n-b\n+c\n+d\n", "a\r\nc\r\nd\r\n", NULL },
                { "a patch in CR LF", "a\nb\n", "@@\r\n a\r\n-b\r\n+c\r\n", "a\nc\n", NULL },
                { "mixed ends stay as they are", "a\r\nb\nc\n", "@@\n-c\n+d\n", "a\r\nb\nd\n", NULL },
                { "blank lines between chunks", "a\nb\n",
                  "\n@@\n-b\n+B\n*** End of File\n \n\n", "a\nB\n", NULL },
                { "context keeps the file's own bytes", "\ta \r\nb\nc\n", "@@\n a\n-b\n+B\n c\n",
                  "\ta \r\nB\nc\n", NULL },
                { "no such line", "a\n", "@@\n-b\n-c\n+d\n", NULL,
                  "Failed to find expected lines in f:\nb\nc" },
                { "no such context", "a\n", "@@ int main\n-a\n+b\n", NULL,
                  "Failed to find context 'int main' in f" },
                { "not upwards", "b\na\n", "@@\n-a\n+1\n@@\n-b\n+2\n", NULL,
                  "Failed to find expected lines in f:\nb" },
                { "End of File, and it is not", "a\nb\n", "@@\n-a\n+c\n*** End of File\n", NULL,
                  "Failed to find expected lines in f:\na" },
                { "more lines than the file", "a\n", "@@\n-a\n-b\n", NULL,
                  "Failed to find expected lines in f:\na\nb" },
        };

        for (size_t i = 0; i < COUNT(rows); i++)
                check_edit(&rows[i]);
}

/* --- whole patches ------------------------------------------------------------------------- */

TEST(a_patch_adds_deletes_moves_and_lists_what_it_did)
{
        struct memory_files m;
        struct patch_result r;

        fill(&m);
        set(&m, "/r/old", "o\n");
        CHECK(apply(&m, BEGIN "*** Delete File: ../old\n*** Update File: b\n*** Move to: new/c\n"
                              "@@\n-x\n+y\n*** Add File: d/e\n+1\n+\n+2\n*** Update File: d/e\n"
                              "@@\n-2\n+3\n*** Update File: to-a\n@@\n-one\n+1\n" END, &r));
        CHECK(says(&r, "Success. Updated the following files:\nA d/e\nM new/c\nM d/e\nM to-a\n"
                       "D ../old\n"));
        CHECK(is(&m, "/r/old", NULL) && is(&m, "/r/src/b", NULL) && is(&m, "/r/src/new/c", "y\n"));
        CHECK(is(&m, "/r/src/d/e", "1\n\n3\n") && is(&m, "/r/a", "1\ntwo\nthree\n"));
        CHECK(memory_find(&m, "/r/src/to-a")->link);
        CHECK(r.count == 5 && r.changes[1].kind == PATCH_UPDATE &&
              !strcmp(r.changes[1].path, "new/c"));
        patch_close(&r);
        memory_close(&m);
}

TEST(a_link_is_deleted_and_not_what_it_leads_to)
{
        struct memory_files m;
        struct patch_result r;

        fill(&m);
        CHECK(apply(&m, BEGIN "*** Delete File: to-a\n" END, &r));
        CHECK(is(&m, "/r/a", "one\ntwo\nthree\n") && !memory_find(&m, "/r/src/to-a"));
        patch_close(&r);
        memory_close(&m);
}

/* Nothing of the file system changes, and the text says why. */
static void refuse(const char *why, const char *patch, const char *text)
{
        struct memory_files m, before;
        struct patch_result r;

        fill(&m);
        fill(&before);
        CHECK_ROW(!apply(&m, patch, &r), why);
        CHECK_ROW(mentions(&r, text), why);
        CHECK_ROW(!m.writes, why);
        patch_close(&r);
        memory_close(&m);
        memory_close(&before);
}

#define ADDS(name) BEGIN "*** Add File: " name "\n+x\n" END
#define EDITS(name) UPDATE(name) "@@\n-root\n+r\n" END
#define DELETES(name) BEGIN "*** Delete File: " name "\n" END

TEST(no_path_leaves_the_repository_or_enters_git)
{
        static const char *const rows[][3] = {
                { "dots", ADDS("../../etc/x"), "outside of the repository" },
                { "dots behind a name", EDITS("b/../../../etc/passwd"), "outside of the" },
                { "more dots than there are", ADDS("../../../../../x"), "outside of the" },
                { "an absolute name", EDITS("/etc/passwd"), "outside of the repository" },
                { "a name that only begins like it", ADDS("/rx/y"), "outside of the repository" },
                { "a link to a directory", EDITS("../out/passwd"), "outside of the repository" },
                { "a new file behind it", ADDS("../out/new/x"), "outside of the repository" },
                { "deleted through it", DELETES("../out/passwd"), "outside of the repository" },
                { "moved through it", UPDATE("b") "*** Move to: ../out/b\n@@\n-x\n+y\n" END,
                  "outside of the repository" },
                { ".git", ADDS("../.git/hooks/pre-commit"), "below .git" },
                { ".git in capitals", ADDS("../.GIT/config"), "below .git" },
                { ".git itself", ADDS("../.git"), "below .git" },
                { ".git by a link", ADDS("dotgit/hooks/x"), "below .git" },
                { ".git of something below", ADDS("sub/.git/config"), "below .git" },
                { "written where a link leads nowhere", ADDS("gone"), "Failed to write file gone" },
                { "the repository itself", DELETES(".."), "the repository itself" },
                { "a directory", DELETES("../src"), "Failed to delete file ../src" },
                { "a directory written", ADDS("../src"), "Failed to write file ../src" },
                { "what is not there", DELETES("nothing"), "Failed to delete file nothing" },
                { "read", EDITS("nothing"), "Failed to read file to update nothing" },
                { "the second of two", BEGIN "*** Add File: ok\n+x\n*** Update File: b\n@@\n-z\n" END,
                  "Failed to find expected lines in b" },
                { "what was deleted before", BEGIN "*** Delete File: b\n*** Update File: b\n@@\n-x\n" END,
                  "Failed to read file to update b" },
        };

        for (size_t i = 0; i < COUNT(rows); i++)
                refuse(rows[i][0], rows[i][1], rows[i][2]);
}

TEST(absolute_names_of_the_repository_are_taken)
{
        struct memory_files m;
        struct patch_result r;
        struct patch_files files;
        static const struct patch_place linked = { "/link", "/link/src" };
        static const char patch[] = UPDATE("/link/a") "@@\n-one\n+1\n" END;

        fill(&m);
        link_to(&m, "/link", "/r");
        files = memory_files(&m);
        CHECK(patch_apply(&r, patch, strlen(patch), &linked, &files));
        CHECK(is(&m, "/r/a", "1\ntwo\nthree\n"));
        patch_close(&r);
        CHECK(apply(&m, UPDATE("/r/a") "@@\n-1\n+one\n" END, &r));
        patch_close(&r);
        memory_close(&m);
}

static const char four[] = BEGIN "*** Delete File: b\n*** Add File: new\n+n\n*** Update File: ../a\n"
                                 "@@\n-one\n+1\n*** Delete File: ../c\n" END;

TEST(a_write_that_fails_leaves_all_as_it_was)
{
        for (int n = 1; n <= 4; n++) {
                struct memory_files m;
                struct patch_result r;

                fill(&m);
                set(&m, "/r/c", "c\n");
                m.fail_write = n;
                CHECK(!apply(&m, four, &r) && mentions(&r, "No file was changed."));
                CHECK(is(&m, "/r/src/b", "x\n") && is(&m, "/r/c", "c\n"));
                CHECK(is(&m, "/r/src/new", NULL) && is(&m, "/r/a", "one\ntwo\nthree\n"));
                patch_close(&r);
                memory_close(&m);
        }
}

TEST(what_can_not_be_put_back_is_named)
{
        struct memory_files m;
        struct patch_result r;

        fill(&m);
        set(&m, "/r/c", "c\n");
        m.fail_write = 4; /* the second removal, and then putting /r/a back */
        m.fail_until = 5;
        CHECK(!apply(&m, four, &r));
        CHECK(mentions(&r, "could not be put back: a") && is(&m, "/r/src/b", "x\n"));
        patch_close(&r);
        memory_close(&m);
}

TEST(the_grammar_s_errors_are_those_that_models_know)
{
        static const char *const rows[][3] = {
                { "no begin", "hello", "invalid patch: The first line of the patch must be "
                                       "'*** Begin Patch'" },
                { "nothing", "", "invalid patch: The first line of the patch must be "
                                 "'*** Begin Patch'" },
                { "no end", BEGIN "*** Add File: x\n+y\n", "invalid patch: The last line of the "
                                                          "patch must be '*** End Patch'" },
                { "no hunk", BEGIN END, "No files were modified." },
                { "a header that is none", BEGIN "*** Frob File: x\n" END,
                  "invalid hunk at line 2, '*** Frob File: x' is not a valid hunk header. Valid "
                  "hunk headers: '*** Add File: {path}', '*** Delete File: {path}', '*** Update "
                  "File: {path}'" },
                { "an update of nothing", UPDATE("b") END,
                  "invalid hunk at line 2, Update file hunk for path 'b' is empty" },
                { "a chunk of nothing", UPDATE("b") "@@\n" END,
                  "invalid hunk at line 4, Update hunk does not contain any lines" },
                { "a second chunk without @@", UPDATE("b") "@@\n-x\n*** End of File\n-y\n" END,
                  "invalid hunk at line 6, Expected update hunk to start with a @@ context "
                  "marker, got: '-y'" },
                { "a line that is none", UPDATE("b") "@@\nx\n" END,
                  "invalid hunk at line 4, Unexpected line found in update hunk: 'x'. Every line "
                  "should start with ' ' (context line), '+' (added line), or '-' (removed line)" },
                { "no path", BEGIN "*** Add File: \n+x\n" END,
                  "invalid hunk at line 2, '*** Add File:' is not a valid hunk header. Valid hunk "
                  "headers: '*** Add File: {path}', '*** Delete File: {path}', '*** Update File: "
                  "{path}'" },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct memory_files m;
                struct patch_result r;

                fill(&m);
                CHECK_ROW(!apply(&m, rows[i][1], &r) && says(&r, rows[i][2]), rows[i][0]);
                patch_close(&r);
                memory_close(&m);
        }
}

TEST(a_patch_may_come_in_blanks_or_in_a_here_document)
{
        static const char *const rows[][2] = {
                { "blanks", "\n  " BEGIN "  *** Add File: n  \n+x\n  *** End Patch \n\n" },
                { "plain", "<<EOF\n" BEGIN "*** Add File: n\n+x\n" END "EOF\n" },
                { "single quotes", "<<'EOF'\n" BEGIN "*** Add File: n\n+x\n" END "EOF" },
                { "double quotes", "<<\"EOF\"\n" BEGIN "*** Add File: n\n+x\n" END "EOF" },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct memory_files m;
                struct patch_result r;

                fill(&m);
                CHECK_ROW(apply(&m, rows[i][1], &r) && is(&m, "/r/src/n", "x\n"), rows[i][0]);
                patch_close(&r);
                memory_close(&m);
        }
}

TEST(a_hostile_patch_does_not_take_for_ever)
{
        struct memory_files m = { .writes = 0 };
        struct patch_result r;
        struct buf text = { 0 };

        for (size_t i = 0; i < 300000; i++)
                buf_str(&text, "a\n");
        CHECK(!memory_put(&m, "/r/src/f", buf_at(&text), text.len, false));
        text.len = 0;
        buf_str(&text, UPDATE("f"));
        for (size_t i = 0; i < 100000; i++)
                buf_str(&text, " a\n");
        buf_put(&text, " b\n" END, sizeof(" b\n" END));
        CHECK(!apply(&m, buf_at(&text), &r));
        patch_close(&r);
        buf_free(&text);
        memory_close(&m);
}

/* --- in a shell call ---------------------------------------------------------------------- */

#define P "*** Begin Patch\n*** Add File: n\n+x\n*** End Patch"

struct seen {
        const char *why, *script;
        enum patch_seen want;
        const char *patch, *dir;
};

static bool slice_is(const char *at, size_t len, const char *want)
{
        return want ? at && len == strlen(want) && !memcmp(at, want, len) : !at;
}

TEST(a_patch_is_seen_in_shell_text_that_does_nothing_else)
{
        static const struct seen rows[] = {
                { "plain", "apply_patch <<'EOF'\n" P "\nEOF", PATCH_YES, P "\n", NULL },
                { "unquoted, spaces, newlines", "\n apply_patch  << PATCH \n" P "\nPATCH\n\n",
                  PATCH_YES, P "\n", NULL },
                { "another name", "applypatch <<\"E\"\n" P "\nE\n", PATCH_YES, P "\n", NULL },
                { "with cd", "cd src/x && apply_patch <<'EOF'\n" P "\nEOF\n", PATCH_YES, P "\n",
                  "src/x" },
                { "a quoted directory", "cd 'a b' && apply_patch <<'EOF'\n" P "\nEOF\n", PATCH_YES,
                  P "\n", "a b" },
                { "no patch in it", "apply_patch <<E\nhello\nE\n", PATCH_YES, "hello\n", NULL },
                { "something after", "apply_patch <<'EOF'\n" P "\nEOF\nmake", PATCH_NOT, NULL, NULL },
                { "on the same line", "apply_patch <<'EOF' && make\n" P "\nEOF\n", PATCH_NOT, NULL,
                  NULL },
                { "something before", "make; apply_patch <<'EOF'\n" P "\nEOF\n", PATCH_NOT, NULL,
                  NULL },
                { "cd and ;", "cd x; apply_patch <<'EOF'\n" P "\nEOF\n", PATCH_NOT, NULL, NULL },
                { "a directory to expand", "cd $X && apply_patch <<'EOF'\n" P "\nEOF\n", PATCH_NOT,
                  NULL, NULL },
                { "in quotes too", "cd \"$X\" && apply_patch <<'EOF'\n" P "\nEOF\n", PATCH_NOT, NULL,
                  NULL },
                { "a word of two pieces", "cd 'a'b && apply_patch <<'EOF'\n" P "\nEOF\n", PATCH_NOT,
                  NULL, NULL },
                { "two directories", "cd a b && apply_patch <<'EOF'\n" P "\nEOF\n", PATCH_NOT, NULL,
                  NULL },
                { "no end", "apply_patch <<'EOF'\n" P "\n", PATCH_NOT, NULL, NULL },
                { "a here-string", "apply_patch <<<'EOF'\n" P "\nEOF\n", PATCH_NOT, NULL, NULL },
                { "an argument", "apply_patch x <<'EOF'\n" P "\nEOF\n", PATCH_NOT, NULL, NULL },
                { "longer name", "apply_patches <<'EOF'\n" P "\nEOF\n", PATCH_NOT, NULL, NULL },
                { "only the patch", P, PATCH_BARE, NULL, NULL },
                { "nothing", "", PATCH_NOT, NULL, NULL },
                { "a command", "make test", PATCH_NOT, NULL, NULL },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                const char *script = rows[i].script;
                size_t n = strlen(script);
                struct patch_word argv[] = { { "bash", 4 }, { "-lc", 3 }, { script, n } };
                struct patch_call c;

                CHECK_ROW(patch_in_script(&c, at_page_end(script, n), n) == rows[i].want,
                          rows[i].why);
                CHECK_ROW(patch_in_argv(&c, argv, 3) == rows[i].want, rows[i].why);
                if (rows[i].want != PATCH_YES)
                        continue;
                CHECK_ROW(slice_is(c.patch, c.len, rows[i].patch), rows[i].why);
                CHECK_ROW(slice_is(c.dir, c.dir_len, rows[i].dir), rows[i].why);
        }
}

TEST(a_patch_is_seen_in_an_argv)
{
        const struct patch_word name = { "apply_patch", 11 }, patch = { P, strlen(P) };
        const struct patch_word direct[] = { name, patch }, bare[] = { patch };
        const struct patch_word other[] = { { "git", 3 }, patch }, three[] = { name, patch, patch };
        struct patch_call c;

        CHECK(patch_in_argv(&c, direct, 2) == PATCH_YES && slice_is(c.patch, c.len, P));
        CHECK(patch_in_argv(&c, bare, 1) == PATCH_BARE);
        CHECK(patch_in_argv(&c, other, 2) == PATCH_NOT && patch_in_argv(&c, three, 3) == PATCH_NOT);
        CHECK(patch_in_argv(&c, NULL, 0) == PATCH_NOT);
}
