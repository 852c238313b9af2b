/* agent/loop_options.h - the command line of `airlock agent`. */
#ifndef AGENT_LOOP_OPTIONS_H
#define AGENT_LOOP_OPTIONS_H

#include "agent/buf.h"
#include "base/base.h"

enum loop_sandbox { LOOP_READ_ONLY, LOOP_WORKSPACE_WRITE, LOOP_FULL_ACCESS };
enum loop_wire { LOOP_WIRE_AUTO, LOOP_WIRE_RESPONSES, LOOP_WIRE_CHAT };
enum loop_color { LOOP_COLOR_AUTO, LOOP_COLOR_ALWAYS, LOOP_COLOR_NEVER };

struct loop_options {
        const char *base_url, *model, *effort;
        enum loop_wire wire;
        const char *key_env;   /* the variable with the key; outside a task */
        const char *ca_bundle; /* a file with more authorities; NULL */
        const char *upstream;  /* http://… the proxy to go through; NULL */
        const char *cd;        /* NULL: where we are */
        const char *schema;    /* file; NULL */
        const char *last_message; /* file; NULL */
        const char *save, *resume; /* files; NULL */
        const char *environments;  /* file, or JSON that begins with {; NULL */
        enum loop_sandbox sandbox;
        enum loop_color color;
        bool json, quiet, no_git_needed, no_assess, images, classic_shell;
        uint32_t context_window, max_requests, timeout_s, retries;
        uint64_t max_tokens;
        struct buf prompt; /* with its NUL */
        bool task;         /* PID 1 started us: exec_fd and channel are there */
        int exec_fd, channel, events_fd;
        int save_fd, resume_fd; /* the same as @save and @resume, opened; -1 */
        const char *commit; /* the start commit, in a task; or NULL */
};

/* 0; or 1: help or version was printed; or -STATUS_USAGE after a line. */
MUST_USE int loop_options(struct loop_options *o, int argc, char **argv);

#endif
