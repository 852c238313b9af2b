/*
 * init/run_options.h - the command line of `airlock run`: of airlock-spec, which reads the
 * spec, and then of airlock-box and airlock-run.
 */
#ifndef INIT_RUN_OPTIONS_H
#define INIT_RUN_OPTIONS_H

#include "base/base.h"

struct run_options {
        const char *spec; /* path or "-"; with spec_fd just the name for messages */
        const char *box;  /* root directory, or NULL */
        const char *out;  /* instead of the spec's output.dir, or NULL */
        const char *resume; /* --resume: an earlier turn's results, or NULL; see init/resume.h */
        int spec_fd;      /* --spec-fd, between our programs: the image; -1: none */
        const char *programs; /* --programs, from airlock-box: their descriptors, N,N,… */
        uint64_t inherited_mask; /* --inherited-mask, from airlock: see init/sig.h */
        bool quiet;
};

/* 0, or STATUS_USAGE after one line. Strings point into @argv. */
MUST_USE int run_options_parse(struct run_options *o, int argc, char **argv);

/* A number that one of our own programs wrote. */
uint64_t run_number(const char *s);

/* Makes @path absolute in @buf (PATH_MAX bytes). 0, or STATUS_USAGE after one line. */
MUST_USE int run_path(const char *path, char *buf);

#endif
