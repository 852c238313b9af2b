/* agent/dispatch.c - the life cycle of a connection, and the table of methods. */
#include "agent/dispatch.h"

#include "agent/config.h"
#include "agent/discover.h"
#include "agent/helper.h"
#include "agent/inventory.h"
#include "agent/session.h"
#include "base/log.h"
#include "base/utf8.h"

#include <string.h>

enum family {
        FAMILY_INITIALIZE,
        FAMILY_INFO,
        FAMILY_EXEC,
        FAMILY_FILES,
        FAMILY_HTTP,
        FAMILY_DISCOVERY,
        FAMILY_INVENTORY,
        FAMILY_CONFIG,
};

static const char *family_name(enum family f)
{
        switch (f) {
        case FAMILY_INITIALIZE:
                break;
        case FAMILY_INFO:
                return "environment info";
        case FAMILY_EXEC:
                return "exec";
        case FAMILY_FILES:
                return "filesystem";
        case FAMILY_HTTP:
                return "http";
        case FAMILY_DISCOVERY:
        case FAMILY_INVENTORY:
                return "capability discovery";
        case FAMILY_CONFIG:
                return "environment config";
        }
        return "";
}

static const struct {
        char method[28];
        enum family family;
} methods[] = {
        { "initialize", FAMILY_INITIALIZE },
        { "environment/info", FAMILY_INFO },
        { "environment/status", FAMILY_INFO },
        { "process/start", FAMILY_EXEC },
        { "process/read", FAMILY_EXEC },
        { "process/write", FAMILY_EXEC },
        { "process/closeStdin", FAMILY_EXEC },
        { "process/resize", FAMILY_EXEC },
        { "process/signal", FAMILY_EXEC },
        { "process/terminate", FAMILY_EXEC },
        { "fs/readFile", FAMILY_FILES },
        { "fs/writeFile", FAMILY_FILES },
        { "fs/open", FAMILY_FILES },
        { "fs/readBlock", FAMILY_FILES },
        { "fs/writeBlock", FAMILY_FILES },
        { "fs/close", FAMILY_FILES },
        { "fs/createDirectory", FAMILY_FILES },
        { "fs/getMetadata", FAMILY_FILES },
        { "fs/canonicalize", FAMILY_FILES },
        { "fs/readDirectory", FAMILY_FILES },
        { "fs/walk", FAMILY_FILES },
        { "fs/remove", FAMILY_FILES },
        { "fs/copy", FAMILY_FILES },
        { "fs/watchMissing", FAMILY_FILES },
        { "http/request", FAMILY_HTTP },
        { "capabilityRoots/discoverV1", FAMILY_DISCOVERY },
        { "capabilities/discoverV2", FAMILY_INVENTORY },
        { "environmentConfig/read", FAMILY_CONFIG },
};

static void malformed(struct conn *c, const char *text, size_t len, const struct rpc *r)
{
        unsigned line = 1, column = 0;

        /* JSON is UTF-8: what is not ends up here, and need not be looked for before. */
        if (c->text && utf8_prefix(text, len) != len) {
                conn_finish(c, 1007, "text that is not UTF-8");
                return;
        }
        for (size_t i = 0; i < r->at; i++) {
                column++;
                if (text[i] == '\n') {
                        line++;
                        column = 0;
                }
        }
        conn_error(c, "-1", 2, RPC_INVALID, "failed to parse %sJSON-RPC message from %s%s: %s at line %u column %u",
                   c->stdio ? "" : "websocket ", c->stdio ? "exec-server stdio" : "exec-server websocket ",
                   c->peer, r->what, line, column + 1);
}

static void initialize(struct call *call)
{
        struct conn *c = call->conn;
        struct value name = params_string(call->p, "clientName");
        struct value resume = params_optional(call->p, "resumeSessionId");
        char id[1024];
        size_t len = 0;
        struct buf *b;

        (void)name;
        if (call->p->bad) {
                conn_error(c, call->id, call->id_len, RPC_PARAMS, "%s", call->p->error);
                return;
        }
        if (c->session) {
                conn_error(c, call->id, call->id_len, RPC_INVALID,
                           "initialize may only be sent once per connection");
                return;
        }
        if (resume.type == VALUE_STRING) {
                struct session *x;

                len = resume.len < sizeof(id) ? value_string(&resume, id) : 0;
                x = session_find(id, len);
                if (!x) {
                        conn_error(c, call->id, call->id_len, RPC_INVALID,
                                   "unknown session id %.*s", (int)len, id);
                        return;
                }
                if (x->conn) {
                        conn_error(c, call->id, call->id_len, RPC_ATTACHED,
                                   "session %s is already attached to another connection", x->id);
                        return;
                }
                session_resume(x, c);
                c->session = x;
        } else {
                c->session = session_open(c->server, c);
        }
        if (!c->session) {
                conn_error(c, call->id, call->id_len, RPC_INTERNAL, "too many sessions");
                return;
        }
        b = conn_answer(c, call->id, call->id_len);
        buf_fmt(b, "{\"sessionId\":\"%s\",\"environmentInfo\":", c->session->id);
        info_put(c, b);
        buf_str(b, "}");
        conn_answered(c);
}

/* A call that changes much takes its time; and a client's own calls are no reason for many more. */
static bool must_wait(const struct conn *c)
{
        return c->mutations || c->reads >= HELPER_READS_MAX;
}

/* File calls keep their order behind what they wait for. */
static bool hold(struct conn *c, enum family f, const char *text, size_t len)
{
        bool may_be_slow = f == FAMILY_FILES || f == FAMILY_DISCOVERY || f == FAMILY_CONFIG;

        if (!may_be_slow || (!must_wait(c) && !c->held.len))
                return false;
        buf_put(&c->held, &len, sizeof(len));
        buf_put(&c->held, text, len);
        return true;
}

static void request(struct conn *c, struct rpc *r, char *text, size_t len, bool again)
{
        struct params p = params_of(&r->params);
        struct call call = { c, r->id, r->id_len, &p };
        size_t i = 0;

        while (i < COUNT(methods) && strcmp(methods[i].method, r->method) != 0)
                i++;
        if (i == COUNT(methods)) {
                /* Word for word what codex exec-server answers: it is no stub, nor are we. */
                conn_error(c, r->id, r->id_len, RPC_METHOD,
                           "exec-server stub does not implement `%s` yet", r->method);
                return;
        }
        if (!again && hold(c, methods[i].family, text, len))
                return;
        switch (methods[i].family) {
        case FAMILY_INITIALIZE:
                initialize(&call);
                break;
        case FAMILY_INFO:
                info_call(&call, r->method);
                break;
        case FAMILY_EXEC:
                job_call(&call, r->method);
                break;
        case FAMILY_FILES:
                files_call(&call, r->method);
                break;
        case FAMILY_HTTP:
                http_call(&call);
                break;
        case FAMILY_DISCOVERY:
                discover_call(&call);
                break;
        case FAMILY_INVENTORY:
                inventory_call(&call);
                break;
        case FAMILY_CONFIG:
                config_call(&call);
                break;
        }
}

bool call_refused(struct call *call, const char *method)
{
        struct conn *c = call->conn;
        size_t i = 0;

        if (call->p->bad) {
                conn_error(c, call->id, call->id_len, RPC_PARAMS, "%s", call->p->error);
                return true;
        }
        if (c->session && c->initialized)
                return false;
        while (i + 1 < COUNT(methods) && strcmp(methods[i].method, method) != 0)
                i++;
        conn_error(c, call->id, call->id_len, RPC_INVALID,
                   c->session ? "client must send initialized before using %s methods"
                              : "client must call initialize before using %s methods",
                   family_name(methods[i].family));
        return true;
}

void dispatch_message(struct conn *c, char *text, size_t len)
{
        struct rpc r;

        rpc_parse(&r, text, len);
        switch (r.kind) {
        case RPC_MALFORMED:
                malformed(c, text, len, &r);
                break;
        case RPC_REQUEST:
                request(c, &r, text, len, false);
                break;
        case RPC_NOTIFICATION:
                if (strcmp(r.method, "initialized") != 0 || !c->session)
                        conn_finish(c, 1008, "a notification that is not expected");
                else
                        c->initialized = true;
                break;
        case RPC_RESPONSE:
                conn_finish(c, 1008, "an answer to nothing");
                break;
        }
}

void dispatch_held(struct conn *c)
{
        while (c->held.len && !must_wait(c) && !conn_busy(c) && c->state == CONN_OPEN) {
                size_t len;
                char *text;
                struct rpc r;

                memcpy(&len, buf_at(&c->held), sizeof(len));
                text = buf_at(&c->held) + sizeof(len);
                rpc_parse(&r, text, len);
                request(c, &r, text, len, true);
                buf_drop(&c->held, sizeof(len) + len, 0);
        }
}
