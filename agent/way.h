/*
 * agent/way.h - the processes beside the loop: started before its seal, gone with it.
 *
 * The exec-server is the loop's hands. It gets a socket pair as stdin and stdout, nothing
 * else of ours, and a Landlock domain of its own: nobody in it can signal or trace who is outside, so
 * no command reaches into the loop.
 *
 * In a task PID 1 gives the loop its channel to airlock-proxy. Elsewhere we start one, which
 * lets requests to the model through and nothing else. Its control channel, which could say
 * otherwise, is held by a process that does nothing: it ends when the loop does, and the proxy with it.
 */
#ifndef AGENT_WAY_H
#define AGENT_WAY_H

#include "agent/loop_options.h"
#include "agent/model.h"

/* Our end of the pair; -errno. */
MUST_USE int way_exec(const struct loop_options *o);

/*
 * The channel; -errno. The key's variable is out of the environment then, and its bytes are
 * overwritten.
 */
MUST_USE int way_proxy(const struct loop_options *o, const struct model_url *u);

#endif
