/*
 * init/policy_text.h - what the spec says about the network, as the text that airlock-proxy
 * reads. Pure.
 *
 * The text's grammar is netfilter/policy.h's; init includes nothing of netfilter, so a unit
 * test holds the two together. Values are percent-encoded whatever they hold: a spec that
 * the proxy cannot take (a host that is a number, say) is refused there, with a line
 * number, and not here.
 *
 *   provision   the checkout: the repository's host, and what setup may reach; with setup off,
 *               the repository's host and those of the rules
 *   setup       network.setup; limited lets the repository's host through too
 *   agent       network.agent, and nothing more
 *   model       of the built-in loop alone: the model's rule, and nothing more
 *   push        of the git that pushes the result: its rules, and nothing more
 *   forge       of airlock-push, which opens the pull request: the same
 *
 * `methods` binds the agent, and setup if that is limited; the repository can then be
 * fetched, but not pushed to. Deny, rules and the upstream proxy are the same for all.
 */
#ifndef INIT_POLICY_TEXT_H
#define INIT_POLICY_TEXT_H

#include "base/wr.h"
#include "init/spec.h"

enum policy_text_for {
        POLICY_TEXT_PROVISION,
        POLICY_TEXT_SETUP,
        POLICY_TEXT_AGENT,
        POLICY_TEXT_MODEL, /* from here on: for clients that have a channel of their own */
        POLICY_TEXT_PUSH,
        POLICY_TEXT_FORGE,
};

/* Writes the whole text; w->full: it did not fit. */
void policy_text_put(struct wr *w, const struct spec *spec, enum policy_text_for phase);

/*
 * The host and port of a repository's URL as git reads it: http, https, ssh, git or
 * user@host:path. False: it is none of these, or a file. The host points into @url.
 */
bool policy_text_repo(const char *url, const char **host, size_t *host_len, unsigned *port);

#endif
