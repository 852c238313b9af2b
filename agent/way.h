/*
 * agent/way.h - the processes beside the loop: started before its seal, gone with it.
 *
 * The exec-server is the loop's hands. It gets a socket pair as stdin and stdout, nothing
 * else of ours, and a Landlock domain of its own: nobody in it can signal or trace who is outside, so
 * no command reaches into the loop.
 *
 * In a task PID 1 gives the loop its channel to airlock-proxy. Elsewhere we start one, which
 * lets requests to the model through, and exec-servers that TLS leads to: nothing else. (exec-client
 * has one for the latter alone.) Its control channel, which could say
 * otherwise, is held by a process that does nothing: it ends when the loop does, and the proxy with it.
 */
#ifndef AGENT_WAY_H
#define AGENT_WAY_H

#include "agent/client.h"
#include "agent/loop_options.h"
#include "agent/model.h"

/* Our end of the pair; -errno. */
MUST_USE int way_exec(const struct loop_options *o);

/*
 * A program that leads to an exec-server: it is started when the first byte for it is in the
 * pair, so the loop may be sealed by then, and ends with the loop: the end of its input and SIGTERM
 * for its group, SIGKILL 2 s later. Our end; -errno.
 */
MUST_USE int way_program(const struct client_target *t);

/* What a proxy of our own lets through. */
struct way {
        const struct model_url *model; /* NULL: none */
        const char *key_env;           /* the variable with the model's key; NULL: none */
        const char *ca_bundle, *upstream; /* as in loop_options; NULL */
        const struct client_target *const *remotes; /* exec-servers that TLS leads to */
        size_t remote_count;
};

/*
 * The channel; -errno. The key's variable is out of the environment then, and its bytes are
 * overwritten.
 */
MUST_USE int way_proxy(const struct way *way);

#endif
