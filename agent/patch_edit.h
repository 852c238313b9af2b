/*
 * agent/patch_edit.h - one file's new contents from its old ones and an update's chunks. Pure.
 */
#ifndef AGENT_PATCH_EDIT_H
#define AGENT_PATCH_EDIT_H

#include "agent/patch_parse.h"

/*
 * Takes the chunks at @r and applies them to @len bytes of @old; @name is the file's in
 * messages. The new contents are added to @out; their last line ends in a newline. False:
 * @why says which lines are not there. *@effort as in patch_seek.
 */
MUST_USE bool patch_edit(struct buf *out, const char *old, size_t len, struct patch_reader *r,
                         struct slice name, size_t *effort, struct buf *why);

#endif
