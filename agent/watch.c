/* agent/watch.c - what each watch waits for, and the one inotify descriptor of all. */
#include "agent/watch.h"

#include "agent/uri.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define BUCKETS 256
#define MOVED (IN_MOVE_SELF | IN_DELETE_SELF)
#define APPEARED (IN_CREATE | IN_MOVED_TO)
#define CHANGED (IN_MODIFY | IN_ATTRIB)
#define GONE (MOVED | IN_IGNORED | IN_UNMOUNT)

enum what {
        MARK_SELF,    /* a directory on the way: it must stay where it is */
        MARK_CHILD,   /* the same, and @name must not appear in it */
        MARK_PRESENT, /* a thing that is there: it must stay as it is */
};

struct mark {
        int wd;
        enum what what;
        struct watch *watch;
        struct mark *next_bucket, *next; /* of the same bucket; of the same watch */
        char name[];
};

struct watch {
        struct asker asker; /* its id means nothing */
        uint64_t id;
        struct mark *marks;
        unsigned count; /* of them */
        bool fired;
        struct watch *next;
};

static int inotify = -1;
static struct watch *watches;
static struct mark *buckets[BUCKETS];

static struct mark **bucket_of(int wd)
{
        return &buckets[(unsigned)wd % BUCKETS];
}

static bool is_marked(int wd)
{
        for (const struct mark *m = *bucket_of(wd); m; m = m->next_bucket)
                if (m->wd == wd)
                        return true;
        return false;
}

static void drop_mark(struct mark *m)
{
        struct mark **at = bucket_of(m->wd);

        while (*at != m)
                at = &(*at)->next_bucket;
        *at = m->next_bucket;
        if (!is_marked(m->wd))
                inotify_rm_watch(inotify, m->wd); /* gone already, perhaps */
        free(m);
}

static void drop_marks(struct watch *w)
{
        while (w->marks) {
                struct mark *m = w->marks;

                w->marks = m->next;
                drop_mark(m);
        }
        w->count = 0;
}

static void drop_watch(struct watch **at)
{
        struct watch *w = *at;

        *at = w->next;
        drop_marks(w);
        asker_free(&w->asker);
        free(w);
}

void watch_forget(const struct conn *c)
{
        struct watch **at = &watches;

        while (*at)
                if (conn_is(&(*at)->asker, c))
                        drop_watch(at);
                else
                        at = &(*at)->next;
}

/* --- placing one --------------------------------------------------------------------------------- */

/* Changes here may come from elsewhere, or are none that anybody is told of. */
static bool is_blind(int fd)
{
        static const unsigned long types[] = {
                0x9fa0,     /* proc */
                0x62656572, /* sysfs */
                0x6969,     /* nfs */
                0x65735546, /* fuse */
                0x01021997, /* 9p */
                0xff534d42, /* cifs */
                0xfe534d42, /* smb2 */
        };
        struct statfs fs;

        if (fstatfs(fd, &fs) < 0)
                return true;
        for (size_t i = 0; i < COUNT(types); i++)
                if (((unsigned long)fs.f_type & UINT32_MAX) == types[i])
                        return true;
        return false;
}

static bool has_mark(const struct watch *w, int wd, enum what what, const char *name)
{
        for (const struct mark *m = w->marks; m; m = m->next)
                if (m->wd == wd && m->what == what && !strcmp(m->name, name))
                        return true;
        return false;
}

/* What @fd is: a name for it may lead elsewhere by now. */
static bool put_mark(struct watch *w, int fd, enum what what, const char *name)
{
        static const uint32_t masks[] = {
                [MARK_SELF] = MOVED,
                [MARK_CHILD] = MOVED | APPEARED,
                [MARK_PRESENT] = MOVED | CHANGED,
        };
        char self[32];
        struct wr path = wr_of(self, sizeof(self) - 1);
        struct mark *m;
        int wd;

        wr_fmt(&path, "/proc/self/fd/%d", fd);
        wd = is_blind(fd) || w->count == WATCH_MARKS
                     ? -1
                     : inotify_add_watch(inotify, wr_cstr(&path), masks[what] | IN_MASK_ADD);
        if (wd < 0)
                return false;
        if (has_mark(w, wd, what, name))
                return true;
        m = take_memory(sizeof(*m) + strlen(name) + 1);
        m->wd = wd;
        m->what = what;
        m->watch = w;
        memcpy(m->name, name, strlen(name) + 1);
        m->next = w->marks;
        m->next_bucket = *bucket_of(wd);
        w->marks = m;
        *bucket_of(wd) = m;
        w->count++;
        return true;
}

static bool is_still(int dir, const char *name, const struct stat *st)
{
        struct stat now;

        return fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_dev == st->st_dev &&
               now.st_ino == st->st_ino;
}

/* The next name of a path into @name, @path behind it. False: there is none, or a too long one. */
static bool next_name(const char **path, char name[256])
{
        size_t n;

        while (**path == '/')
                ++*path;
        n = strcspn(*path, "/");
        if (!n || n > 255)
                return false;
        memcpy(name, *path, n);
        name[n] = '\0';
        *path += n;
        return true;
}

/* Nothing but slashes is left. */
static bool is_last(const char *path)
{
        return path[strspn(path, "/")] == '\0';
}

/* True: @path is as it should be (there, or not), and it will be told when that changes. */
static bool place_marks(struct watch *w, const char *path, bool there)
{
        AUTO_CLOSE int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char name[256];

        while (dir >= 0 && next_name(&path, name)) {
                AUTO_CLOSE int next = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
                enum what what = there && is_last(path) ? MARK_PRESENT : MARK_SELF;
                struct stat st;

                if (next < 0 && errno == ENOENT && !there) {
                        /* Watched first, looked for again then: it may have come meanwhile. */
                        return put_mark(w, dir, MARK_CHILD, name) &&
                               fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
                }
                if (next < 0 || fstat(next, &st) < 0 || S_ISLNK(st.st_mode) ||
                    (is_last(path) ? !there : !S_ISDIR(st.st_mode)) ||
                    !put_mark(w, next, what, "") || !is_still(dir, name, &st))
                        return false;
                if (is_last(path))
                        return true;
                close(dir);
                dir = fd_take(&next);
        }
        return false;
}

/* --- calls and events ------------------------------------------------------------------------------ */

/* May this connection have another one, of that id? */
static bool may_watch(const struct conn *c, uint64_t id)
{
        unsigned count = 0, marks = 0;

        for (const struct watch *w = watches; w; w = w->next) {
                if (!conn_is(&w->asker, c))
                        continue;
                count++;
                marks += w->count;
                if (w->id == id)
                        return false;
        }
        return count < WATCH_COUNT && marks < WATCH_MARKS;
}

static bool open_inotify(struct server *s)
{
        struct ev_ref ref = { .kind = EVENT_WATCH };

        if (inotify >= 0)
                return true;
        inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (inotify >= 0 && ev_add(s->ev, inotify, EPOLLIN, ref) < 0) {
                close(inotify);
                inotify = -1;
        }
        return inotify >= 0;
}

static bool begin(struct conn *c, uint64_t id, const struct value *missing, const char *present)
{
        static char path[URI_PATH_MAX] LARGE_BUFFER;
        struct params p = { .v = missing }; /* its URIs were found right before */
        struct value_iter i = value_items(missing);
        struct value item;
        struct watch *w;
        bool good;

        if (!value_count(missing) || value_count(missing) > WATCH_PATHS || !may_watch(c, id) ||
            !open_inotify(c->server))
                return false;
        w = take_memory(sizeof(*w));
        w->asker = conn_asker(c, "", 0);
        w->id = id;
        w->next = watches;
        watches = w;
        good = !present[0] || place_marks(w, present, true);
        while (good && value_next(&i, NULL, &item)) {
                params_uri(&p, &item, path);
                good = place_marks(w, path, false);
        }
        if (!good)
                drop_watch(&watches);
        return good;
}

void watch_missing(struct call *call)
{
        static char path[URI_PATH_MAX] LARGE_BUFFER;
        uint64_t id = params_u64(call->p, "watchId");
        struct value missing = params_array(call->p, "missing");
        struct value present = params_optional(call->p, "present");
        struct value_iter i = value_items(&missing);
        struct value item;

        while (!call->p->bad && value_next(&i, NULL, &item))
                params_uri(call->p, &item, path);
        path[0] = '\0';
        if (!call->p->bad && present.type == VALUE_STRING)
                params_uri(call->p, &present, path);
        if (call_refused(call, "fs/watchMissing"))
                return;
        buf_fmt(conn_answer(call->conn, call->id, call->id_len), "{\"watching\":%s}",
                begin(call->conn, id, &missing, path) ? "true" : "false");
        conn_answered(call->conn);
}

static bool concerns(const struct mark *m, const struct inotify_event *e)
{
        if (e->mask & GONE)
                return true;
        if (e->len)
                return m->what == MARK_CHILD && e->mask & APPEARED && !strcmp(m->name, e->name);
        return m->what == MARK_PRESENT && e->mask & CHANGED;
}

static void take_event(const struct inotify_event *e)
{
        if (e->mask & IN_Q_OVERFLOW)
                for (struct watch *w = watches; w; w = w->next)
                        w->fired = true;
        for (struct mark *m = *bucket_of(e->wd); m; m = m->next_bucket)
                if (m->wd == e->wd && concerns(m, e))
                        m->watch->fired = true;
}

static void tell_fired(void)
{
        struct watch **at = &watches;

        while (*at) {
                struct watch *w = *at;
                struct conn *c = w->fired ? conn_of(&w->asker) : NULL;

                if (c) {
                        struct buf *b = conn_begin(c);

                        buf_str(b, "{\"method\":\"fs/missingChanged\",\"params\":{\"watchId\":");
                        buf_u64(b, w->id);
                        buf_str(b, "}}");
                        conn_end(c);
                }
                if (w->fired)
                        drop_watch(at);
                else
                        at = &w->next;
        }
}

void watch_event(struct server *s)
{
        static _Alignas(struct inotify_event) char events[16384] LARGE_BUFFER;
        ssize_t n = read(inotify, events, sizeof(events));

        (void)s;
        for (ssize_t at = 0; at < n;) {
                const struct inotify_event *e = (const void *)(events + at);

                take_event(e);
                at += (ssize_t)sizeof(*e) + e->len;
        }
        tell_fired();
}
