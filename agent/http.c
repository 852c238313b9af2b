/* agent/http.c - not yet. */
#include "agent/http.h"

#include "agent/dispatch.h"

void http_event(struct server *s, struct ev_ref ref, uint32_t events)
{
        (void)s;
        (void)ref;
        (void)events;
}

void http_abort(const struct conn *c)
{
        (void)c;
}

void http_timers(struct server *s)
{
        (void)s;
}

int http_wait_ms(uint64_t now_ms, int at_most)
{
        (void)now_ms;
        return at_most;
}

void http_call(struct call *call)
{
        if (!call_refused(call, "http/request"))
                conn_error(call->conn, call->id, call->id_len, RPC_INTERNAL,
                           "http/request failed: not in this build");
}
