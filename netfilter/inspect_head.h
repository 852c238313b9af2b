/*
 * netfilter/inspect_head.h - the heads of one inspected exchange: judged and written anew.
 *
 * Part of inspect.c that moves no bytes. Nothing here changes the phase.
 */
#ifndef NETFILTER_INSPECT_HEAD_H
#define NETFILTER_INSPECT_HEAD_H

#include "netfilter/inspect.h"

/*
 * What a request carries out although its method only asks, as a sentence: such a thing
 * needs a rule that lets POST through. NULL: nothing.
 */
const char *inspect_carries(const struct http1 *h);

/* Where a rule lets through some paths only: a header by which some servers take another. */
bool inspect_strays(const struct policy *p, const struct policy_request_verdict *v,
                    const struct http1 *h);

/* A placeholder is anywhere in the head, of whatever secret. */
bool inspect_foreign(const struct inject *i, const struct http1 *h);

/*
 * Judges the request in w->head. POLICY_ALLOWED: its head for the host is in in->up, its
 * body is in->request, and in->mask hides what was injected; *@check_refs as policy_request
 * says. Otherwise the reason, and in->decision.why may say more.
 */
MUST_USE enum policy_reason inspect_request(struct inspect *in, struct inspect_world *w,
                                            bool *check_refs);

/*
 * Takes the response in w->head, whose bytes are @head. POLICY_ALLOWED: its head for the
 * client is in in->down and its body is in->response.
 */
MUST_USE enum policy_reason inspect_response(struct inspect *in, struct inspect_world *w,
                                             char *head);

/*
 * Puts a refusal of @code into in->down, closing or not. The sentence is the policy's, or
 * @why where that says more.
 */
void inspect_put_refusal(struct inspect *in, struct inspect_world *w, unsigned code,
                         enum policy_reason reason, bool close);

#endif
