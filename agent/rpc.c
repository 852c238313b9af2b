/* agent/rpc.c - what kind of message, and what is in it. */
#include "agent/rpc.h"

#include "agent/uri.h"

#include <string.h>

static void malformed(struct rpc *r, size_t at, const char *what)
{
        r->kind = RPC_MALFORMED;
        r->at = at;
        r->what = what;
}

static bool id_is_right(const struct value *id)
{
        int64_t n;

        if (id->type == VALUE_STRING)
                return true;
        return value_i64(id, &n) && (n || id->len == 1); /* -0 is no integer to everybody */
}

static bool trace_is_right(const struct value *t)
{
        struct value a, b;

        if (t->type == VALUE_ABSENT || t->type == VALUE_NULL)
                return true;
        a = value_get(t, "traceparent");
        b = value_get(t, "tracestate");
        return t->type == VALUE_OBJECT &&
               (a.type == VALUE_ABSENT || a.type == VALUE_NULL || a.type == VALUE_STRING) &&
               (b.type == VALUE_ABSENT || b.type == VALUE_NULL || b.type == VALUE_STRING);
}

static bool error_is_right(const struct value *error)
{
        struct value code = value_get(error, "code"), message = value_get(error, "message");
        int64_t n;

        return value_i64(&code, &n) && message.type == VALUE_STRING;
}

static void copy_method(struct rpc *r, const struct value *method)
{
        char long_name[1024];
        struct value cut = { .type = VALUE_STRING, .at = method->at, .len = method->len };
        size_t n;

        if (cut.len > sizeof(long_name)) /* not one of ours: only an error quotes it */
                cut = (struct value){ .type = VALUE_STRING, .at = "?", .len = 1 };
        n = value_string(&cut, long_name);
        if (n >= RPC_METHOD_MAX)
                n = RPC_METHOD_MAX - 1;
        memcpy(r->method, long_name, n);
        r->method[n] = '\0';
}

void rpc_parse(struct rpc *r, const char *text, size_t len)
{
        enum { ID, METHOD, RESULT, ERROR, PARAMS, TRACE, KEYS };
        static const char *const keys[KEYS] = { "id", "method", "result", "error", "params",
                                                "trace" };
        struct value v, members[KEYS], id, method;
        struct value_error e;

        *r = (struct rpc){ .kind = RPC_REQUEST };
        if (!value_parse(&v, text, len, &e)) {
                malformed(r, e.at, e.what);
                return;
        }
        value_members(&v, keys, members, KEYS);
        id = members[ID];
        method = members[METHOD];
        r->result = members[RESULT];
        r->error = members[ERROR];
        r->params = members[PARAMS];
        if (v.type != VALUE_OBJECT || !trace_is_right(&members[TRACE]) ||
            (id.type != VALUE_ABSENT && !id_is_right(&id))) {
                malformed(r, 0, "no request, notification, result or error");
                return;
        }
        if (id.type != VALUE_ABSENT) {
                bool quoted = id.type == VALUE_STRING;

                r->id = id.at - quoted;
                r->id_len = id.len + 2 * (size_t)quoted;
        }
        if (method.type == VALUE_STRING) {
                copy_method(r, &method);
                r->kind = r->id ? RPC_REQUEST : RPC_NOTIFICATION;
        } else if (r->id && method.type == VALUE_ABSENT &&
                   (r->result.type != VALUE_ABSENT || error_is_right(&r->error))) {
                r->kind = RPC_RESPONSE;
        } else {
                malformed(r, 0, "no request, notification, result or error");
        }
}

/* --- parameters ----------------------------------------------------------------------- */

struct params params_of(const struct value *v)
{
        struct params p = { .v = v };

        if (v->type != VALUE_OBJECT && v->type != VALUE_ABSENT && v->type != VALUE_NULL)
                params_refuse(&p, "invalid type: %s, expected a map of parameters",
                              value_type_str(v->type));
        return p;
}

void params_refuse(struct params *p, const char *fmt, ...)
{
        struct wr w = wr_of(p->error, sizeof(p->error) - 1);
        va_list ap;

        if (p->bad)
                return;
        p->bad = true;
        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        wr_cstr(&w);
}

static struct value member(struct params *p, const char *key, bool required)
{
        struct value v = value_get(p->v, key);

        if (required && v.type == VALUE_ABSENT)
                params_refuse(p, "missing field `%s`", key);
        return v;
}

static bool none(const struct value *v)
{
        return v->type == VALUE_ABSENT || v->type == VALUE_NULL;
}

static void type_error(struct params *p, const struct value *v, const char *wanted)
{
        params_refuse(p, "invalid type: %s, expected %s", value_type_str(v->type), wanted);
}

static const struct value empty = { .type = VALUE_STRING, .at = "" };

struct value params_string(struct params *p, const char *key)
{
        struct value v = member(p, key, true);

        if (v.type == VALUE_STRING)
                return v;
        type_error(p, &v, "a string");
        return empty;
}

struct value params_optional(struct params *p, const char *key)
{
        struct value v = member(p, key, false);

        if (none(&v) || v.type == VALUE_STRING)
                return v;
        type_error(p, &v, "a string");
        return (struct value){ .type = VALUE_ABSENT };
}

static bool as_bool(struct params *p, const struct value *v, bool otherwise)
{
        if (v->type == VALUE_BOOL)
                return value_true(v);
        type_error(p, v, "a boolean");
        return otherwise;
}

bool params_bool(struct params *p, const char *key)
{
        struct value v = member(p, key, true);

        return as_bool(p, &v, false);
}

bool params_bool_or(struct params *p, const char *key, bool otherwise)
{
        struct value v = member(p, key, false);

        return none(&v) ? otherwise : as_bool(p, &v, otherwise);
}

static uint64_t as_u64(struct params *p, const struct value *v, uint64_t otherwise)
{
        uint64_t n;

        if (v->type == VALUE_NUMBER && value_u64(v, &n))
                return n;
        if (v->type == VALUE_NUMBER)
                params_refuse(p, "invalid number");
        else
                type_error(p, v, "u64");
        return otherwise;
}

uint64_t params_u64(struct params *p, const char *key)
{
        struct value v = member(p, key, true);

        return as_u64(p, &v, 0);
}

uint64_t params_u64_or(struct params *p, const char *key, uint64_t otherwise)
{
        struct value v = member(p, key, false);

        return none(&v) ? otherwise : as_u64(p, &v, otherwise);
}

struct value params_array(struct params *p, const char *key)
{
        struct value v = member(p, key, true);

        if (v.type != VALUE_ARRAY)
                type_error(p, &v, "a sequence");
        return v;
}

struct value params_object(struct params *p, const char *key)
{
        struct value v = member(p, key, true);

        if (v.type != VALUE_OBJECT)
                type_error(p, &v, "a map");
        return v;
}

struct value params_object_or_null(struct params *p, const char *key)
{
        struct value v = member(p, key, false);

        if (!none(&v) && v.type != VALUE_OBJECT)
                type_error(p, &v, "a map");
        return v;
}

void params_uri(struct params *p, const struct value *v, char *path)
{
        static char text[4 * URI_PATH_MAX] LARGE_BUFFER;
        struct wr w = wr_of(text, sizeof(text) - 1);
        enum uri_status s;

        if (v->type != VALUE_STRING) {
                type_error(p, v, "a string");
                return;
        }
        s = v->len > sizeof(text) ? URI_TOO_LONG
                                  : uri_parse(path, text, value_string(v, text));
        if (s == URI_OK)
                return;
        uri_error(&w, s, v->len > sizeof(text) ? "" : path);
        params_refuse(p, "%s", wr_cstr(&w));
}

void params_path(struct params *p, const char *key, char *path)
{
        struct value v = member(p, key, true);

        path[0] = '\0';
        if (!p->bad)
                params_uri(p, &v, path);
}
