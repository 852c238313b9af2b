/*
 * init/repo_spec.h - the repository's own .airlock.json, read outside PID 1.
 *
 * The file came from the network, so PID 1 does not parse it: `airlock-spec narrow` does,
 * a child without rights and without network, and hands back flat records that PID 1
 * checks one by one. The child decides nothing: what it hands back can only narrow.
 *
 * The records, each "KEY" NUL "VALUE" NUL, in any order:
 *   runtime.NAME  env.NAME  setup.script  setup.timeout  setup.auto  maintenance  network
 *   deny
 * and, when the file is wrong, one "error" alone.
 */
#ifndef INIT_REPO_SPEC_H
#define INIT_REPO_SPEC_H

#include "init/task.h"

#define REPO_SPEC_RECORDS (SPEC_MAX << 1) /* bytes at most */

/* Applies the JSON in @fd (its whole contents, at most SPEC_MAX) to t->spec. */
enum status repo_spec_apply(struct task *t, int fd);

#endif
