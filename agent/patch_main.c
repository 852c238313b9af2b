/* agent/patch_main.c - the files of a patch, as they lie on the disk. */
#include "agent/patch_main.h"

#include "agent/patch.h"
#include "agent/repo_root.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STATUS_DONE 0
#define STATUS_NOT_APPLIED 1
#define STATUS_USAGE_ERROR 2

static const char usage[] =
        "Usage: apply_patch 'PATCH'\n"
        "       apply_patch < FILE\n"
        "\n"
        "Edits files by a patch of this form, all of it or nothing:\n"
        "\n"
        "    *** Begin Patch\n"
        "    *** Add File: new.c\n"
        "    +int x;\n"
        "    *** Delete File: old.c\n"
        "    *** Update File: src/main.c\n"
        "    *** Move to: src/first.c\n"
        "    @@ int main(void)\n"
        "     {\n"
        "    -        return 1;\n"
        "    +        return 0;\n"
        "    *** End Patch\n";

/* --- the disk: paths are absolute and have no links, and none is followed ---------------- */

static int enter(int dir, const char *name, bool make)
{
        int made = make && mkdirat(dir, name, 0777) < 0 ? -errno : 0;
        int fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd >= 0)
                return fd;
        return errno == ENOENT && made < 0 ? made : -errno;
}

/*
 * The directory that holds @path, one component after the other so that a link anywhere
 * fails; *@name is the last one. With @make what is missing is made. A descriptor or -errno.
 */
static int open_parent(const char *path, bool make, const char **name)
{
        int dir = enter(AT_FDCWD, "/", false);
        const char *p = path + 1, *slash;

        while (dir >= 0 && (slash = strchr(p, '/'))) {
                char part[NAME_MAX + 1] = "";
                size_t n = (size_t)(slash - p);
                int next = -ENAMETOOLONG;

                if (n < sizeof(part)) {
                        memcpy(part, p, n);
                        next = enter(dir, part, make);
                }
                close(dir);
                dir = next;
                p = slash + 1;
        }
        *name = p;
        return dir;
}

static int resolve(void *ctx, const char *path, struct buf *real)
{
        char text[PATH_MAX];

        (void)ctx;
        if (!realpath(path, text))
                return -errno;
        buf_str(real, text);
        return 0;
}

static int read_all(int fd, struct buf *out)
{
        ssize_t n;

        do {
                n = read(fd, buf_room(out, 65536), 65536);
                if (n > 0)
                        buf_added(out, (size_t)n);
        } while ((n > 0 && out->len <= PATCH_FILE_MAX) || (n < 0 && errno == EINTR));
        return n < 0 ? -errno : n ? -EFBIG : 0;
}

static int read_path(void *ctx, const char *path, struct buf *out)
{
        const char *name;
        struct stat st;
        AUTO_CLOSE int dir = open_parent(path, false, &name);
        AUTO_CLOSE int fd = -1;

        (void)ctx;
        if (dir < 0)
                return dir;
        fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        return S_ISREG(st.st_mode) ? read_all(fd, out) : -EINVAL;
}

static int write_in_place(int dir, const char *name, const char *bytes, size_t len)
{
        AUTO_CLOSE int fd = openat(dir, name,
                                   O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        return fd < 0 ? -errno : write_full(fd, bytes, len);
}

/* Another file of that name, whole, with @mode; 0 is the usual one. */
static int replace(int dir, const char *name, const char *bytes, size_t len, mode_t mode)
{
        char part[64];
        struct wr w = wr_of(part, sizeof(part) - 1);
        int r;

        wr_fmt(&w, ".apply_patch.%d", (int)getpid());
        AUTO_CLOSE int fd = openat(dir, wr_cstr(&w),
                                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0)
                return -errno;
        r = write_full(fd, bytes, len);
        if (!r && ((mode && fchmod(fd, mode & 07777) < 0) || renameat(dir, part, dir, name) < 0))
                r = -errno;
        if (r < 0)
                unlinkat(dir, part, 0);
        return r;
}

static mode_t mode_of(const char *path)
{
        const char *name;
        struct stat st;
        AUTO_CLOSE int dir = path ? open_parent(path, false, &name) : -1;

        return dir >= 0 && !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) ? st.st_mode : 0;
}

static int write_path(void *ctx, const char *path, const char *bytes, size_t len,
                      const char *like)
{
        const char *name;
        struct stat st;
        AUTO_CLOSE int dir = open_parent(path, true, &name);
        int r;

        (void)ctx;
        if (dir < 0)
                return dir;
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? replace(dir, name, bytes, len, mode_of(like)) : -errno;
        if (!S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : S_ISLNK(st.st_mode) ? -ELOOP : -EINVAL;
        if (st.st_nlink > 1 || st.st_uid != geteuid() || st.st_gid != getegid())
                return write_in_place(dir, name, bytes, len);
        r = replace(dir, name, bytes, len, st.st_mode);
        /* A directory that takes no new file may still hold one that can be written. */
        return r == -EACCES || r == -EROFS || r == -EPERM ? write_in_place(dir, name, bytes, len)
                                                          : r;
}

static int remove_path(void *ctx, const char *path)
{
        const char *name;
        AUTO_CLOSE int dir = open_parent(path, false, &name);

        (void)ctx;
        if (dir < 0)
                return dir;
        return unlinkat(dir, name, 0) < 0 ? -errno : 0;
}

/* --- the program --------------------------------------------------------------------------- */

static int say(int fd, const char *text, size_t len, int status)
{
        if (write_full(fd, text, len) < 0)
                return STATUS_NOT_APPLIED;
        return status;
}

static int run(const char *text, size_t len)
{
        static const struct patch_files files = { NULL, resolve, read_path, write_path,
                                                  remove_path };
        static const char here[] = "apply_patch: where are we?\n";
        char cwd[PATH_MAX], root[PATH_MAX] = "";
        struct patch_place place = { root, cwd };
        struct patch_result r;
        size_t n;
        int status;

        if (!getcwd(cwd, sizeof(cwd)) || cwd[0] != '/')
                return say(STDERR_FILENO, here, sizeof(here) - 1, STATUS_NOT_APPLIED);
        n = repo_root_len(cwd);
        memcpy(root, cwd, n ? n : strnlen(cwd, sizeof(cwd) - 1));
        patch_apply(&r, text, len, &place, &files);
        if (!r.ok)
                buf_str(&r.text, "\n");
        status = say(r.ok ? STDOUT_FILENO : STDERR_FILENO, buf_at(&r.text), r.text.len,
                     r.ok ? STATUS_DONE : STATUS_NOT_APPLIED);
        patch_close(&r);
        return status;
}

static int run_stdin(void)
{
        static const char why[] = "apply_patch: standard input can't be read\n";
        struct buf text = { 0 };
        int r = read_all(STDIN_FILENO, &text);
        int status;

        if (r < 0 && r != -EFBIG) /* too much of it is patch_apply's to say */
                status = say(STDERR_FILENO, why, sizeof(why) - 1, STATUS_NOT_APPLIED);
        else
                status = run(text.len ? buf_at(&text) : "", text.len);
        buf_free(&text);
        return status;
}

bool patch_is_name(const char *argv0)
{
        const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
        const char *name = slash ? slash + 1 : argv0;

        return name && (!strcmp(name, "apply_patch") || !strcmp(name, "applypatch"));
}

int patch_main(int argc, char **argv)
{
        if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
                return say(STDOUT_FILENO, usage, sizeof(usage) - 1, STATUS_DONE);
        if (argc > 2 || (argc == 1 && isatty(STDIN_FILENO)))
                return say(STDERR_FILENO, usage, sizeof(usage) - 1, STATUS_USAGE_ERROR);
        return argc == 2 ? run(argv[1], strlen(argv[1])) : run_stdin();
}
