/*
 * agent/http.h - http/request: an HTTP call made for the client, through the proxy.
 */
#ifndef AGENT_HTTP_H
#define AGENT_HTTP_H

#include "agent/conn.h"

void http_event(struct server *s, struct ev_ref ref, uint32_t events);
/* The connection ends: its requests are dropped. */
void http_abort(const struct conn *c);
void http_timers(struct server *s);
int http_wait_ms(uint64_t now_ms, int at_most);

#endif
