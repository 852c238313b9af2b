/*
 * netfilter/journal.h - what the proxy decided: one JSON object a line, in the shape of the
 * task's own journal (init/journal.h), and totals for each host.
 *
 *     {"time":"…","ms":1432,"phase":"work","event":"net","verdict":"deny",
 *      "reason":"not-allowed","door":"connect","name":"evil.org","port":443,…}
 *
 * Lines are collected and written whole, at most 4096 bytes a write: a refusal at the end
 * of its turn of the loop, the rest within JOURNAL_MS. The descriptor is opened with
 * O_APPEND: several processes may write one file. A line that the disk has no room for is
 * lost and counted.
 * Values hold what was asked for: queries, headers and bodies are never written.
 */
#ifndef NETFILTER_JOURNAL_H
#define NETFILTER_JOURNAL_H

#include "base/wr.h"
#include "netfilter/policy.h"
#include "netfilter/sock.h"

#define JOURNAL_MS 20
#define JOURNAL_PHASE 32
#define JOURNAL_HOSTS 256 /* totals; later hosts are counted together */

struct net_event {
        const char *door;             /* "http", "connect", "socks", "direct", "dns", "model" */
        const struct host *host;      /* NULL: not known */
        const struct endpoint *dialled; /* NULL: nobody */
        uint16_t port;                /* 0: none */
        struct http_ask {
                const char *method, *path; /* NULL: none; the path without query */
                size_t method_len, path_len;
        } ask;
        unsigned code;                /* HTTP status of the answer, 0: none */
        uint64_t up, down;            /* bytes */
        uint64_t duration_ms;
        enum policy_reason reason;
        const char *detail;           /* more words on the reason, or NULL */
        int rule;                     /* as in policy_verdict */
        uint32_t pid;                 /* 0: not known */
        const char *command;
};

/*
 * @fd -1: no lines, totals only. @start_ms: CLOCK_MONOTONIC when the task began. @max: bytes
 * of decisions; what comes after is counted as lost, and an event "net_cut" says so.
 */
#define JOURNAL_MAX ((uint64_t)32 * 1024 * 1024) /* of a task's: an agent may ask for ever */
void journal_open(int fd, uint64_t start_ms, uint64_t max);
void journal_phase(const char *phase);
void journal_net(const struct net_event *e, const struct policy *p, uint64_t now_ms);
void journal_flush(void);
/* Writes what is due; the milliseconds until more will be, or @at_most. */
int journal_tick(uint64_t now_ms, int at_most);

/*
 * Writes the totals as events "net_totals", as many lines as they need: for each host what was
 * allowed and refused, how many bytes went, and the first few commands that asked, where a
 * lock knows them.
 */
void journal_totals(uint64_t now_ms);

/* `airlock proxy --learn`: the "network" part of a spec that would allow what was asked. */
void journal_propose(int fd);

#endif
