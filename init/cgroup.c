/* init/cgroup.c - limits and OOM kills, from small kernel files. */
#include "init/cgroup.h"

#include "base/digits.h"
#include "base/io.h"
#include "base/wr.h"

#include <fcntl.h>
#include <string.h>

#define TEXT_MAX 4096

/* The number behind @key at a line's start (v2 events, v1 oom_control); "" is the file's first. */
static uint64_t number_after(const char *text, const char *key)
{
        size_t len = strlen(key);

        for (const char *line = text; line; line = strchr(line, '\n')) {
                uint64_t n;
                const char *p;

                line += *line == '\n';
                if (strncmp(line, key, len) != 0)
                        continue;
                p = line + len;
                return digits_take(&p, UINT64_MAX, &n) ? n : CGROUP_UNKNOWN; /* "max" */
        }
        return CGROUP_UNKNOWN;
}

/*
 * Our own folder of a hierarchy: in a cgroup namespace that is its root; elsewhere (a
 * box) /proc/self/cgroup tells. @controller is "" for version 2.
 */
static bool own_path(const char *controller, char *buf, size_t cap)
{
        char text[TEXT_MAX];
        size_t len = strlen(controller);
        const char *line = text;

        if (read_file(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) < 0)
                return false;
        while (line && *line) {
                const char *list = strchr(line, ':');
                const char *path = list ? strchr(list + 1, ':') : NULL;
                const char *end = path ? strchr(path, '\n') : NULL;

                if (path && end && (size_t)(path - list - 1) == len &&
                    !memcmp(list + 1, controller, len) && (size_t)(end - path) < cap) {
                        memcpy(buf, path + 1, (size_t)(end - path - 1));
                        buf[end - path - 1] = '\0';
                        return true;
                }
                line = end ? end + 1 : NULL;
        }
        return false;
}

static uint64_t read_number(const char *mount, const char *own, const char *name,
                            const char *key)
{
        char path[1024];
        char text[TEXT_MAX];

        for (int below = 1; below >= 0; below--) {
                struct wr w = wr_of(path, sizeof(path));

                wr_fmt(&w, "/sys/fs/cgroup%s%s/%s", mount, below ? own : "", name);
                if (!w.full && read_file(AT_FDCWD, wr_cstr(&w), text, sizeof(text)) >= 0)
                        return number_after(text, key);
        }
        return CGROUP_UNKNOWN;
}

void cgroup_read(struct cgroup *c)
{
        char own[512] = "";

        *c = (struct cgroup){ .version = 2 };
        if (own_path("", own, sizeof(own)) &&
            read_number("", own, "memory.events", "oom_kill ") != CGROUP_UNKNOWN) {
                c->memory_max = read_number("", own, "memory.max", "");
                c->memory_peak = read_number("", own, "memory.peak", "");
                c->pids_max = read_number("", own, "pids.max", "");
                c->oom_kills = read_number("", own, "memory.events", "oom_kill ");
                return;
        }
        c->version = own_path("memory", own, sizeof(own)) ? 1 : 0;
        c->memory_max = read_number("/memory", own, "memory.limit_in_bytes", "");
        if (c->memory_max > UINT64_MAX / 4)
                c->memory_max = CGROUP_UNKNOWN; /* version 1 says "no limit" so */
        c->memory_peak = read_number("/memory", own, "memory.max_usage_in_bytes", "");
        c->oom_kills = read_number("/memory", own, "memory.oom_control", "oom_kill ");
        own_path("pids", own, sizeof(own));
        c->pids_max = read_number("/pids", own, "pids.max", "");
}
