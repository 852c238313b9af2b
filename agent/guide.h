/*
 * agent/guide.h - AGENTS.md: the repository's words to the agent, as they were committed.
 * Pure but for the callbacks.
 *
 * From the repository's root down to the directory of the work each directory may hold one:
 * AGENTS.override.md, else AGENTS.md. Deeper ones come later and win. GUIDE_MAX bytes in all:
 * the file that crosses it is cut, those after it are left out.
 *
 * They are read from the tree of the start commit, never from the work tree: setup runs the
 * code of dependencies, and one of them may write an AGENTS.md of its own. That is why the
 * objects are checked as well: whoever could write the work tree could also write .git, or
 * the git that reads it. The commit's id was taken before setup ran, each object's id is
 * the hash of its bytes, and a tree names the ids of what it holds: so one trusted id makes
 * everything below it trusted, whoever brings the bytes.
 *
 * What differs in the work tree is reported, so that it can be told and not obeyed.
 */
#ifndef AGENT_GUIDE_H
#define AGENT_GUIDE_H

#include "agent/buf.h"

#define GUIDE_MAX 32768U        /* bytes of all files together */
#define GUIDE_OBJECT_MAX (8U << 20) /* of one commit, tree or file */
#define GUIDE_DEPTH 64U         /* directories from the root down */
#define GUIDE_LINKS 8U          /* links in a row */
#define GUIDE_NOTES 128U

struct guide_source {
        void *ctx;
        /*
         * The bytes of an object, as `git cat-file KIND ID` gives them; @kind is "commit",
         * "tree" or "blob". 0 or -errno. What it brings is checked.
         */
        int (*object)(void *ctx, const char *kind, const char *id, struct buf *out);
        /*
         * A file of the work tree as it is now, links followed; @path is relative to the
         * root. -ENOENT: there is none. NULL: nobody looks.
         */
        int (*file)(void *ctx, const char *path, struct buf *out);
};

enum guide_change {
        GUIDE_CREATED, /* the commit has none there */
        GUIDE_CHANGED,
        GUIDE_REMOVED,
};
const char *guide_change_str(enum guide_change c);

struct guide_note {
        enum guide_change change;
        char *path; /* relative to the root */
};

struct guide_file {
        char *path;
        size_t bytes; /* taken of it */
        bool cut;
};

struct guide {
        struct buf text; /* the files, UTF-8, joined; empty: there are none */
        struct guide_file files[GUIDE_DEPTH];
        size_t file_count;
        struct guide_note notes[GUIDE_NOTES]; /* what the work tree has otherwise */
        size_t note_count;
};

/*
 * @commit: the id, 40 or 64 hex digits. @dir: the directory of the work, relative to the
 * root, "" for the root itself. False: @why names the object that is missing, is not what
 * its id says, or makes no sense; then @g is empty.
 */
MUST_USE bool guide_read(struct guide *g, const char *commit, const char *dir,
                         const struct guide_source *source, struct buf *why);
void guide_close(struct guide *g);

/*
 * The text of the user message that tells the model: @dir as it is called there. The notes
 * are in it: a file that setup wrote is named, and that it does not count. Nothing is
 * added when there is neither a file nor a note.
 */
void guide_put(struct buf *out, const struct guide *g, const char *dir);

#endif
