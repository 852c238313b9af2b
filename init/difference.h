/*
 * init/difference.h - airlock-auto diff|try|check|restore: git beside the task, for the difference
 * between commits and the work tree.
 *
 * PID 1 starts it as the agent runs: the same user, the same lock. It makes a repository of its
 * own that borrows the work tree's objects, so that no git of ours reads configuration or runs
 * a hook that the agent could write. What a turn before this one left is a diff that anybody
 * may have written; git refuses paths outside of the work tree and into .git, and whatever it
 * believes, it has no right that the agent has not.
 *
 *   airlock-auto diff    START LFS REPOSITORY LAST OUT SINCE
 *   airlock-auto try     START LFS REPOSITORY LAST
 *   airlock-auto check   START LFS REPOSITORY LAST
 *   airlock-auto restore START LFS REPOSITORY LAST
 *
 * in the work tree. REPOSITORY is an empty directory, START a commit, LFS 0 or 1; the others
 * are descriptors, 0 where there is none: LAST the earlier turn's diff, OUT and SINCE empty
 * files for the difference to START and to what the earlier turn left.
 *
 *   try      does LAST apply to START?
 *   check    and which of the two are the files of the work tree?
 *   restore  makes them what the earlier turn left, whatever setup did to them
 */
#ifndef INIT_DIFFERENCE_H
#define INIT_DIFFERENCE_H

/* Its exit status; its last line says more. */
enum difference {
        DIFFERENCE_DONE = 0,     /* check: the files are as the earlier turn left them */
        DIFFERENCE_PART = 3,     /* some files could not be read, and are left out */
        DIFFERENCE_START = 4,    /* check: they are START's */
        DIFFERENCE_OTHER = 5,    /* check: they are neither */
        DIFFERENCE_NO_APPLY = 6, /* LAST is not a diff that applies to START */
        DIFFERENCE_NO_TREE = 7,  /* the work tree or its objects can't be read */
        DIFFERENCE_FAILED = 8,
};

int difference_main(int argc, char **argv);

#endif
