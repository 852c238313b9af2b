/* init/difference.c - see difference.h. */
#include "init/difference.h"

#include "base/digits.h"
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ARGS_MAX 16
#define VARS_MAX 12
#define ID 72 /* a tree's name, and what git puts behind it */

struct borrower {
        const char *start, *repository;
        bool lfs, whole;
        int last;           /* -1: none */
        int complaint;      /* git's stderr, where its refusal is an answer */
        char dir[PATH_MAX]; /* of the work tree */
};

static const char config[] =
        "[core]\n\trepositoryformatversion = %d\n\tbare = false\n\tfilemode = true\n"
        "\tautocrlf = false\n\thooksPath = /dev/null\n\tfsmonitor = false\n"
        "\tuntrackedCache = false\n\tquotePath = true\n"
        "[diff]\n\tignoreSubmodules = dirty\n\trenameLimit = 20000\n"
        "[advice]\n\taddEmbeddedRepo = false\n"
        "[gc]\n\tauto = 0\n%s%s";

/* Files that LFS brought are compared by their pointers, as they are committed. */
static const char lfs_config[] =
        "[filter \"lfs\"]\n\tclean = git-lfs clean -- %f\n\trequired = true\n";

/* HEAD, config, objects/info/alternates. 0 or -errno. */
static int make(const struct borrower *b)
{
        char text[PATH_MAX + 1024];
        struct wr w = wr_of(text, sizeof(text));
        bool sha256 = strlen(b->start) == 64;
        AUTO_CLOSE int dir = open(b->repository, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (dir < 0 || mkdirat(dir, "objects", 0700) < 0 ||
            mkdirat(dir, "objects/info", 0700) < 0 || mkdirat(dir, "refs", 0700) < 0)
                return -errno;
        wr_fmt(&w, config, sha256 ? 1 : 0,
               sha256 ? "[extensions]\n\tobjectFormat = sha256\n" : "",
               b->lfs ? lfs_config : "");
        r = write_file(dir, "config", text, w.len);
        if (!r)
                r = write_file(dir, "HEAD", "ref: refs/heads/none\n", 21);
        AUTO_CLOSE int info = openat(dir, "objects/info", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (!r && info < 0)
                r = -errno;
        w = wr_of(text, sizeof(text));
        wr_fmt(&w, "%s/.git/objects\n", b->dir);
        return r ? r : write_file(info, "alternates", text, w.len);
}

/* --- git ------------------------------------------------------------------------------- */

static void set(const char **vars, size_t *n, char *text, size_t cap, const char *name,
                const char *value)
{
        struct wr w = wr_of(text, cap - 1);

        wr_fmt(&w, "%s=%s", name, value);
        vars[(*n)++] = wr_cstr(&w);
}

static NORETURN void become_git(const struct borrower *b, const char *index,
                                const char *const *words)
{
        static char text[4][PATH_MAX + 32];
        const char *argv[ARGS_MAX] = { "git" };
        const char *vars[VARS_MAX] = { "LC_ALL=C.UTF-8", "GIT_CONFIG_NOSYSTEM=1",
                                       "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
                                       "GIT_OPTIONAL_LOCKS=0" };
        const char *path = getenv("PATH");
        size_t n = 5;
        char file[PATH_MAX];
        struct wr f = wr_of(file, sizeof(file) - 1);

        for (size_t i = 0; i < ARGS_MAX - 2 && words[i]; i++)
                argv[i + 1] = words[i];
        wr_fmt(&f, "%s/%s", b->repository, index);
        set(vars, &n, text[0], sizeof(text[0]), "HOME", b->repository);
        set(vars, &n, text[1], sizeof(text[1]), "GIT_DIR", b->repository);
        set(vars, &n, text[2], sizeof(text[2]), "GIT_WORK_TREE", b->dir);
        set(vars, &n, text[3], sizeof(text[3]), "GIT_INDEX_FILE", wr_cstr(&f));
        if (path)
                vars[n++] = path - strlen("PATH="); /* the whole variable */
        execvpe("git", (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)vars);
        die_errno(STATUS_NOT_FOUND, errno, "git");
}

/* Runs git on that index. Its exit status; -1: a signal, or it did not start. */
static int git(const struct borrower *b, const char *index, int in, int out,
               const char *const *words)
{
        pid_t pid;
        int status;

        if (in >= 0 && lseek(in, 0, SEEK_SET) < 0)
                return -1;
        pid = fork();
        if (!pid) {
                if ((in >= 0 && dup2(in, STDIN_FILENO) < 0) ||
                    (out >= 0 && dup2(out, STDOUT_FILENO) < 0) ||
                    (b->complaint >= 0 && dup2(b->complaint, STDERR_FILENO) < 0))
                        _exit(DIFFERENCE_FAILED);
                become_git(b, index, words);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
                return -1;
        return WEXITSTATUS(status);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int write_tree(const struct borrower *b, const char *index, char id[static ID])
{
        AUTO_CLOSE int fd = memfd_create("tree", MFD_CLOEXEC);
        ssize_t n;

        if (fd < 0 || git(b, index, -1, fd, WORDS("write-tree")))
                return -1;
        n = pread(fd, id, ID - 1, 0);
        id[n < 0 ? 0 : n] = '\0';
        id[strspn(id, "0123456789abcdef")] = '\0';
        return *id ? 0 : -1;
}

/* --- the earlier turn ----------------------------------------------------------------------- */

/* git's first words about it, as our last line. */
static int say_refusal(struct borrower *b)
{
        static const char none[] = "git apply failed";
        char text[400];
        ssize_t n = pread(b->complaint, text, sizeof(text) - 1, 0);
        const char *line = text;

        text[n < 0 ? 0 : n] = '\0';
        text[strcspn(text, "\n")] = '\0';
        if (!strncmp(line, "error: ", 7))
                line += 7;
        line = *line ? line : none;
        return write_full(STDERR_FILENO, line, strlen(line)) < 0 ? DIFFERENCE_FAILED
                                                                 : DIFFERENCE_NO_APPLY;
}

/* The trees of the start commit, and of what the earlier turn left, by their names. */
static int take_last(struct borrower *b, char start[static ID], char last[static ID])
{
        struct stat st;
        int r = 0;

        if (git(b, "last", -1, -1, WORDS("read-tree", b->start)) ||
            write_tree(b, "last", start) || fstat(b->last, &st) < 0)
                return DIFFERENCE_NO_TREE;
        b->complaint = memfd_create("complaint", MFD_CLOEXEC);
        if (b->complaint < 0)
                return DIFFERENCE_FAILED;
        if (st.st_size) /* git calls an empty patch an error */
                r = git(b, "last", b->last, -1, WORDS("apply", "--cached", "--whitespace=nowarn"));
        if (r)
                r = say_refusal(b);
        close(b->complaint);
        b->complaint = -1;
        return r ? r : write_tree(b, "last", last) ? DIFFERENCE_FAILED : 0;
}

/* --- the work tree -------------------------------------------------------------------------- */

/* Everything in it that .gitignore does not name, into an index. */
static int index_work_tree(struct borrower *b)
{
        int r;

        if (git(b, "index", -1, -1, WORDS("read-tree", b->start)))
                return DIFFERENCE_NO_TREE;
        if (!git(b, "index", -1, -1, WORDS("add", "--all", ".")))
                return 0;
        /* A file that can't be read, or a repository inside without a commit. */
        log_line(LOG_WARN, "some files could not be read: they are left out");
        b->whole = false;
        /* 1: some files failed, as said; more is a git that did not do its work. */
        r = git(b, "index", -1, -1, WORDS("add", "--all", "--ignore-errors", "."));
        return r < 0 || r > 1 ? DIFFERENCE_NO_TREE : 0;
}

static int put_diff(const struct borrower *b, int fd, const char *from, const char *renames)
{
        if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
                return -1;
        return git(b, "index", -1, fd,
                   WORDS("diff", "--cached", "--binary", "--full-index", "--no-ext-diff",
                         "--no-textconv", "--no-color", renames, from));
}

/*
 * Does it apply there? git refuses some of its own rename entries: a symbolic link `b` that
 * became `b/inside`. Tried in an index beside the first one.
 */
static bool applies(struct borrower *b, int fd, const char *from)
{
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0 || !st.st_size)
                return true;
        b->complaint = open("/dev/null", O_WRONLY | O_CLOEXEC); /* handled, not shown */
        r = git(b, "try", -1, -1, WORDS("read-tree", from));
        if (!r)
                r = git(b, "try", fd, -1, WORDS("apply", "--cached", "--check"));
        if (b->complaint >= 0)
                close(b->complaint);
        b->complaint = -1;
        return !r;
}

static int write_diff(struct borrower *b, int fd, const char *from)
{
        int r = put_diff(b, fd, from, "--find-renames");

        if (!r && !applies(b, fd, from))
                r = put_diff(b, fd, from, "--no-renames");
        return r ? DIFFERENCE_FAILED : 0;
}

/* --- the commands -------------------------------------------------------------------------------- */

static int diff(struct borrower *b, int out, int since)
{
        char start[ID], last[ID];
        int r = index_work_tree(b);

        if (!r)
                r = write_diff(b, out, b->start);
        if (!r && since > 0)
                r = take_last(b, start, last);
        if (!r && since > 0)
                r = write_diff(b, since, last);
        return r ? r : b->whole ? DIFFERENCE_DONE : DIFFERENCE_PART;
}

static int check(struct borrower *b, bool work_tree)
{
        char start[ID], last[ID], now[ID];
        int r = take_last(b, start, last);

        if (r || !work_tree)
                return r;
        r = index_work_tree(b);
        if (!r && write_tree(b, "index", now))
                r = DIFFERENCE_NO_TREE;
        if (r)
                return r;
        return !strcmp(now, last) ? DIFFERENCE_DONE
               : !strcmp(now, start) ? DIFFERENCE_START : DIFFERENCE_OTHER;
}

/*
 * By an index that holds just what lies there: so what setup made and the earlier turn had
 * not goes, and what is the same in both is not touched. Ignored files stay.
 */
static int restore(struct borrower *b)
{
        char start[ID], last[ID];
        int r = take_last(b, start, last);

        if (!r)
                r = index_work_tree(b);
        if (!r && git(b, "index", -1, -1, WORDS("read-tree", "--reset", "-u", last)))
                r = DIFFERENCE_FAILED;
        return r;
}

static int take_fd(const char *text)
{
        uint64_t n;

        if (!digits_parse(text, INT32_MAX, &n))
                die(STATUS_USAGE, "no descriptor: %s", text);
        if (n)
                fcntl((int)n, F_SETFD, FD_CLOEXEC);
        return n ? (int)n : -1;
}

int difference_main(int argc, char **argv)
{
        static struct borrower b = { .whole = true, .complaint = -1 };
        int r;

        if (argc < 6)
                die(STATUS_USAGE, "%s: too few words", argv[1]);
        b.start = argv[2];
        b.lfs = *argv[3] == '1';
        b.repository = argv[4];
        b.last = take_fd(argv[5]);
        if (!getcwd(b.dir, sizeof(b.dir)))
                die_errno(STATUS_OUTPUT, errno, "the work tree");
        r = make(&b);
        if (r < 0)
                die_errno(STATUS_OUTPUT, -r, "make a repository for the difference");
        if (!strcmp(argv[1], "diff") && argc == 8)
                return diff(&b, take_fd(argv[6]), take_fd(argv[7]));
        return !strcmp(argv[1], "restore") ? restore(&b) : check(&b, *argv[1] == 'c');
}
