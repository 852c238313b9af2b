/* init/auto_main.c - the main of airlock-auto: see auto.h, and difference.h. */
#include "init/auto.h"

#include "base/confine.h"
#include "base/digits.h"
#include "base/io.h"
#include "base/log.h"
#include "init/difference.h"
#include "init/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SECONDS 30
#define INDENT "\n           " /* as in the plan of `airlock check` */
#define SCRIPT_MAX (96 << 10)

static LARGE_BUFFER char notes[16 << 10], script[SCRIPT_MAX], line[2 * 4 * AUTO_PATH];

static void find_here(struct auto_plan *p, const char *dir)
{
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                die_errno(STATUS_PROVISION, errno, "%s", dir);
        p->notes = wr_of(notes, sizeof(notes));
        auto_find(p, fd);
}

static void put_step(struct wr *w, const struct auto_step *s)
{
        wr_str(w, s->command);
        if (s->dir[0]) {
                wr_str(w, " in ");
                wr_plain(w, s->dir, strlen(s->dir));
        }
        wr_fmt(w, " (%s)%s", s->why, s->kind == AUTO_FETCH ? ", as a prefetch" : "");
}

/* The next note, as a C string; NULL behind the last. */
static const char *next_note(struct auto_plan *p, size_t *at)
{
        char *note = notes + *at, *end;

        if (*at >= p->notes.len)
                return NULL;
        end = memchr(note, '\n', p->notes.len - *at);
        if (!end)
                return NULL;
        *end = '\0';
        *at += (size_t)(end - note) + 1;
        return note;
}

/* --- plan --------------------------------------------------------------------------------- */

static struct journal journal_of(char **argv, const char *phase)
{
        struct journal j = { .phase = phase };
        uint64_t fd;

        if (!digits_parse(argv[2], INT32_MAX, &fd) || !digits_parse(argv[3], UINT64_MAX, &j.start_ms))
                die(STATUS_USAGE, "%s: %s %s", argv[1], argv[2], argv[3]);
        j.fd = (int)fd;
        return j;
}

static void journal_step(struct journal *j, const struct auto_step *s, size_t number)
{
        char fields[6144];
        struct wr w = wr_of(fields, sizeof(fields));

        wr_fmt(&w, ",\"step\":%zu,\"command\":", number);
        wr_json(&w, s->command, strlen(s->command));
        wr_str(&w, ",\"dir\":");
        wr_json(&w, s->dir, strlen(s->dir));
        wr_str(&w, ",\"because\":");
        wr_json(&w, s->why, strlen(s->why));
        wr_fmt(&w, ",\"prefetch\":%s", s->kind == AUTO_FETCH ? "true" : "false");
        journal_event(j, "auto", fields, w.len);
}

static int plan(char **argv)
{
        static LARGE_BUFFER struct auto_plan p;
        struct journal j = journal_of(argv, "provision");
        struct wr out = wr_of(script, sizeof(script));
        const char *note;
        size_t at = 0;

        find_here(&p, ".");
        while ((note = next_note(&p, &at))) {
                log_line(LOG_INFO, "%s", note);
                journal_string(&j, "auto_note", "note", note);
        }
        if (!p.count)
                return STATUS_OK;
        for (size_t i = 0; i < p.count; i++) {
                struct wr w = wr_of(line, sizeof(line) - 1);

                put_step(&w, &p.steps[i]);
                log_line(LOG_INFO, "%zu of %zu: %s", i + 1, p.count, wr_cstr(&w));
                journal_step(&j, &p.steps[i], i + 1);
        }
        auto_script(&out, &p);
        if (out.full)
                die(STATUS_PROVISION, "the script is longer than %d bytes", SCRIPT_MAX);
        return write_full(STDOUT_FILENO, script, out.len) < 0 ? STATUS_PROVISION : STATUS_OK;
}

/* --- report ------------------------------------------------------------------------------- */

/* "STEP MS STATUS\n": digits, one blank between, and nothing else. */
static bool take_line(const char **at, uint64_t n[static 3])
{
        static const uint64_t most[3] = { AUTO_STEPS, UINT32_MAX, 256 };

        for (size_t i = 0; i < 3; i++)
                if (!digits_take(at, most[i], &n[i]) || *(*at)++ != (i < 2 ? ' ' : '\n'))
                        return false;
        return n[0] > 0;
}

static int report(char **argv)
{
        char text[AUTO_STEPS * 24 + 1], fields[160];
        struct journal j = journal_of(argv, "setup");
        ssize_t len = read_full(STDIN_FILENO, text, sizeof(text) - 1);
        const char *at = text;
        uint64_t n[3];

        text[len > 0 ? len : 0] = '\0';
        while (*at && take_line(&at, n)) {
                struct wr w = wr_of(fields, sizeof(fields));

                wr_fmt(&w, ",\"step\":%llu,\"took_ms\":%llu", (unsigned long long)n[0],
                       (unsigned long long)n[1]);
                if (n[2] == 256)
                        wr_str(&w, ",\"missing\":true");
                else
                        wr_fmt(&w, ",\"exit\":%llu", (unsigned long long)n[2]);
                journal_event(&j, "auto_step", fields, w.len);
        }
        return STATUS_OK;
}

/* --- show --------------------------------------------------------------------------------- */

static void show_line(const struct wr *w)
{
        if (write_full(STDOUT_FILENO, w->buf, w->len) < 0)
                die(STATUS_OUTPUT, "standard output is closed");
}

static int show(const char *dir)
{
        static LARGE_BUFFER struct auto_plan p;
        const char *note;
        size_t at = 0;

        find_here(&p, dir);
        for (size_t i = 0; i < p.count; i++) {
                struct wr w = wr_of(line, sizeof(line));

                wr_fmt(&w, INDENT "%zu. ", i + 1);
                put_step(&w, &p.steps[i]);
                show_line(&w);
        }
        while ((note = next_note(&p, &at))) {
                struct wr w = wr_of(line, sizeof(line));

                wr_fmt(&w, INDENT "%s", note);
                show_line(&w);
        }
        return STATUS_OK;
}

int main(int argc, char **argv)
{
        confine_relro();
        log_role("auto");
        if (argc > 5)
                return difference_main(argc, argv);
        alarm(SECONDS);
        if (argc == 4 && !strcmp(argv[1], "plan"))
                return plan(argv);
        if (argc == 4 && !strcmp(argv[1], "report"))
                return report(argv);
        if (argc == 3 && !strcmp(argv[1], "show"))
                return show(argv[2]);
        die(STATUS_USAGE, "usage: airlock-auto plan|report JOURNAL-FD START-MS | show DIR");
}
