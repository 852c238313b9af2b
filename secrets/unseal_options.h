/*
 * secrets/unseal_options.h - the command line of airlock-unseal.
 *
 * Every string is argv's. Lists are comma-separated names.
 */
#ifndef SECRETS_UNSEAL_OPTIONS_H
#define SECRETS_UNSEAL_OPTIONS_H

#include "secrets/keysource.h"

#define UNSEAL_LIST 64

enum unseal_on_leak {
        ON_LEAK_FAIL,
        ON_LEAK_REMOVE,
        ON_LEAK_WARN,
};

struct unseal_options {
        const char *sealed;      /* a path, or NULL: sealed_fd */
        int sealed_fd;
        bool unlink_sealed;
        bool key_given;
        struct key_source key;
        int key_ms;
        bool leftover_ok;        /* a key that stays readable will do */
        const char *names;       /* all that may come; NULL: any */
        const char *sha256;      /* 64 hex digits, or NULL */
        const char *inject;      /* go to the proxy; NULL: none */
        const char *withhold;    /* of all, those that setup does not get; NULL: none */
        int proxy, env, control, output, journal; /* descriptors; -1: none */
        uint64_t journal_start_ms;
        bool hash;               /* PID 1 wants a keyed hash of the values */
        const char *line_file;
        enum unseal_on_leak on_leak;
        const char *allow[UNSEAL_LIST];
        size_t allow_count;
        unsigned scan_s;         /* the scan's time limit */
        const char *root;        /* where it starts */
        bool visible;            /* tests: no memory that a scanner can't see */
};

/* 0, or STATUS_USAGE after a line. */
MUST_USE int unseal_options_parse(struct unseal_options *o, char **argv);

/* Is @name in the comma-separated @list (NULL: no)? */
bool unseal_lists(const char *list, const char *name, size_t len);

/* The next name of @list: its length, *@name; 0: there is none. @list moves. */
size_t unseal_next(const char **list, const char **name);

#endif
