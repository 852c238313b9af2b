/* init/auto_find.c - walks a work tree for auto_choose(), top down, in the order of the names. */
#include "init/auto.h"

#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SUBDIRS 512
#define DIRS 20000

struct walk {
        struct auto_plan *p;
        char path[AUTO_PATH];
        size_t len;
        unsigned dirs;
        struct auto_dir dir[AUTO_DEPTH + 1];
        char names[AUTO_DEPTH + 1][SUBDIRS][NAME_MAX + 1];
};

/* What package managers fill, what builds leave, what is there as a sample. */
static bool is_skipped(const char *name)
{
        static const char *const names[] = {
                "node_modules", "bower_components", "vendor", "target", "venv", "env", "dist",
                "build", "out", "__pycache__", "site-packages", "third_party", "test", "tests",
                "__tests__", "testdata", "fixtures", "__fixtures__", "example", "examples",
                "sample", "samples", "template", "templates", "benchmark", "benchmarks", "docs",
        };

        for (size_t i = 0; i < COUNT(names); i++)
                if (!strcmp(name, names[i]))
                        return true;
        return name[0] == '.';
}

static void read_file_of(struct auto_dir *d, int at, enum auto_file f)
{
        static LARGE_BUFFER char text[AUTO_READ];
        AUTO_CLOSE int fd = openat(at, auto_file_name(f),
                                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return;
        n = read_full(fd, text, sizeof(text));
        if (n > 0)
                auto_dir_read(d, f, text, (size_t)n);
}

static bool is_dir(int at, const struct dirent *e)
{
        struct stat st;

        return e->d_type == DT_DIR ||
               (e->d_type == DT_UNKNOWN && !fstatat(at, e->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
                S_ISDIR(st.st_mode));
}

static int by_name(const void *a, const void *b)
{
        return strcmp(a, b);
}

/* Fills @d, and @names with the directories to go into. */
static size_t list(struct auto_dir *d, DIR *stream, char (*names)[NAME_MAX + 1])
{
        const struct dirent *e;
        size_t count = 0;

        *d = (struct auto_dir){ .files = 0 };
        while ((e = readdir(stream))) {
                enum auto_file f = auto_file_of(e->d_name);

                if (f < FILE_COUNT && e->d_type != DT_DIR)
                        d->files |= UINT64_C(1) << f;
                else if (count < SUBDIRS && !is_skipped(e->d_name) && is_dir(dirfd(stream), e))
                        memcpy(names[count++], e->d_name, strlen(e->d_name) + 1);
        }
        for (enum auto_file f = 0; f < FILE_COUNT; f++)
                if (AUTO_HAS(d, f) && auto_file_tells(f))
                        read_file_of(d, dirfd(stream), f);
        qsort(names, count, sizeof(*names), by_name);
        return count;
}

/* A version that the operator pinned needs no hint. */
static void drop_hints(struct auto_dir *d)
{
        if (getenv("CODEX_ENV_NODE_VERSION"))
                d->node[0] = '\0';
        if (getenv("CODEX_ENV_PYTHON_VERSION"))
                d->python[0] = '\0';
}

static void visit(struct walk *w, int fd, unsigned depth, const struct auto_above *above)
{
        struct auto_dir *d = &w->dir[depth];
        struct auto_above here = { .up = above, .dir = d };
        DIR *stream = fdopendir(fd);
        size_t count, len = w->len;

        if (!stream) {
                close(fd);
                return;
        }
        count = list(d, stream, w->names[depth]);
        if (!depth)
                drop_hints(d);
        here.path_len = len + (len != 0);
        here.languages = auto_choose(w->p, d, w->path, depth, above);
        for (size_t i = 0; i < count && depth < AUTO_DEPTH && w->dirs < DIRS; i++) {
                const char *name = w->names[depth][i];
                struct wr p = wr_of(w->path, sizeof(w->path) - 1);
                int sub;

                p.len = len;
                wr_fmt(&p, "%s%s", len ? "/" : "", name);
                sub = p.full ? -1 : openat(dirfd(stream), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
                                                                O_CLOEXEC);
                if (sub >= 0) {
                        w->len = p.len;
                        wr_cstr(&p);
                        w->dirs++;
                        visit(w, sub, depth + 1, &here);
                }
                w->path[len] = '\0';
                w->len = len;
        }
        closedir(stream);
}

void auto_find(struct auto_plan *p, int fd)
{
        static LARGE_BUFFER struct walk w;

        w.p = p;
        visit(&w, fd, 0, NULL);
        if (w.dirs == DIRS)
                wr_str(&p->notes, "over 20000 directories: the rest is left out\n");
        auto_settle(p);
}
