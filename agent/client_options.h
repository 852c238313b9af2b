/*
 * agent/client_options.h - the command line of `airlock exec-client`.
 */
#ifndef AGENT_CLIENT_OPTIONS_H
#define AGENT_CLIENT_OPTIONS_H

#include "agent/client.h"

#define CLIENT_TOKEN_MAX 4096
#define CLIENT_ENV_MAX 256

struct client_options {
        struct client_target target;
        const char *via[4];            /* target.argv: sh -c COMMAND */
        char token[CLIENT_TOKEN_MAX];
        const char *url;               /* as it was given; for messages */
        const char *ca_bundle, *upstream; /* for wss://; NULL */
        const char *cwd;               /* NULL: the server's */
        const char *env[CLIENT_ENV_MAX + 2]; /* NULL at its end */
        size_t env_count;
        bool pty, no_stdin, clean_env;
        const char *const *argv;       /* the command */
};

/* 0; 1: help or version was printed; else the exit status' negative, after a line on stderr. */
MUST_USE int client_options(struct client_options *o, int argc, char **argv);

/* client_main.c: all of `airlock exec-client`. Its exit status. */
int client_main(int argc, char **argv);

#endif
