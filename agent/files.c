/* agent/files.c - the fs/ calls that are done at once, and the door to those that are not. */
#include "agent/files.h"

#include "base/base64.h"
#include "agent/cage.h"
#include "agent/dispatch.h"
#include "agent/helper.h"
#include "agent/tree.h"
#include "agent/watch.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WHOLE_MAX (1U << 20)  /* a file up to this size is answered at once */
#define GROWING_MAX (64U << 20) /* of /proc and the like, whose size nobody knows */
#define LIST_AT_ONCE 1024 /* entries of a directory */
#define BLOCK_MAX (1U << 20)
#define HANDLES_MAX 128
#define HANDLE_ID_MAX 32

struct open_file {
        int fd; /* -1: free */
        size_t id_len;
        char id[HANDLE_ID_MAX];
        bool writes;
};

static struct grants grants LARGE_BUFFER;

static void answer_empty(struct call *call)
{
        buf_str(conn_answer(call->conn, call->id, call->id_len), "{}");
        conn_answered(call->conn);
}

static void fail(struct call *call, int err)
{
        struct buf text = { 0 };
        int code = files_error(&text, err);

        conn_error(call->conn, call->id, call->id_len, code, "%.*s", (int)text.len, buf_at(&text));
        buf_free(&text);
}

static void invalid(struct call *call, const char *what)
{
        conn_error(call->conn, call->id, call->id_len, RPC_INVALID, "%s", what);
}

static void not_a_file(struct call *call, const struct place *place)
{
        conn_error(call->conn, call->id, call->id_len, RPC_INVALID, "path `%s` is not a file",
                   place->path);
}

void files_place(struct params *p, const char *key, struct place *place)
{
        struct value sandbox = params_object_or_null(p, "sandbox");
        char why[512];
        struct wr w = wr_of(why, sizeof(why));
        struct grant_places places = { getenv("TMPDIR") };

        place->grants = NULL;
        params_path(p, key, place->path);
        place->no_links = !params_bool_or(p, "followSymlinks", true);
        if (sandbox.type != VALUE_OBJECT)
                return;
        place->grants = &grants;
        if (!grants_parse(&grants, &sandbox, &places, &w) || !cage_settle(&grants, &w))
                params_refuse(p, "%.*s", (int)w.len, why);
}

/* --- reading and writing whole files -------------------------------------------------------- */

/* An open file, when it is one. -errno; -EISDIR stands for whatever is no regular file. */
static int open_regular(const struct place *place, struct stat *st)
{
        AUTO_CLOSE int fd = place_open(place, O_RDONLY, ACCESS_READ);

        if (fd < 0)
                return fd == -ENXIO ? -EISDIR : fd; /* a socket */
        if (fstat(fd, st) < 0)
                return -errno;
        return S_ISREG(st->st_mode) ? fd_take(&fd) : -EISDIR;
}

static void read_whole(struct call *call, int fd, size_t expected)
{
        struct buf text = { 0 };
        struct buf *b;

        for (;;) {
                char *to = buf_room(&text, expected + 4096 > text.len ? 65536 : 4096);
                ssize_t n = read(fd, to, text.cap - text.head - text.len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 || text.len > GROWING_MAX) {
                        fail(call, n < 0 ? errno : EFBIG);
                        buf_free(&text);
                        return;
                }
                if (!n)
                        break;
                buf_added(&text, (size_t)n);
        }
        b = conn_answer(call->conn, call->id, call->id_len);
        buf_str(b, "{\"dataBase64\":\"");
        buf_base64(b, buf_at(&text), text.len);
        buf_str(b, "\"}");
        conn_answered(call->conn);
        buf_free(&text);
}

static void read_file_call(struct call *call)
{
        struct place place;
        struct stat st;
        int fd;

        files_place(call->p, "path", &place);
        if (call_refused(call, "fs/readFile"))
                return;
        fd = open_regular(&place, &st);
        if (fd == -EISDIR) {
                not_a_file(call, &place);
        } else if (fd < 0) {
                fail(call, -fd);
        } else if (st.st_size > WHOLE_MAX) {
                conn_stream(call->conn, call->id, call->id_len, fd);
        } else {
                read_whole(call, fd, (size_t)st.st_size);
                close(fd);
        }
}

/* 0, or -errno: -EISDIR for a directory, -ENXIO for what is neither file nor device. */
static int write_to(const struct place *place, const void *bytes, size_t len)
{
        AUTO_CLOSE int fd = place_create(place);
        struct stat st;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
                return -ENXIO;
        return write_full(fd, bytes, len);
}

static void write_file_call(struct call *call)
{
        struct value data = params_string(call->p, "dataBase64");
        char *text = (char *)(uintptr_t)data.at;
        struct place place;
        size_t n, len, at;
        int r;

        files_place(call->p, "path", &place);
        if (call_refused(call, "fs/writeFile"))
                return;
        n = value_string(&data, text); /* in place: the message is ours */
        if (!base64_decode_padded(text, n, text, &len, &at)) {
                conn_error(call->conn, call->id, call->id_len, RPC_INVALID,
                           "fs/writeFile requires valid base64 dataBase64: wrong at offset %zu",
                           at);
                return;
        }
        r = write_to(&place, text, len);
        if (r == -ENXIO)
                not_a_file(call, &place);
        else if (r < 0)
                fail(call, -r);
        else
                answer_empty(call);
}

/* --- directories and names -------------------------------------------------------------------- */

/* One directory. An existing one is fine when @or_there. */
static int make_one(const struct place *place, bool or_there)
{
        char name[256];
        struct stat st;
        AUTO_CLOSE int dir = place_parent(place, ACCESS_WRITE, name);

        if (dir < 0) {
                if (dir == -EBUSY || (or_there && stat(place->path, &st) == 0 && S_ISDIR(st.st_mode)))
                        return or_there ? 0 : -EEXIST;
                return dir;
        }
        if (mkdirat(dir, name, 0777) == 0)
                return 0;
        if (errno != EEXIST || !or_there || fstatat(dir, name, &st, 0) < 0 || !S_ISDIR(st.st_mode))
                return -errno;
        return 0;
}

static int make_all(struct place *place)
{
        struct place part = *place;
        struct stat st;
        int r;

        if (stat(place->path, &st) == 0)
                return S_ISDIR(st.st_mode) ? 0 : -EEXIST;
        for (size_t i = 1; place->path[i]; i++) {
                if (place->path[i] != '/')
                        continue;
                memcpy(part.path, place->path, i);
                part.path[i] = '\0';
                if (stat(part.path, &st) == 0)
                        continue;
                r = make_one(&part, true);
                if (r < 0)
                        return r;
        }
        return make_one(place, true);
}

static void create_directory(struct call *call)
{
        bool recursive = params_bool_or(call->p, "recursive", true);
        struct place place;
        int r;

        files_place(call->p, "path", &place);
        if (call_refused(call, "fs/createDirectory"))
                return;
        r = recursive ? make_all(&place) : make_one(&place, false);
        if (r < 0)
                fail(call, -r);
        else
                answer_empty(call);
}

static void get_metadata(struct call *call)
{
        struct place place;
        struct stat st, link;
        struct buf *b;
        int fd;

        files_place(call->p, "path", &place);
        if (call_refused(call, "fs/getMetadata"))
                return;
        if (!place.grants && !place.no_links) { /* the usual case: one system call */
                fd = stat(place.path, &st) < 0 ? -errno : 0;
        } else {
                fd = place_open(&place, O_PATH, ACCESS_READ);
                if (fd >= 0) {
                        int r = fstat(fd, &st) < 0 ? -errno : 0;

                        close(fd);
                        fd = r;
                }
        }
        if (fd == -ELOOP && place.no_links) {
                invalid(call, "path contains a symbolic link");
                return;
        }
        if (fd < 0) {
                fail(call, -fd);
                return;
        }
        b = conn_answer(call->conn, call->id, call->id_len);
        buf_fmt(b, "{\"isDirectory\":%s,\"isFile\":%s,\"isSymlink\":%s,\"size\":",
                S_ISDIR(st.st_mode) ? "true" : "false", S_ISREG(st.st_mode) ? "true" : "false",
                lstat(place.path, &link) == 0 && S_ISLNK(link.st_mode) ? "true" : "false");
        buf_u64(b, (uint64_t)st.st_size);
        buf_str(b, ",\"createdAtMs\":0,\"modifiedAtMs\":");
        buf_i64(b, st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
        buf_str(b, "}");
        conn_answered(call->conn);
}

static void canonicalize(struct call *call)
{
        struct place place;
        char path[URI_PATH_MAX];
        struct buf *b;
        int fd, r;

        files_place(call->p, "path", &place);
        if (call_refused(call, "fs/canonicalize"))
                return;
        fd = place_open(&place, O_PATH, ACCESS_READ);
        r = fd < 0 ? fd : path_of_fd(fd, path);
        if (fd >= 0)
                close(fd);
        if (r < 0) {
                fail(call, -r);
                return;
        }
        b = conn_answer(call->conn, call->id, call->id_len);
        buf_str(b, "{\"path\":");
        tree_put_uri(b, path);
        buf_str(b, "}");
        conn_answered(call->conn);
}

/* What is short is read here; a full directory is a helper's. */
static void read_directory(struct call *call)
{
        static struct place place LARGE_BUFFER;
        struct buf text = { 0 };
        int code;

        files_place(call->p, "path", &place);
        if (call_refused(call, "fs/readDirectory"))
                return;
        code = tree_list_some(&place, LIST_AT_ONCE, &text);
        if (code == TREE_MORE) {
                helper_start(call, HELPER_READS, tree_list, &place);
        } else if (code) {
                conn_error(call->conn, call->id, call->id_len, code, "%.*s", (int)text.len,
                           buf_at(&text));
        } else {
                buf_put(conn_answer(call->conn, call->id, call->id_len), buf_at(&text), text.len);
                conn_answered(call->conn);
        }
        buf_free(&text);
}

/* --- trees ---------------------------------------------------------------------------------- */

static void walk(struct call *call)
{
        static struct walk w LARGE_BUFFER;
        struct value v = params_object(call->p, "options");
        struct params o = params_of(&v);

        files_place(call->p, "path", &w.root);
        w.max_depth = params_u64(&o, "maxDepth");
        w.max_directories = params_u64(&o, "maxDirectories");
        w.max_entries = params_u64(&o, "maxEntries");
        w.follow = params_bool(&o, "followDirectorySymlinks");
        w.prune_hidden = params_bool_or(&o, "pruneHiddenDirectories", false);
        if (o.bad)
                params_refuse(call->p, "%s", o.error);
        if (call_refused(call, "fs/walk"))
                return;
        if (!w.max_directories || !w.max_entries)
                invalid(call, w.max_directories ? "maxEntries must be greater than zero"
                                                : "maxDirectories must be greater than zero");
        else
                helper_start(call, HELPER_READS, tree_walk, &w);
}

/* What is quickly done is done here; only a full directory needs a helper. */
static void remove_call(struct call *call)
{
        static struct removal m LARGE_BUFFER;
        struct buf text = { 0 };
        int code;

        m.recursive = params_bool_or(call->p, "recursive", true);
        m.force = params_bool_or(call->p, "force", true);
        files_place(call->p, "path", &m.place);
        if (call_refused(call, "fs/remove"))
                return;
        if (m.recursive) {
                struct removal first = m;

                first.recursive = false;
                code = tree_remove(&first, &text);
                if (code && strstr(buf_at(&text), strerror(ENOTEMPTY))) {
                        buf_free(&text);
                        helper_start(call, HELPER_WRITES, tree_remove, &m);
                        return;
                }
        } else {
                code = tree_remove(&m, &text);
        }
        if (code)
                conn_error(call->conn, call->id, call->id_len, code, "%.*s", (int)text.len,
                           buf_at(&text));
        else
                answer_empty(call);
        buf_free(&text);
}

static void copy_call(struct call *call)
{
        static struct copy c LARGE_BUFFER;

        files_place(call->p, "sourcePath", &c.from);
        files_place(call->p, "destinationPath", &c.to);
        c.recursive = params_bool(call->p, "recursive");
        if (!call_refused(call, "fs/copy"))
                helper_start(call, HELPER_WRITES, tree_copy, &c);
}

/* --- handles ---------------------------------------------------------------------------------- */

/* The id of the call's handle; false: it was answered. */
static bool handle_id(struct call *call, const struct value *v, char id[HANDLE_ID_MAX], size_t *len)
{
        char text[6 * HANDLE_ID_MAX];

        *len = v->len <= sizeof(text) ? value_string(v, text) : sizeof(text);
        if (*len > HANDLE_ID_MAX) {
                invalid(call, "file handle ids are at most 32 bytes");
                return false;
        }
        memcpy(id, text, *len);
        return true;
}

static struct open_file *find_handle(const struct conn *c, const char *id, size_t len)
{
        for (size_t i = 0; c->handles && i < HANDLES_MAX; i++)
                if (c->handles[i].fd >= 0 && c->handles[i].id_len == len &&
                    !memcmp(c->handles[i].id, id, len))
                        return &c->handles[i];
        return NULL;
}

static struct open_file *free_handle(struct conn *c)
{
        if (!c->handles) {
                c->handles = take_memory(HANDLES_MAX * sizeof(*c->handles));
                for (size_t i = 0; i < HANDLES_MAX; i++)
                        c->handles[i].fd = -1;
        }
        for (size_t i = 0; i < HANDLES_MAX; i++)
                if (c->handles[i].fd < 0)
                        return &c->handles[i];
        return NULL;
}

static int open_replacing(const struct place *place)
{
        AUTO_CLOSE int fd = place_create(place);
        struct stat st;

        if (fd < 0)
                return fd == -ENXIO ? -EISDIR : fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        return S_ISREG(st.st_mode) ? fd_take(&fd) : -EISDIR;
}

static void open_call(struct call *call)
{
        struct value v = params_string(call->p, "handleId");
        struct value mode = params_optional(call->p, "mode");
        bool replace = value_is(&mode, "replace");
        struct open_file *h;
        struct place place;
        struct stat st;
        struct buf *b;
        char id[HANDLE_ID_MAX];
        size_t len;
        int fd;

        files_place(call->p, "path", &place);
        if (mode.type == VALUE_STRING && !replace && !value_is(&mode, "read"))
                params_refuse(call->p, "unknown variant, expected `read` or `replace`");
        if (call_refused(call, "fs/open") || !handle_id(call, &v, id, &len))
                return;
        if (find_handle(call->conn, id, len)) {
                conn_error(call->conn, call->id, call->id_len, RPC_INVALID,
                           "file handle `%.*s` already exists", (int)len, id);
                return;
        }
        h = free_handle(call->conn);
        if (!h) {
                invalid(call, "at most 128 file handles may be open per connection");
                return;
        }
        fd = replace ? open_replacing(&place) : open_regular(&place, &st);
        if (fd == -EISDIR) {
                not_a_file(call, &place);
                return;
        }
        if (fd < 0) {
                fail(call, -fd);
                return;
        }
        *h = (struct open_file){ .fd = fd, .id_len = len, .writes = replace };
        memcpy(h->id, id, len);
        b = conn_answer(call->conn, call->id, call->id_len);
        buf_str(b, "{\"handleId\":");
        buf_json(b, id, len);
        buf_str(b, "}");
        conn_answered(call->conn);
}

static void close_handle(struct open_file *h)
{
        close(h->fd);
        h->fd = -1;
}

/* The handle of the call; NULL: it was answered. */
static struct open_file *call_handle(struct call *call, const struct value *v)
{
        struct open_file *h;
        char id[HANDLE_ID_MAX];
        size_t len;

        if (!handle_id(call, v, id, &len))
                return NULL;
        h = find_handle(call->conn, id, len);
        if (!h)
                conn_error(call->conn, call->id, call->id_len, RPC_NOT_FOUND,
                           "unknown file handle `%.*s`", (int)len, id);
        return h;
}

static ssize_t pread_full(int fd, char *to, size_t len, uint64_t offset)
{
        size_t done = 0;

        while (done < len) {
                ssize_t n = pread(fd, to + done, len - done, (off_t)(offset + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (!n)
                        break;
                done += (size_t)n;
        }
        return (ssize_t)done;
}

static void read_block(struct call *call)
{
        static char block[BLOCK_MAX] LARGE_BUFFER;
        struct value v = params_string(call->p, "handleId");
        uint64_t offset = params_u64(call->p, "offset"), len = params_u64(call->p, "len");
        struct open_file *h;
        struct buf *b;
        ssize_t n;

        if (call_refused(call, "fs/readBlock"))
                return;
        if (!len || len > BLOCK_MAX) {
                invalid(call, "len must be between 1 and 1048576");
                return;
        }
        h = call_handle(call, &v);
        if (!h)
                return;
        n = offset > INT64_MAX - BLOCK_MAX ? -EINVAL : pread_full(h->fd, block, len, offset);
        if (n < 0) {
                close_handle(h);
                fail(call, (int)-n);
                return;
        }
        b = conn_answer(call->conn, call->id, call->id_len);
        buf_str(b, "{\"chunk\":\"");
        buf_base64(b, block, (size_t)n);
        buf_fmt(b, "\",\"eof\":%s}", (uint64_t)n < len ? "true" : "false");
        conn_answered(call->conn);
}

static int pwrite_full(int fd, const char *from, size_t len, uint64_t offset)
{
        while (len) {
                ssize_t n = pwrite(fd, from, len, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                from += n;
                len -= (size_t)n;
                offset += (uint64_t)n;
        }
        return 0;
}

static void write_block(struct call *call)
{
        struct value v = params_string(call->p, "handleId");
        uint64_t offset = params_u64(call->p, "offset");
        struct value chunk = params_string(call->p, "chunk");
        char *text = (char *)(uintptr_t)chunk.at;
        size_t len = 0, at;
        struct open_file *h;
        int r;

        if (!call->p->bad && !base64_decode_padded(text, value_string(&chunk, text), text, &len, &at))
                params_refuse(call->p, "invalid base64 at offset %zu", at);
        if (call_refused(call, "fs/writeBlock"))
                return;
        if (!len || len > BLOCK_MAX) {
                invalid(call, "chunk must be between 1 and 1048576 bytes");
                return;
        }
        h = call_handle(call, &v);
        if (!h)
                return;
        r = offset > INT64_MAX - BLOCK_MAX ? -EFBIG : pwrite_full(h->fd, text, len, offset);
        if (r < 0)
                fail(call, -r);
        else
                answer_empty(call);
}

static void close_call(struct call *call)
{
        struct value v = params_string(call->p, "handleId");
        struct open_file *h;
        char id[HANDLE_ID_MAX];
        size_t len;

        if (call_refused(call, "fs/close") || !handle_id(call, &v, id, &len))
                return;
        h = find_handle(call->conn, id, len);
        if (h)
                close_handle(h);
        answer_empty(call);
}

void files_close_all(struct conn *c)
{
        for (size_t i = 0; c->handles && i < HANDLES_MAX; i++)
                if (c->handles[i].fd >= 0)
                        close(c->handles[i].fd);
        free(c->handles);
        c->handles = NULL;
}

void files_call(struct call *call, const char *method)
{
        static const struct {
                char method[20];
                void (*run)(struct call *call);
        } calls[] = {
                { "fs/readFile", read_file_call },
                { "fs/writeFile", write_file_call },
                { "fs/open", open_call },
                { "fs/readBlock", read_block },
                { "fs/writeBlock", write_block },
                { "fs/close", close_call },
                { "fs/createDirectory", create_directory },
                { "fs/getMetadata", get_metadata },
                { "fs/canonicalize", canonicalize },
                { "fs/readDirectory", read_directory },
                { "fs/walk", walk },
                { "fs/remove", remove_call },
                { "fs/copy", copy_call },
                { "fs/watchMissing", watch_missing },
        };

        for (size_t i = 0; i < COUNT(calls); i++)
                if (!strcmp(method, calls[i].method))
                        calls[i].run(call);
}
