/*
 * tests/fuzz/git.c - a command list gives the same updates however it is cut, ends at the
 * same byte, and names refs that have no second reading. The first byte is the size of a
 * piece; the same bytes are read as a path too, which is a push only if it says so.
 */
#include "netfilter/git.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Adds up what came out, so that two readings can be compared. */
struct sum {
        uint64_t hash;
        size_t updates, end;
        enum git_status status;
};

static void add(struct sum *s, const char *text)
{
        for (; *text; text++)
                s->hash = (s->hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
        s->hash *= 31;
}

static struct sum read_all(const char *bytes, size_t len, size_t step)
{
        struct sum s = { .hash = 1, .status = GIT_MORE };
        static struct git_push g;
        static struct git_update u;

        git_push_init(&g);
        while (s.end < len && (s.status == GIT_MORE || s.status == GIT_UPDATE)) {
                size_t n = step < len - s.end ? step : len - s.end;
                size_t used;

                s.status = git_push_next(&g, bytes + s.end, n, &used, &u);
                if (used > n || (s.status == GIT_MORE && used != n))
                        abort();
                s.end += used;
                if (s.status != GIT_UPDATE)
                        continue;
                if (strncmp(u.ref, "refs/", 5) != 0 || strstr(u.ref, "..") ||
                    strstr(u.ref, "//") || strpbrk(u.ref, " \t\n\r:*?[\\~^") ||
                    strlen(u.old_id) != strlen(u.new_id))
                        abort();
                add(&s, u.ref);
                add(&s, u.old_id);
                add(&s, u.new_id);
                s.updates++;
        }
        if (s.status == GIT_UPDATE)
                s.status = GIT_MORE;
        return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        const char *s = (const char *)data + 1;
        struct sum a, b;
        bool is_push;

        if (!len--)
                return 0;
        a = read_all(s, len, len + 1);
        b = read_all(s, len, data[0] + 1U);
        if (a.hash != b.hash || a.updates != b.updates || a.status != b.status)
                abort();
        if (a.end != b.end && a.status == GIT_DONE)
                abort();
        is_push = git_is_push("POST", 4, s, len);
        if (is_push && git_classify("POST", 4, s, len, NULL, 0) != GIT_WRITE &&
            git_classify("POST", 4, s, len, NULL, 0) != GIT_ODD)
                abort();
        if (len && memmem(s, len, "/git-receive-pack", 17) &&
            git_classify("POST", 4, s, len, NULL, 0) < GIT_WRITE)
                abort();
        return 0;
}
