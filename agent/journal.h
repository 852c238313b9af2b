/*
 * agent/journal.h - one record for each command that ended, for the task's journal.
 *
 * Only under `airlock run`: whoever started us gave us a channel (base/msg.h). A record that
 * nobody takes within a second is lost, and that is said once.
 */
#ifndef AGENT_JOURNAL_H
#define AGENT_JOURNAL_H

#include "base/base.h"
#include "base/msg.h"

struct job;

/* 0, or -errno: @fd is no such channel. */
MUST_USE int journal_open(int fd);

/* What @j runs. Nothing without a channel. */
void journal_begin(struct job *j, char *const *argv, const char *cwd);

/* It has ended; once for each. @err: it did not even start. */
void journal_end(struct job *j, int err);

/* The words as a shell would take them back, at most @cap bytes with the NUL. False: cut. Pure. */
bool journal_words(char *out, size_t cap, char *const *argv);

#endif
