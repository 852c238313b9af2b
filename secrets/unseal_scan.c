/* secrets/unseal_scan.c - after the session: its last line, the leak scan, the report. */
#include "base/clock.h"
#include "base/io.h"
#include "base/msg.h"
#include "secrets/leak.h"
#include "secrets/unseal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define LINE_MAX_BYTES 400

static LARGE_BUFFER struct look look;
static struct unseal *the_unseal; /* for the walk's reports */

void unseal_take_line(struct unseal *u, char *text, size_t cap)
{
        static LARGE_BUFFER uint8_t masked[LINE_MAX_BYTES + MASK_OUT_EXTRA];
        AUTO_CLOSE int fd = u->o.line_file ? open(u->o.line_file, O_RDONLY | O_NOFOLLOW |
                                                  O_NONBLOCK | O_CLOEXEC)
                                           : -1;
        ssize_t n = fd < 0 ? -1 : read_full(fd, u->session.chunk, LINE_MAX_BYTES);
        const uint8_t *end;
        size_t len;

        *text = '\0';
        if (u->o.line_file)
                unlinkat(AT_FDCWD, u->o.line_file, 0);
        if (n <= 0)
                return;
        end = memchr(u->session.chunk, '\n', (size_t)n);
        masker_init(u->mask, u->search);
        len = masker_put(u->mask, u->session.chunk,
                       end ? (size_t)(end - u->session.chunk) : (size_t)n, masked);
        len += masker_end(u->mask, masked + len);
        if (len >= cap)
                len = cap - 1;
        memcpy(text, masked, len);
        text[len] = '\0';
}

static void on_hit(struct leak *l, const struct leak_hit *h)
{
        static const char *const fates[] = { "stays", "allowed", "removed", "not removed" };
        struct unseal *u = the_unseal;
        size_t len = strlen(h->path);
        const char *path = len > 1500 ? h->path + len - 1500 : h->path;

        (void)l;
        for (size_t i = 0; i < h->count; i++) {
                const struct var *e = &u->vars->list[h->found[i].secret];
                const char *name = vars_name(u->vars, e);
                const char *as = encoding_str((enum encoding)h->found[i].encoding);
                const char *in = place_str((enum place)h->found[i].place);
                char text[3500];
                struct wr w = wr_of(text, sizeof(text));

                log_line(LOG_WARN, "leak: %s holds the secret %.*s (%s%s%s): %s%s%s", path,
                         (int)e->name_len, name, as, *in ? ", in " : "", in, fates[h->fate],
                         h->error ? ": " : "", h->error ? strerror(h->error) : "");
                put_string(&w, "path", path, strnlen(path, 500));
                put_string(&w, "secret", name, e->name_len);
                put_string(&w, "encoding", as, strlen(as));
                put_string(&w, "in", in, strlen(in));
                put_string(&w, "fate", fates[h->fate], strlen(fates[h->fate]));
                journal(u, "leak", &w);
        }
}

static void on_skip(struct leak *l, const char *path, const char *why, int error)
{
        char text[3500];
        struct wr w = wr_of(text, sizeof(text));

        if (l->skips > 100)
                return; /* the total tells */
        log_line(LOG_WARN, "leak scan: %s: %s%s%s", path, why, error ? ": " : "",
                 error ? strerror(error) : "");
        put_string(&w, "path", path, strnlen(path, 500));
        put_string(&w, "why", why, strlen(why));
        journal(the_unseal, "leak_skipped", &w);
}

int unseal_scan(struct unseal *u)
{
        struct leak l = {
                .look = &look, .since_s = u->since_s, .hit = on_hit, .skipped = on_skip,
                .act = u->o.on_leak == ON_LEAK_REMOVE ? LEAK_REMOVE : LEAK_REPORT,
                .allow = u->o.allow, .allow_count = u->o.allow_count,
        };
        uint64_t start = now_ms();
        char text[300];
        struct wr w = wr_of(text, sizeof(text));
        int r;

        the_unseal = u;
        u->phase = "seal";
        look_init(&look, u->search);
        look.deadline_ms = start + u->o.scan_s * UINT64_C(1000);
        r = leak_walk(&l, u->o.root);
        if (r < 0)
                fail(u, STATUS_LEAK, "the leak scan can't open %s: %s", u->o.root, strerror(-r));
        leak_ipc(&l);
        leak_keys(&l);
        wr_fmt(&w, ",\"files\":%lu,\"searched\":%lu,\"bytes\":%lu,\"leaks\":%u,\"stay\":%u,"
               "\"skipped\":%u,\"took_ms\":%lu", (unsigned long)l.seen,
               (unsigned long)l.searched, (unsigned long)look.bytes, l.hits, l.stay, l.skips,
               (unsigned long)(now_ms() - start));
        journal(u, "leak_scan", &w);
        explicit_bzero(&look, sizeof(look));
        if (l.stay && u->o.on_leak != ON_LEAK_WARN)
                return STATUS_LEAK;
        return l.hits || l.allowed ? UNSEAL_FOUND : STATUS_OK;
}
