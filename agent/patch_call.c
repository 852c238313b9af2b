/* agent/patch_call.c - a patch that a model wrote as a command of the shell. */
#include "agent/patch.h"
#include "agent/patch_parse.h"

#include <string.h>

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static void skip_blanks(struct slice *s, bool newlines)
{
        while (s->len && (is_blank(*s->at) || (newlines && (*s->at == '\n' || *s->at == '\r')))) {
                s->at++;
                s->len--;
        }
}

static bool equals(struct slice s, const char *text)
{
        return s.len == strlen(text) && !memcmp(s.at, text, s.len);
}

static bool skip(struct slice *s, const char *text)
{
        size_t n = strlen(text);

        if (s->len < n || memcmp(s->at, text, n) != 0)
                return false;
        s->at += n;
        s->len -= n;
        return true;
}

/* What a shell takes as it stands. */
static bool is_plain(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c && strchr("_-./+,:@%=", c));
}

/* One word: plain, or in quotes that hold nothing which the shell would look into. */
static bool take_word(struct slice *s, struct slice *word)
{
        char quote = '\0';
        size_t n = 0;

        if (s->len && (*s->at == '\'' || *s->at == '"'))
                quote = *s->at;
        if (!quote) {
                while (n < s->len && is_plain(s->at[n]))
                        n++;
                *word = (struct slice){ s->at, n };
        } else {
                while (n + 1 < s->len && s->at[n + 1] != quote) {
                        if (quote == '"' && s->at[n + 1] && strchr("$`\\", s->at[n + 1]))
                                return false;
                        n++;
                }
                if (n + 1 >= s->len)
                        return false;
                *word = (struct slice){ s->at + 1, n };
                n += 2;
        }
        s->at += n;
        s->len -= n;
        /* A word goes on until something ends it. */
        return word->len && (!s->len || (*s->at && strchr(" \t\r\n", *s->at)));
}

static bool take_command(struct slice *s)
{
        struct slice word;

        return take_word(s, &word) && (equals(word, "apply_patch") || equals(word, "applypatch"));
}

static bool take_cd(struct slice *s, struct patch_call *c)
{
        struct slice dir;

        if (!skip(s, "cd ") && !skip(s, "cd\t"))
                return true;
        skip_blanks(s, false);
        if (!take_word(s, &dir) || dir.at[0] == '-')
                return false;
        c->dir = dir.at;
        c->dir_len = dir.len;
        skip_blanks(s, false);
        if (!skip(s, "&&"))
                return false;
        skip_blanks(s, true);
        return true;
}

/* Behind "<<": the mark, the lines up to it, and then nothing. */
static bool take_document(struct slice *s, struct patch_call *c)
{
        struct slice mark, line;

        skip_blanks(s, false);
        if (!take_word(s, &mark))
                return false;
        skip_blanks(s, false);
        if (!slice_line(s, &line) || line.len)
                return false;
        c->patch = s->at;
        while (slice_line(s, &line)) {
                if (line.len != mark.len || memcmp(line.at, mark.at, mark.len) != 0)
                        continue;
                c->len = (size_t)(line.at - c->patch);
                skip_blanks(s, true);
                return !s->len;
        }
        return false;
}

static bool is_patch(const char *text, size_t len)
{
        struct buf why = { 0 };
        bool ok = patch_check(text, len, &why);

        buf_free(&why);
        return ok;
}

enum patch_seen patch_in_script(struct patch_call *c, const char *script, size_t len)
{
        struct slice s = { script, len };

        *c = (struct patch_call){ .patch = NULL };
        skip_blanks(&s, true);
        if (s.len > 3 && !memcmp(s.at, "***", 3) && is_patch(s.at, s.len))
                return PATCH_BARE;
        if (!take_cd(&s, c) || !take_command(&s))
                return PATCH_NOT;
        skip_blanks(&s, false);
        if (!skip(&s, "<<") || (s.len && *s.at == '<') || (s.len && *s.at == '-'))
                return PATCH_NOT;
        return take_document(&s, c) ? PATCH_YES : PATCH_NOT;
}

static bool is_one_of(struct patch_word w, const char *const *names)
{
        for (; *names; names++)
                if (w.len == strlen(*names) && !memcmp(w.at, *names, w.len))
                        return true;
        return false;
}

enum patch_seen patch_in_argv(struct patch_call *c, const struct patch_word *argv, size_t argc)
{
        static const char *const commands[] = { "apply_patch", "applypatch", NULL };
        static const char *const shells[] = { "bash", "/bin/bash", "/usr/bin/bash", "sh", "/bin/sh",
                                              "/usr/bin/sh", "zsh", "/bin/zsh", "/usr/bin/zsh",
                                              NULL };
        static const char *const flags[] = { "-lc", "-c", NULL };

        *c = (struct patch_call){ .patch = NULL };
        if (argc == 1 && is_patch(argv[0].at, argv[0].len))
                return PATCH_BARE;
        if (argc == 2 && is_one_of(argv[0], commands)) {
                c->patch = argv[1].at;
                c->len = argv[1].len;
                return PATCH_YES;
        }
        if (argc == 3 && is_one_of(argv[0], shells) && is_one_of(argv[1], flags))
                return patch_in_script(c, argv[2].at, argv[2].len);
        return PATCH_NOT;
}
