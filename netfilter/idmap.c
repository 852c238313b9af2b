/* netfilter/idmap.c - uid_map, gid_map and setgroups of a user namespace. */
#include "netfilter/idmap.h"

#include "base/digits.h"
#include "base/io.h"
#include "base/wr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAP_MAX 4096 /* the kernel takes less than a page */

/* A decimal number after blanks; false when there is none. */
static bool number(const char **p, uint32_t *n)
{
        const char *s = *p + strspn(*p, " \t");
        uint64_t v;

        if (!digits_take(&s, UINT32_MAX, &v))
                return false;
        *n = (uint32_t)v;
        *p = s;
        return true;
}

enum idmap_status idmap_identity(const char *text, char *out, size_t cap)
{
        struct wr w = wr_of(out, cap - 1);

        while (*text) {
                uint32_t inside, outside, count;

                if (!number(&text, &inside) || !number(&text, &outside) ||
                    !number(&text, &count) || *text != '\n' || !count)
                        return IDMAP_MALFORMED;
                text++;
                wr_fmt(&w, "%u %u %u\n", inside, inside, count);
        }
        if (w.full)
                return IDMAP_TOO_LONG;
        wr_cstr(&w);
        return w.len ? IDMAP_OK : IDMAP_MALFORMED;
}

static int put_file(const char *path, const char *text, size_t len)
{
        AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return write(fd, text, len) == (ssize_t)len ? 0 : -errno;
}

static int copy_map(pid_t pid, const char *name)
{
        char text[MAP_MAX], map[MAP_MAX], path[64];
        struct wr w = wr_of(path, sizeof(path) - 1);
        ssize_t n;

        wr_fmt(&w, "/proc/self/%s", name);
        n = read_file(AT_FDCWD, wr_cstr(&w), text, sizeof(text));
        if (n < 0)
                return (int)n;
        if (idmap_identity(text, map, sizeof(map)) != IDMAP_OK)
                return -EPROTO;
        w = wr_of(path, sizeof(path) - 1);
        wr_fmt(&w, "/proc/%d/%s", (int)pid, name);
        return put_file(wr_cstr(&w), map, strlen(map));
}

/* Groups first: who may not write them may not write users either, and nothing was done. */
int idmap_write(pid_t pid)
{
        int r = copy_map(pid, "gid_map");

        return r < 0 ? r : copy_map(pid, "uid_map");
}

static int put_single(const char *path, uint32_t id)
{
        char map[32];
        struct wr w = wr_of(map, sizeof(map));

        wr_fmt(&w, "%u %u 1\n", id, id);
        return put_file(path, map, w.len);
}

int idmap_single(uid_t uid, gid_t gid)
{
        int r = put_file("/proc/self/setgroups", "deny", 4);

        if (!r)
                r = put_single("/proc/self/gid_map", gid);
        return r < 0 ? r : put_single("/proc/self/uid_map", uid);
}

int idmap_ask(int channel)
{
        int32_t answer;
        ssize_t n;

        if (write(channel, "m", 1) != 1)
                return -errno;
        do
                n = read(channel, &answer, sizeof(answer));
        while (n < 0 && errno == EINTR);
        return n == sizeof(answer) ? answer : -EPIPE;
}

void idmap_answer(int channel, pid_t pid)
{
        int32_t answer = idmap_write(pid);
        /* Who asked has gone when this fails, and notices. */
        ssize_t n = write(channel, &answer, sizeof(answer));

        (void)n;
}
