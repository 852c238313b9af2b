/*
 * base/msg.h - every message between airlock's processes, on one page.
 *
 * Messages have one size and travel over SOCK_SEQPACKET pairs made before fork. At most
 * one descriptor goes with one; the receiver owns it. A channel says at its birth which
 * types it takes; anything else, or another size, ends its sender.
 *
 *   who            to             takes
 *   PID 1          airlock-proxy  POLICY CHANNEL LISTENER           each answered by DONE
 *   airlock-lock   airlock-proxy  LISTENER                          answered by DONE
 *   airlock-lock   airlock-notify LISTENER (the seccomp one)        not answered
 *   airlock-unseal airlock-proxy  SECRETS                           answered by DONE
 *   airlock-cache  airlock-proxy  PLACEHOLDERS                      answered by DONE
 *   airlock-unseal PID 1          OPENED, ENDED                     answered by RUN or SCAN
 *   PID 1          airlock-unseal LEND, RUN, SCAN                   RUN is answered by ENDED
 *   airlock-notify airlock-proxy  CONNECT                           answered by DONE
 *                                 LISTENER (LISTEN_DNS_PAIR)        not answered
 *   airlock-exec   airlock-lock   struct msg_command (its scribe)   not answered
 *   airlock-lock   airlock-exec   VISITOR (from its porch)           not answered
 *   airlock-agent  airlock-proxy  CLIENT                            not answered
 *
 * `airlock proxy` and `airlock sandbox` take PID 1's part where there is no task.
 */
#ifndef BASE_MSG_H
#define BASE_MSG_H

#include "base/base.h"

enum msg_type {
        /*
         * A policy (the text of netfilter/policy.h) in the sealed memfd that comes with it:
         * from now on it decides, every connection is reset and every name forgotten.
         * text: the name of the phase, for the journal. An empty policy allows nothing.
         * kind POLICY_MODEL: it decides for CLIENTs alone, and nothing is reset or forgotten.
         */
        MSG_POLICY = 1,
        /*
         * A new end. kind 0: the proxy takes LISTENER and CONNECT on it, and nothing else;
         * CHANNEL_SECRETS: nothing but SECRETS and PLACEHOLDERS. CHANNEL_MODEL: nothing
         * but CLIENT.
         */
        MSG_CHANNEL,
        /*
         * A memfd or pipe of `NAME=VALUE` NUL `NAME=VALUE` NUL …: what inject rules use. When
         * DONE comes, a memfd holds `NAME=PLACEHOLDER` NUL … and NULs instead: what the
         * agent's environment may hold.
         */
        MSG_SECRETS,
        /* A socket that the proxy takes connections or queries from; kind: enum listener. */
        MSG_LISTENER,
        /*
         * The connection that will come from the loopback port @from_port was meant for
         * @to. pid and text (the command line): who asked, for the journal; 0 and "" where
         * nobody knows.
         */
        MSG_CONNECT,
        /* The answer: error is 0 or a positive errno. */
        MSG_DONE,
        /*
         * The setup session has ended, and all that it printed is written. error: its status
         * as wait(2) has it; text: the script's line that failed, masked, or "".
         */
        MSG_ENDED,
        /*
         * Every process of setup is dead: look for leaks, and exit. Where no session ran:
         * exit. The exit status is 0, UNSEAL_FOUND, or as base/log.h has it.
         */
        MSG_SCAN,
        /*
         * The secrets are open, and what rules inject is the proxy's. text: a keyed hash of
         * the values that a session would see, in hex, where --hash asked for it.
         */
        MSG_OPENED,
        /*
         * A descriptor that the session has open under the number @kind, LEND_FIRST or higher;
         * LEND_PROGRAM: the program that it is, in place of a search for its first word.
         */
        MSG_LEND,
        /*
         * Start the session that the memfd describes: its working directory, its words, an
         * empty string, its environment; each with a NUL. kind 1: another may follow it.
         */
        MSG_RUN,
        /* A visitor of the server under a lock: the unix socket that speaks for it. text: its address. */
        MSG_VISITOR,
        /*
         * One end of a stream socket pair: a client of the agent loop's, who speaks HTTP to
         * the proxy and is judged by POLICY_MODEL. What comes after CONNECT is plain HTTP/1.1:
         * the proxy itself speaks TLS to the host.
         */
        MSG_CLIENT,
        /*
         * A memfd of `NAME=PLACEHOLDER` NUL …: what stands in the files of a cached state in
         * the place of the secrets of these names, which are known by now. It counts as
         * this task's own does.
         */
        MSG_PLACEHOLDERS,
};

#define POLICY_MODEL 1

#define LEND_PROGRAM 0
#define LEND_FIRST 64
#define LEND_COUNT 8
#define UNSEAL_FOUND 1 /* values were found, and what on_leak and allow_leak say was done */

#define CHANNEL_SECRETS 1
#define CHANNEL_MODEL 2

enum listener {
        LISTEN_PROXY,       /* HTTP and SOCKS5, TCP or unix; the first byte tells */
        LISTEN_REDIRECTED,  /* TCP: where to is SO_ORIGINAL_DST */
        LISTEN_LOCAL,       /* TCP: every address is local, where to is getsockname(2) */
        LISTEN_NOTIFIED,    /* TCP on loopback: a CONNECT message told where to */
        LISTEN_DNS_UDP,     /* UDP with IP_PKTINFO and IPV6_RECVPKTINFO set */
        LISTEN_DNS_TCP,
        LISTEN_DNS_PAIR,    /* SOCK_SEQPACKET: a query in, an answer out */
        LISTEN_COUNT,
};

struct msg_address {
        uint16_t family;  /* AF_INET or AF_INET6; 0: none */
        uint16_t port;    /* host order */
        uint8_t bytes[16]; /* network order; 4 of them for AF_INET */
};

struct msg {
        uint32_t type; /* enum msg_type */
        uint32_t kind; /* enum listener */
        int32_t error;
        uint32_t pid;
        struct msg_address to;
        uint16_t from_port; /* host order */
        uint16_t unused[3];
        char text[200]; /* NUL-terminated */
};

/*
 * The one message of another size, on a channel of its own: a command that has ended, for the
 * journal. Whoever runs commands under a lock finds that channel at JOURNAL_FD.
 */
#define JOURNAL_FD 100

/* And where a server under a lock finds the channel that its clients come by. */
#define PORCH_FD 101

enum command_flag {
        COMMAND_CUT = 1,       /* the command line is longer than this */
        COMMAND_TTY = 2,
        COMMAND_SANDBOXED = 4, /* it had limits of its own, and they held */
        COMMAND_ENDED = 8,     /* killed: at a client's wish, or with its session */
        COMMAND_FAILED = 16,   /* it did not start: exit is the errno */
};

struct msg_command {
        uint64_t took_ms, bytes; /* of output */
        int32_t exit;            /* as a shell has it */
        uint32_t flags;
        char command[1024]; /* words, quoted where they need it; NUL-padded */
        char cwd[256];
};

/* Sends @m, with @fd unless that is -1. 0 or -errno; @fd stays the caller's. */
MUST_USE int msg_send(int channel, const struct msg *m, int fd);

/*
 * Receives one message; *@fd is the descriptor that came with it (close-on-exec) or -1.
 * 0; -EPIPE at the end of the channel; -EPROTO for another size, a second descriptor, a
 * text without its NUL; -errno. On failure no descriptor is left open.
 */
MUST_USE int msg_receive(int channel, struct msg *m, int *fd);

/* Sends @m and waits at most @ms for its DONE. 0, -ETIMEDOUT, -EPROTO, -errno, or -its error. */
MUST_USE int msg_ask(int channel, const struct msg *m, int fd, int ms);


/*
 * A client of airlock-proxy's, by CHANNEL_MODEL: our end of a stream pair whose other end the proxy has
 * now, non-blocking and close-on-exec. -errno.
 */
MUST_USE int msg_client(int channel);

#endif
