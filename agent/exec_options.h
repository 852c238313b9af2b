/*
 * agent/exec_options.h - the command line of `airlock exec-server`.
 */
#ifndef AGENT_EXEC_OPTIONS_H
#define AGENT_EXEC_OPTIONS_H

#include "agent/upgrade.h"
#include "base/base.h"

#define KEEP_S 80      /* as codex exec-server does */
#define KEEP_MAX 86400
#define SECRET_MAX 4096 /* bytes of a token's or secret's file */

enum listen_kind { LISTEN_TCP, LISTEN_UNIX, LISTEN_STDIO };

struct exec_options {
        enum listen_kind kind;
        char host[64]; /* a literal address, without brackets */
        bool ip6;
        uint16_t port;
        const char *path; /* of a unix socket */
        struct auth_rule auth;
        char secret[SECRET_MAX];
        const char *key_path; /* the file that it, or the token, came from; NULL: none */
        bool exit_on_stdin_close;
        bool insecure;
        unsigned idle_s; /* end so long after the last client; 0: never */
        unsigned keep_s; /* how long a lost client may come back, and a process be read */
        int journal;     /* -1: none */
        int porch;       /* where clients come from instead of a socket of ours; -1: none */
};

/* 0; 1: help or version was printed; else the exit status' negative, after a line on stderr. */
MUST_USE int exec_options(struct exec_options *o, int argc, char **argv);

#endif
