/*
 * init/sig.h - signals as the kernel sees them: one 64-bit mask, signals 1 to 64.
 *
 * musl's sigset functions hide 32 to 34 and its SIGRTMIN is 35, so an init built on
 * them drops glibc's SIGRTMIN (34). Everything here is a raw system call with the
 * kernel's 8-byte mask.
 *
 * The entry point of airlock (sig.c, sig_start) blocks every signal with the first
 * system call of the process: a TERM that arrives before that would be dropped by the
 * kernel, because PID 1 has no default actions (signal(7), pid_namespaces(7)).
 */
#ifndef INIT_SIG_H
#define INIT_SIG_H

#include "base/base.h"

#include <signal.h>
#include <sys/types.h>

#define SIG_MAX 64
#define SIG_ALL (~UINT64_C(0))
#define SIG_BIT(n) (UINT64_C(1) << ((n)-1))

/* The mask we were started with; children get it back. Set before main(). */
extern uint64_t sig_inherited;

/* Makes @mask the process's mask. Cannot fail. */
void sig_mask(uint64_t mask);

/*
 * Waits for a signal of @mask at most @timeout_ms (-1: for ever). Returns its number
 * and fills *@info; 0 when the time is up. EINTR (a stop and continue) is retried.
 */
int sig_wait(uint64_t mask, siginfo_t *info, int timeout_ms);

/* A non-blocking, close-on-exec signalfd(2) for @mask, or -errno. */
MUST_USE int sig_fd(uint64_t mask);

/* "SIGTERM", "SIGRTMIN+3"; the kernel's number in decimal for one without a name. */
const char *sig_name(int n);

/* "TERM", "SIGTERM", "15", "RTMIN+3" -> number; 0 when it names no signal. */
int sig_parse(const char *text);

/*
 * Dispositions as an init needs them: SIGCHLD default (a parent that ignored it would
 * make wait hang for ever), SIGPIPE ignored. sig_child_restore() undoes that in a
 * child before exec: inherited ignores come back exactly, the mask becomes
 * sig_inherited. A child that is stopped or continued sends SIGCHLD only if @stops.
 */
void sig_init(bool stops);
void sig_child_restore(void);

#endif
