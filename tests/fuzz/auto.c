/*
 * tests/fuzz/auto.c - the files of any repository, as automatic setup reads them.
 *
 * The input is a tree: a byte for the level, a line for the name of the directory, then files,
 * each a byte for which one, two for a length, and what is in it.
 *
 * Invariants: the script is for bash what we meant, so no byte of a directory's name stands
 * outside of quotes and each step's words come back whole; commands are made of our own words
 * alone; there are never more steps than there is room for; notes are printable.
 */
#include "base/rd.h"
#include "init/auto.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char script[256 << 10], notes[16 << 10];
static struct auto_dir dirs[AUTO_DEPTH + 1];
static char paths[AUTO_DEPTH + 1][AUTO_PATH];

static void must(bool ok)
{
        if (!ok)
                abort();
}

static void read_files(struct auto_dir *d, struct rd *r)
{
        for (unsigned n = rd_u8(r) & 7; n && !r->bad; n--) {
                enum auto_file f = rd_u8(r) % FILE_COUNT;
                size_t len = rd_be16(r) & 0x3ff;
                const uint8_t *text = rd_bytes(r, len);

                d->files |= UINT64_C(1) << f;
                if (text && auto_file_tells(f))
                        auto_dir_read(d, f, (const char *)text, len);
        }
        must(d->members_len < sizeof(d->members) && !d->members[d->members_len]);
}

/* A name has no slash and no NUL. */
static void read_path(unsigned level, struct rd *r)
{
        struct wr w = wr_of(paths[level], AUTO_PATH - 1);
        size_t len = rd_u8(r) & 31;
        const uint8_t *name = rd_bytes(r, len);

        if (level > 1)
                wr_fmt(&w, "%s/", paths[level - 1]);
        for (size_t i = 0; name && i < len; i++)
                wr_char(&w, name[i] && name[i] != '/' ? (char)name[i] : '_');
        wr_char(&w, 'x');
        wr_cstr(&w);
}

/* Undoes bash's quoting of one word; the text behind it. */
static const char *take_word(const char *at, char *out)
{
        must(*at == '\'');
        for (at++; *at != '\''; at++)
                *out++ = *at;
        while (!strncmp(at, "'\\''", 4)) {
                *out++ = '\'';
                for (at += 4; *at != '\''; at++)
                        *out++ = *at;
        }
        *out = '\0';
        must(at[1] == ' ');
        return at + 2;
}

static void check_command(const char *c)
{
        must(*c && c[strspn(c, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "-_./: ")] == '\0');
}

static void check_script(const struct auto_plan *p)
{
        struct wr w = wr_of(script, sizeof(script) - 1);
        const char *at;

        auto_script(&w, p);
        must(!w.full);
        at = strstr(wr_cstr(&w), "\nwhile IFS= read -r -d '' f; do airlock_before");
        must(at);
        for (size_t i = 0; i < p->count; i++) {
                static char word[AUTO_PATH + 1];

                at = strstr(at, "\nairlock_step ");
                must(at);
                at = strchr(at, '\'');
                must(at);
                at = take_word(at, word);
                must(!strcmp(word, p->steps[i].dir));
                at = take_word(at, word);
                must(!strcmp(word, p->steps[i].why));
                at = take_word(at, word);
                must(!strcmp(word, p->steps[i].keep));
                must(!strncmp(at, p->steps[i].command, strlen(p->steps[i].command)));
                at += strlen(p->steps[i].command);
                must(*at == '\n');
                check_command(p->steps[i].command);
        }
        must(!strcmp(at, "\nairlock_ignore\n") || !p->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct auto_plan p;
        static struct auto_above above[AUTO_DEPTH + 1];
        struct rd r = rd_of(data, size);
        unsigned deepest = 0;

        p.count = 0;
        p.full = false;
        p.notes = wr_of(notes, sizeof(notes));
        for (unsigned n = 0; n < 100 && !r.bad; n++) {
                unsigned level = n ? rd_u8(&r) % (AUTO_DEPTH + 1) : 0;

                if (level > deepest)
                        level = deepest;
                deepest = level + 1 <= AUTO_DEPTH ? level + 1 : AUTO_DEPTH;
                dirs[level] = (struct auto_dir){ .files = 0 };
                paths[level][0] = '\0';
                if (level)
                        read_path(level, &r);
                read_files(&dirs[level], &r);
                above[level] = (struct auto_above){
                        .up = level ? &above[level - 1] : NULL, .dir = &dirs[level],
                        .path_len = strlen(paths[level]) + (level != 0) };
                above[level].languages = auto_choose(&p, &dirs[level], paths[level], level,
                                                     above[level].up);
                must(p.count <= AUTO_STEPS);
        }
        auto_settle(&p);
        for (size_t i = 0; i < p.notes.len; i++)
                must(notes[i] == '\n' || (uint8_t)notes[i] >= ' ');
        if (p.count)
                check_script(&p);
        return 0;
}
