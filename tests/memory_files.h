/*
 * tests/memory_files.h - a file system in memory, for what edits files through callbacks.
 *
 * A handful of files and links by absolute path; a directory is there when something is
 * below it. It can be told to fail. Only resolve follows links; the others fail at one.
 */
#ifndef TESTS_MEMORY_FILES_H
#define TESTS_MEMORY_FILES_H

#include "agent/patch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_FILES 32

struct memory_file {
        char path[256];
        bool link; /* the bytes are where it leads: an absolute path */
        struct buf bytes;
};

struct memory_files {
        struct memory_file all[MEMORY_FILES];
        int fail_write; /* the so-manieth write or removal fails; 0: none */
        int fail_until; /* and those after it up to this one */
        int writes;
};

static struct memory_file *memory_find(struct memory_files *m, const char *path)
{
        for (size_t i = 0; i < MEMORY_FILES; i++)
                if (m->all[i].path[0] && !strcmp(m->all[i].path, path))
                        return &m->all[i];
        return NULL;
}

static bool memory_is_dir(const struct memory_files *m, const char *path)
{
        size_t n = strlen(path);

        for (size_t i = 0; i < MEMORY_FILES; i++)
                if (m->all[i].path[0] && !strncmp(m->all[i].path, path, n) &&
                    (m->all[i].path[n] == '/' || n == 1))
                        return true;
        return false;
}

static int memory_put(struct memory_files *m, const char *path, const void *bytes, size_t len,
                      bool link)
{
        struct memory_file *f = memory_find(m, path);

        for (size_t i = 0; !f && i < MEMORY_FILES; i++)
                if (!m->all[i].path[0])
                        f = &m->all[i];
        if (!f || strlen(path) >= sizeof(f->path))
                return -ENOSPC;
        memcpy(f->path, path, strlen(path) + 1);
        f->link = link;
        f->bytes.len = 0;
        buf_put(&f->bytes, bytes, len);
        return 0;
}

static void memory_close(struct memory_files *m)
{
        for (size_t i = 0; i < MEMORY_FILES; i++)
                buf_free(&m->all[i].bytes);
}

/* Component after component, as the kernel does. */
static int memory_resolve(void *ctx, const char *path, struct buf *real)
{
        struct memory_files *m = ctx;
        char at[600] = "/", left[600], *p = left;

        if (strlen(path) >= 300)
                return -ENAMETOOLONG;
        memcpy(left, path, strlen(path) + 1);
        for (int links = 0; *p && links < 8;) {
                size_t n = strcspn(p, "/"), len = strlen(at);
                struct memory_file *f;

                if (!n) {
                        p++;
                        continue;
                }
                if (!memory_is_dir(m, at))
                        return memory_find(m, at) ? -ENOTDIR : -ENOENT;
                if (len + n + 2 > sizeof(at))
                        return -ENAMETOOLONG;
                if (len > 1)
                        at[len++] = '/';
                memcpy(at + len, p, n);
                at[len + n] = '\0';
                p += n;
                f = memory_find(m, at);
                if (f && f->link) {
                        char rest[600];

                        if (f->bytes.len + strlen(p) >= sizeof(rest))
                                return -ENAMETOOLONG;
                        memcpy(rest, buf_at(&f->bytes), f->bytes.len);
                        memcpy(rest + f->bytes.len, p, strlen(p) + 1);
                        memcpy(left, rest, sizeof(left));
                        memcpy(at, "/", 2);
                        p = left;
                        links++;
                }
        }
        if (*p)
                return -ELOOP;
        if (!memory_find(m, at) && !memory_is_dir(m, at))
                return -ENOENT;
        buf_str(real, at);
        return 0;
}

/* Only the last component may be a link, and only a removal may name it. */
static bool memory_at_link(const struct memory_files *m, const char *path, bool removal)
{
        for (size_t i = 0; i < MEMORY_FILES; i++) {
                size_t n = strlen(m->all[i].path);

                if (!n || !m->all[i].link || strncmp(path, m->all[i].path, n) != 0)
                        continue;
                if (path[n] == '/' || (!path[n] && !removal))
                        return true;
        }
        return false;
}

static int memory_read(void *ctx, const char *path, struct buf *out)
{
        struct memory_file *f = memory_find(ctx, path);

        if (!f)
                return memory_is_dir(ctx, path) ? -EISDIR : -ENOENT;
        if (f->link)
                return -ELOOP;
        if (f->bytes.len)
                buf_put(out, buf_at(&f->bytes), f->bytes.len);
        return 0;
}

static bool memory_fails(struct memory_files *m)
{
        m->writes++;
        return m->fail_write && m->writes >= m->fail_write &&
               (m->writes == m->fail_write || m->writes <= m->fail_until);
}

/* A directory that is missing is there once the file is; below a file nothing can be. */
static int memory_write(void *ctx, const char *path, const char *bytes, size_t len,
                        const char *like)
{
        struct memory_files *m = ctx;

        if (like && !memory_find(m, like))
                abort();
        if (memory_fails(m))
                return -ENOSPC;
        if (memory_at_link(m, path, false))
                return -ELOOP;
        if (memory_is_dir(m, path))
                return -EISDIR;
        for (size_t i = 0; i < MEMORY_FILES; i++) {
                size_t n = strlen(m->all[i].path);

                if (n && !strncmp(path, m->all[i].path, n) && path[n] == '/')
                        return -ENOTDIR;
        }
        return memory_put(m, path, bytes, len, false);
}

static int memory_remove(void *ctx, const char *path)
{
        struct memory_files *m = ctx;
        struct memory_file *f = memory_find(m, path);

        if (memory_fails(m))
                return -EROFS;
        if (memory_at_link(m, path, true))
                return -ELOOP;
        if (!f)
                return memory_is_dir(m, path) ? -EISDIR : -ENOENT;
        f->path[0] = '\0';
        return 0;
}

static inline struct patch_files memory_files(struct memory_files *m)
{
        return (struct patch_files){ m, memory_resolve, memory_read, memory_write, memory_remove };
}

#endif
