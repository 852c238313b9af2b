/*
 * init/auto.h - automatic setup: which package managers a repository's files ask for.
 *
 * airlock-auto reads the files' names, and of a few of them what they say, and writes what
 * to do as a bash script, which the setup session sources before the operator's own script:
 *
 *   airlock-auto plan JOURNAL-FD START-MS   PID 1's child in PROVISION, in the work tree, with
 *                                           no right and no network: the script to stdout
 *                                           (nothing when nothing was found), a line for each
 *                                           decision to stderr, an event for each step
 *   airlock-auto report JOURNAL-FD START-MS after the session: reads on stdin what the script
 *                                           noted, "STEP MS STATUS" a line, and writes an event
 *                                           for each. Numbers alone: the session can write
 *                                           anything there, and nothing else comes through
 *   airlock-auto show DIR                   for `airlock check`: what `plan` finds in DIR, and why
 *
 * The files are hostile. They choose among the commands of auto_choose.c, and no byte of
 * theirs reaches a command; a directory's name reaches the script quoted. Links are not
 * followed, and no file is read beyond AUTO_READ bytes.
 *
 * The walk goes AUTO_DEPTH levels deep, and not into what package managers fill, hidden
 * directories, or those with samples (tests, fixtures, examples, …: auto_find.c has the list).
 * For each of the languages a directory gets one step at most, and only
 *   - if no directory above has one for that language, and it is at most two levels deep, or
 *   - if it has a lock file of its own and no workspace above names it as a member.
 *
 * auto_files.c, auto_choose.c and auto_script.c are pure, and fuzzed.
 */
#ifndef INIT_AUTO_H
#define INIT_AUTO_H

#include "base/wr.h"

#define AUTO_STEPS 48
#define AUTO_DEPTH 4
#define AUTO_PATH 1024
#define AUTO_READ (256 << 10)

/* The files that tell something. */
enum auto_file {
        FILE_PACKAGE_JSON,
        FILE_PNPM_WORKSPACE,
        FILE_YARNRC_YML,
        FILE_PNPM_LOCK,
        FILE_YARN_LOCK,
        FILE_SHRINKWRAP,
        FILE_NPM_LOCK,
        FILE_BUN_LOCK,
        FILE_BUN_LOCKB,
        FILE_POETRY_LOCK,
        FILE_UV_LOCK,
        FILE_PIPFILE_LOCK,
        FILE_PIPFILE,
        FILE_PYPROJECT,
        FILE_SETUP_PY,
        FILE_REQUIREMENTS, /* the first of AUTO_REQUIREMENTS names, in the order they are taken */
        FILE_CARGO_TOML = FILE_REQUIREMENTS + 7,
        FILE_CARGO_LOCK,
        FILE_GO_WORK,
        FILE_GO_MOD,
        FILE_GEMFILE,
        FILE_GEMFILE_LOCK,
        FILE_COMPOSER_JSON,
        FILE_COMPOSER_LOCK,
        FILE_POM,
        FILE_MVNW,
        FILE_SETTINGS_GRADLE,
        FILE_SETTINGS_GRADLE_KTS,
        FILE_BUILD_GRADLE,
        FILE_BUILD_GRADLE_KTS,
        FILE_GRADLEW,
        FILE_NVMRC,
        FILE_NODE_VERSION,
        FILE_PYTHON_VERSION,
        FILE_COUNT,
};
#define AUTO_REQUIREMENTS 7
#define AUTO_HAS(dir, file) (((dir)->files >> (file)) & 1)

const char *auto_file_name(enum auto_file f);

/* The file of that name; FILE_COUNT for any other. */
enum auto_file auto_file_of(const char *name);

/* Is it worth reading? Then auto_dir_read() wants its bytes. */
bool auto_file_tells(enum auto_file f);

enum auto_manager { MANAGER_NONE, MANAGER_NPM, MANAGER_YARN, MANAGER_PNPM, MANAGER_OTHER };

/* What one directory has. Zero it; the strings hold letters, digits and `._-` alone. */
struct auto_dir {
        uint64_t files;            /* by enum auto_file */
        enum auto_manager manager; /* package.json's packageManager */
        bool manager_modern;       /* its major version is above 1 */
        bool berry;                /* yarn.lock is of yarn 2 or later */
        bool poetry, uv, build;    /* pyproject.toml has [tool.poetry], [tool.uv…], [build-system] */
        char node[24], python[24]; /* the version that a file asks for */
        char members[4096];        /* the workspace's patterns, each with its NUL; "" ends them */
        size_t members_len;
};

/* Takes from the file's first @len bytes what it says. */
void auto_dir_read(struct auto_dir *d, enum auto_file f, const char *text, size_t len);

/* Does the workspace in @d name the directory @path, relative to it? */
bool auto_dir_has_member(const struct auto_dir *d, const char *path);

/* --- the plan --------------------------------------------------------------------------- */

/* The languages: one step in a directory for each. */
enum auto_language { JAVASCRIPT, PYTHON, RUST, GO, RUBY, PHP, MAVEN, GRADLE, AUTO_LANGUAGES };

enum auto_kind {
        AUTO_INSTALL, /* its failure is setup's */
        AUTO_PINNED,  /* the same, with corepack's help if there is one */
        AUTO_FETCH,   /* fills a cache for the agent; its failure costs nothing */
};

struct auto_step {
        enum auto_kind kind;
        char dir[AUTO_PATH];   /* below the work tree; "" is itself */
        char command[320];     /* words, none of them from the repository */
        char why[160];         /* file names that we know, and words */
        const char *keep;      /* files beside it that the command must not change */
        bool pip;              /* installs into an interpreter that others may share */
};

struct auto_plan {
        struct auto_step steps[AUTO_STEPS];
        size_t count;
        bool full;       /* there would have been more */
        struct wr notes; /* into the caller's buffer: a decision a line, printable */
};

/* A directory with a step, or a workspace, above the one in question. */
struct auto_above {
        const struct auto_above *up;
        const struct auto_dir *dir;
        size_t path_len;    /* of its path, with the slash behind it */
        unsigned languages; /* BIT(enum auto_language): has a step for it */
};

/*
 * Adds the steps of @d, which is @depth levels below the work tree at @path, to @p.
 * Returns the languages they are for.
 */
unsigned auto_choose(struct auto_plan *p, const struct auto_dir *d, const char *path,
                     unsigned depth, const struct auto_above *above);

/* After the last directory: what only the whole of it can tell. */
void auto_settle(struct auto_plan *p);

/* The script for @p; @w is full when it did not fit. */
void auto_script(struct wr *w, const struct auto_plan *p);

/* auto_find.c: walks the tree below @fd, which it takes, and fills @p. */
void auto_find(struct auto_plan *p, int fd);

#endif
