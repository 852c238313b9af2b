/*
 * netfilter/scribe.h - writes into the task's journal what a locked command tells of itself.
 *
 * A process of its own, outside of the lock (apart.h): the command never holds the journal,
 * only a channel on which it sends records (struct msg_command). The scribe makes whole
 * lines of them, so a liar can lie about its own commands and about nothing else. It ends
 * when the last holder of the channel has: then everything that was told is written.
 */
#ifndef NETFILTER_SCRIBE_H
#define NETFILTER_SCRIBE_H

#include "base/base.h"
#include "base/msg.h"
#include "base/wr.h"

#define SCRIBE_BYTES_MAX (16U << 20) /* of the journal; what comes later is counted */

/* One that writes to @journal, whose time began at @start_ms. As apart_start. */
MUST_USE int scribe_start(int journal, uint64_t start_ms);

/* The fields of one record, `,"command":…`. Pure. */
void scribe_put(struct wr *w, const struct msg_command *m);

#endif
