/* init/user.c - looks users up in /etc/passwd (passwd(5)), which the image owns. */
#include "init/user.h"

#include "base/digits.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PASSWD_MAX (256 * 1024)

static LARGE_BUFFER char passwd[PASSWD_MAX];

/* A decimal id up to 2^32-2 that ends at @stop; *@end is left there. */
static bool number(const char *s, char stop, uint32_t *n, const char **end)
{
        uint64_t v;

        if (!digits_take(&s, UINT32_MAX - 1, &v))
                return false;
        *n = (uint32_t)v;
        *end = s;
        return *s == stop;
}

/* The line's fields, name:password:uid:gid:gecos:home:shell; NULL if it is none. */
static const char *parse_line(const char *line, struct user *u, size_t *name_len)
{
        const char *p = strchr(line, ':');
        const char *home;
        size_t len;

        if (!p)
                return NULL;
        *name_len = (size_t)(p - line);
        p = strchr(p + 1, ':');
        if (!p || !number(p + 1, ':', &u->uid, &p) || !number(p + 1, ':', &u->gid, &p))
                return NULL;
        home = strchr(p + 1, ':');
        if (!home++)
                return NULL;
        len = strcspn(home, ":\n");
        if (len >= sizeof(u->home))
                len = 0;
        memcpy(u->home, home, len);
        u->home[len] = '\0';
        return line;
}

static bool lookup(const char *name, bool by_uid, uid_t uid, struct user *out)
{
        if (read_file(AT_FDCWD, "/etc/passwd", passwd, sizeof(passwd)) < 0)
                return false;
        for (char *line = passwd; line && *line;) {
                char *end = strchr(line, '\n');
                struct user u;
                size_t len;

                if (end)
                        *end++ = '\0';
                if (parse_line(line, &u, &len) &&
                    (by_uid ? u.uid == uid : strlen(name) == len && !memcmp(line, name, len))) {
                        *out = u;
                        return true;
                }
                line = end;
        }
        return false;
}

void user_of(uid_t uid, struct user *u)
{
        *u = (struct user){ .uid = uid, .gid = (gid_t)uid };
        lookup("", true, uid, u);
}

int user_parse(const char *text, struct user *u)
{
        const char *end;
        uint32_t uid;
        uint32_t gid;

        *u = (struct user){ 0 };
        if (number(text, '\0', &uid, &end)) {
                user_of(uid, u);
                return 0;
        }
        if (number(text, ':', &uid, &end) && number(end + 1, '\0', &gid, &end)) {
                user_of(uid, u);
                u->gid = gid;
                return 0;
        }
        if (*text >= '0' && *text <= '9')
                return -EINVAL;
        return lookup(text, false, 0, u) ? 0 : -ENOENT;
}
