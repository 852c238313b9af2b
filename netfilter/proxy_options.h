/*
 * netfilter/proxy_options.h - airlock-proxy's command line.
 *
 * With --control it is a child of PID 1, which sends policy and listeners. By itself
 * (`airlock proxy`) the options are the policy: they become the text that PID 1 would send.
 */
#ifndef NETFILTER_PROXY_OPTIONS_H
#define NETFILTER_PROXY_OPTIONS_H

#include "base/wr.h"

#include <sys/types.h>

#define OPTIONS_LISTENERS 16
#define OPTIONS_BUNDLES 8

struct proxy_options {
        int control;         /* -1: by itself */
        const char *journal; /* a path, or with --control a descriptor's number */
        const char *resolv, *hosts;
        const char *bundles[OPTIONS_BUNDLES]; /* --ca-bundle */
        size_t bundle_count;
        const char *secrets, *placeholders; /* files, by itself only */
        const char *ca_out;  /* a path; --ca-out-fd is a number */
        int ca_out_fd;
        bool set_ids;
        uid_t uid;
        gid_t gid;
        uint32_t mark;
        uint64_t start_ms;   /* of the task, CLOCK_MONOTONIC; 0: now */
        bool learn;
        const char *listen[OPTIONS_LISTENERS], *dns[OPTIONS_LISTENERS];
        size_t listen_count, dns_count;
        struct wr policy; /* the text; the caller gives the buffer */
};

/*
 * 0; 1: --help or --version was asked for and is written; -EINVAL: said on stderr what is
 * wrong. --rules FILE is read here.
 */
MUST_USE int proxy_options(struct proxy_options *o, int argc, char **argv);

#endif
