/*
 * init/env.h - an environment under construction: unique names, one text buffer.
 *
 * The struct owns the text; vars is what execve takes.
 */
#ifndef INIT_ENV_H
#define INIT_ENV_H

#include "base/base.h"

#define ENV_VARS 1024
#define ENV_TEXT (256 * 1024) /* bytes */

struct env {
        char *vars[ENV_VARS + 1];
        size_t count;
        char text[ENV_TEXT];
        size_t len;
        bool full; /* a variable did not fit: the environment must not be used */
};

/* The value of @name, or NULL. */
const char *env_get(const struct env *e, const char *name);

/* Sets, or replaces in place. */
void env_set(struct env *e, const char *name, const char *value);
void env_set_n(struct env *e, const char *name, size_t name_len, const char *value,
               size_t value_len);

void env_unset(struct env *e, const char *name);

/*
 * Names that change what airlock, git, bash or the dynamic linker do, rather than what a
 * project's own programs do: a repository's own spec may not set them.
 */
bool env_is_reserved(const char *name);

/* Everything in @vars (NAME=value strings). */
void env_add_all(struct env *e, char *const *vars);

/*
 * NAME=value lines as in $AIRLOCK_ENV: blank lines and # comments are skipped, a
 * leading `export ` is allowed, one pair of quotes around the value is taken off, and
 * nothing is expanded. Returns 0, or the number of the first line that is none.
 */
unsigned env_add_lines(struct env *e, const char *text, size_t len);

#endif
