/*
 * netfilter/probe_tries.h - the table of ways out, and of what must work.
 */
#ifndef NETFILTER_PROBE_TRIES_H
#define NETFILTER_PROBE_TRIES_H

#include "base/base.h"
#include "base/wr.h"

#define PROBE_PIDS_MAX 32

struct probe {
        bool off;         /* there is no network: nobody answers DNS */
        bool quiet;       /* leaks only, on stderr */
        int pids[PROBE_PIDS_MAX]; /* whom to attack, besides PID 1 and our parent */
        unsigned pid_count;

        bool no_inet; /* the lock is closed: it takes INET sockets as a whole */
        bool alone; /* no device but a loopback is up: what connects, connects inside */
        unsigned leaks;
};

struct probe_try {
        char name[24];
        /* true: as it must be. @detail gets a few words in any case. */
        bool (*run)(const struct probe *p, int argument, struct wr *detail);
        int argument;
};

extern const struct probe_try probe_tries[];
extern const size_t probe_try_count;

/* Fills in what the tries need to know of where they are. */
void probe_look_around(struct probe *p);

/* --- shared by the two files that hold the tries ------------------------------------ */

/* "errno's words", as a detail. */
void probe_say_errno(struct wr *detail, int err);

/* The processes outside, probe_process.c: tracing, reading, borrowing, joining, signalling. */
bool probe_trace(const struct probe *p, int argument, struct wr *detail);
bool probe_read_memory(const struct probe *p, int argument, struct wr *detail);
bool probe_borrow(const struct probe *p, int argument, struct wr *detail);
bool probe_open_memory(const struct probe *p, int argument, struct wr *detail);
bool probe_join(const struct probe *p, int argument, struct wr *detail);
bool probe_signal(const struct probe *p, int argument, struct wr *detail);
bool probe_namespace(const struct probe *p, int flags, struct wr *detail);
bool probe_inherited(const struct probe *p, int argument, struct wr *detail);
bool probe_type_ahead(const struct probe *p, int argument, struct wr *detail);
bool probe_ring(const struct probe *p, int argument, struct wr *detail);

#endif
