/*
 * agent/patch.h - apply_patch: files edited by a text that models know how to write.
 *
 *     *** Begin Patch                    a patch holds one or more hunks
 *     *** Add File: new.c                what "+" lines follow is the file
 *     +int x;
 *     *** Delete File: old.c
 *     *** Update File: src/main.c
 *     *** Move to: src/first.c           may be left out
 *     @@ int main(void)                  a line to look for first; "@@" alone: none
 *      {                                 context, "-" what goes, "+" what comes
 *     -        return 1;
 *     +        return 0;
 *     *** End of File                    may be left out: the lines are the file's last
 *     *** End Patch
 *
 * A patch is applied as a whole or not at all: every hunk is worked out in memory first
 * (a later hunk sees what an earlier one did), then the files are written, and if one can't
 * be, those already written are put back.
 *
 * No path leaves the repository: not by "..", not by an absolute name, not by a link, and
 * nothing below a .git is touched. That keeps a model's mistake small; it is no fence. What
 * a command may write is the seal's business, and a command may swap a link meanwhile.
 *
 * Line ends: a file whose every line ends in CR LF keeps doing so.
 *
 * Used by the agent's loop over an exec-server's fs/ calls, and by the program apply_patch.
 * Pure but for the callbacks. Memory grows with the patch and the files that it names, each
 * bounded here; patch_close gives it back.
 */
#ifndef AGENT_PATCH_H
#define AGENT_PATCH_H

#include "agent/buf.h"

#define PATCH_TEXT_MAX (4U << 20) /* bytes of a patch */
#define PATCH_FILE_MAX (8U << 20) /* bytes of a file that is updated, or made */
#define PATCH_FILES_MAX 1024U     /* hunks of a patch */
#define PATCH_PATH_MAX 4096U      /* bytes of a path, its NUL included */

/* Where the patch lands: absolute paths. */
struct patch_place {
        const char *root; /* the repository: nothing outside of it is touched */
        const char *cwd;  /* relative names begin here; at or below root */
};

/*
 * The files. Each returns 0 or -errno (-EIO where nothing better is known); paths are
 * absolute. Only resolve follows links: what it gave has none, and the others follow none
 * (fs/writeFile does when it isn't told).
 */
struct patch_files {
        void *ctx;
        /* The real path of what is there, directory or file; -ENOENT: nothing is. */
        int (*resolve)(void *ctx, const char *path, struct buf *real);
        /* All of a regular file, added to @out. -EFBIG above PATCH_FILE_MAX. */
        int (*read)(void *ctx, const char *path, struct buf *out);
        /*
         * The file becomes @bytes, with its directories if need be; it keeps its mode. A new
         * one gets that of @like, a file that exists, unless that is NULL.
         */
        int (*write)(void *ctx, const char *path, const char *bytes, size_t len,
                     const char *like);
        /* A file; a directory is -EISDIR. */
        int (*remove)(void *ctx, const char *path);
};

enum patch_kind { PATCH_ADD, PATCH_DELETE, PATCH_UPDATE };
const char *patch_kind_str(enum patch_kind k); /* "add" "delete" "update" */

struct patch_change {
        enum patch_kind kind;
        char *path; /* as the patch names it; after a move the new name */
};

struct patch_result {
        bool ok;
        struct buf text; /* for the model: the list of files, or what is wrong */
        struct patch_change *changes; /* filled also when writing failed */
        size_t count;
};

/*
 * Parses and applies. False: r->text says why, and the files are as they were; only when
 * putting back failed as well they are not, and the text names those.
 */
bool patch_apply(struct patch_result *r, const char *text, size_t len,
                 const struct patch_place *place, const struct patch_files *files);
void patch_close(struct patch_result *r);

/* --- a patch inside a shell call ------------------------------------------------------ */

enum patch_seen {
        PATCH_NOT, /* a command like any other */
        PATCH_YES,
        PATCH_BARE, /* a patch without the command: PATCH_BARE_TEXT is the answer */
};
#define PATCH_BARE_TEXT                                                                   \
        "patch detected without explicit call to apply_patch. Rerun as "                  \
        "[\"apply_patch\", \"<patch>\"]"

/* Slices of what was looked at. */
struct patch_call {
        const char *patch;
        size_t len;
        const char *dir; /* of `cd DIR && …`, unquoted; NULL: none */
        size_t dir_len;
};

/*
 * Shell text that does nothing else than apply one patch:
 *     apply_patch <<'X' … X       or       cd DIR && apply_patch <<'X' … X
 * (applypatch too; X plain or in either quotes; DIR one word, or quoted.) The shell would
 * see the same bytes but for what an unquoted X lets it expand; the patch is taken as it
 * stands.
 */
MUST_USE enum patch_seen patch_in_script(struct patch_call *c, const char *script, size_t len);

struct patch_word {
        const char *at;
        size_t len;
};
/* The same of an argv: apply_patch PATCH, or bash|sh|zsh -lc|-c SCRIPT. */
MUST_USE enum patch_seen patch_in_argv(struct patch_call *c, const struct patch_word *argv,
                                       size_t argc);

#endif
