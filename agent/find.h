/*
 * agent/find.h - what both discoveries do: walk a root, read what has a known name below it.
 *
 * A root's files are read under the rules of its sandbox, each of 1 MiB at most, all of them
 * of 16 MiB; what could not be read, and why, is a warning. It runs in a helper.
 */
#ifndef AGENT_FIND_H
#define AGENT_FIND_H

#include "agent/buf.h"
#include "agent/files.h"
#include "agent/value.h"

#define FIND_MAX 20000 /* names that a walk sees */

/* One root, and what was found below it so far. */
struct find {
        struct place root;
        struct buf warnings; /* JSON strings with commas between */
        size_t bytes;        /* of all files that were read */
};

/* A file that was read; NULL text: there is none, or none that may be told. */
struct text {
        char path[URI_PATH_MAX];
        char *text;
        size_t len;
};

/* The URIs of walked files, sorted, as they stand in the walk's text. */
struct found {
        struct value uris[FIND_MAX];
        size_t count;
};

/* @name below @dir. What is not there, or no file, is nothing to talk about. */
void find_text(struct find *f, const char *dir, const char *name, struct text *t);
/* {"path","contents"} or null. */
void find_put(struct buf *out, const struct text *t);

/* The manifest of the plugin whose root is @dir; that of the nearest folder above with one. */
void find_manifest(struct find *f, const char *dir, struct text *t);
void find_manifest_above(struct find *f, const char *dir, struct text *t);

/*
 * The file that a member "./…" of the manifest names, below the root and nowhere else. False:
 * it names none.
 */
bool find_declared(struct find *f, const char *field, const struct value *v,
                   const struct text *manifest, struct text *t);

/*
 * The SKILL.md files and the plugins' manifests below the root, as far as its bounds let
 * see; they point into @text. 0, or an error's number with its text there.
 */
int find_walk(struct find *f, struct buf *text, struct found *skills, struct found *plugins);

/* The folder that the file of this URI lies in, @up above it. False: it can't be opened anyhow. */
bool find_folder(const struct value *uri, unsigned up, char path[URI_PATH_MAX]);

#endif
