/*
 * init/user.h - "NAME", "UID" or "UID:GID" to numbers, by the image's /etc/passwd.
 */
#ifndef INIT_USER_H
#define INIT_USER_H

#include "base/base.h"

#include <sys/types.h>

struct user {
        uid_t uid;
        gid_t gid;
        char home[256]; /* "" when passwd does not know */
};

/* 0; -ENOENT when no such user is known; -EINVAL for text that is neither. */
MUST_USE int user_parse(const char *text, struct user *u);

/* Fills what passwd says of @uid; home stays "" when it says nothing. */
void user_of(uid_t uid, struct user *u);

#endif
