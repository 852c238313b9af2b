/*
 * init/checkout.h - the image's own git, called so that a hostile repository runs nothing.
 *
 * No hooks, no fsmonitor, no ext:: transport, no LFS filter unless asked for, no prompt.
 * Configuration reaches git's own children too, because it comes from a file of ours
 * (GIT_CONFIG_GLOBAL) that includes the user's.
 */
#ifndef INIT_CHECKOUT_H
#define INIT_CHECKOUT_H

#include "init/task.h"

/* Clones spec.repo.url at ref into t->dir, with submodules and LFS files if asked. */
enum status checkout_clone(struct task *t);

/*
 * The same where t->dir is the work tree of a task before this one, kept in an image: what is not
 * tracked stays as setup left it, HEAD is detached.
 */
enum status checkout_again(struct task *t);

/* Fills t->start with HEAD's commit; leaves it empty when t->dir is no repository. */
enum status checkout_start(struct task *t);

/* Narrows the spec by the commit's own .airlock.json, if it has one. */
enum status checkout_repo_spec(struct task *t);

/*
 * A follow-up: do the last turn's changes apply to the start commit? Are they in the work tree
 * already, where that was not cloned now (t->stands)?
 */
enum status checkout_recognise(struct task *t);

/* Puts them into the work tree, unless they are; whatever setup made of it. */
enum status checkout_restore(struct task *t);

/*
 * Takes the difference between the start commit and the work tree into OUT/changes.diff, and
 * that to the last turn's into OUT/since-last.diff. All three run as init/difference.h says.
 */
enum status checkout_diff(struct task *t);

/*
 * What checkout_diff took, as a commit: pushed, and asked for as a pull request, by
 * airlock-push. OUT/branch.bundle holds it whatever comes of that.
 */
enum status checkout_push(struct task *t);

#endif
