/*
 * agent/rpc.h - the envelope: JSON-RPC without its version member. Pure.
 */
#ifndef AGENT_RPC_H
#define AGENT_RPC_H

#include "agent/value.h"
#include "base/base.h"
#include "base/wr.h"

enum rpc_code {
        RPC_INVALID = -32600,    /* malformed, wrong state, bad arguments, not permitted */
        RPC_METHOD = -32601,     /* no such method */
        RPC_PARAMS = -32602,     /* the parameters did not decode */
        RPC_INTERNAL = -32603,   /* the system said no */
        RPC_NOT_FOUND = -32004,  /* no such file */
        RPC_ATTACHED = -32010,   /* the session has a connection */
};

enum rpc_kind {
        RPC_REQUEST,
        RPC_NOTIFICATION,
        RPC_RESPONSE, /* a result or an error */
        RPC_MALFORMED,
};

#define RPC_METHOD_MAX 64

struct rpc {
        enum rpc_kind kind;
        const char *id; /* as it stands in the message, quotes and all: for the answer */
        size_t id_len;
        char method[RPC_METHOD_MAX]; /* cut off when longer */
        struct value params;
        struct value result, error; /* RPC_RESPONSE: one of them is there */
        size_t at;        /* RPC_MALFORMED: the offset */
        const char *what; /* and what was wrong */
};

void rpc_parse(struct rpc *r, const char *text, size_t len);

/*
 * Reads members of the parameters; the first that is wrong is kept in @error and the rest
 * answer with their defaults. Strings come as values: the caller unescapes them.
 */
struct params {
        const struct value *v;
        bool bad;
        char error[320];
};

struct params params_of(const struct value *v);
void params_refuse(struct params *p, const char *fmt, ...) PRINTF_LIKE(2, 3);

struct value params_string(struct params *p, const char *key);   /* required */
struct value params_optional(struct params *p, const char *key); /* string; absent or null */
bool params_bool(struct params *p, const char *key);             /* required */
bool params_bool_or(struct params *p, const char *key, bool otherwise);
uint64_t params_u64(struct params *p, const char *key);          /* required */
uint64_t params_u64_or(struct params *p, const char *key, uint64_t otherwise);
struct value params_array(struct params *p, const char *key);    /* required */
struct value params_object(struct params *p, const char *key);   /* required */
struct value params_object_or_null(struct params *p, const char *key);

/* The path of a required file: URI. */
void params_path(struct params *p, const char *key, char *path);
void params_uri(struct params *p, const struct value *v, char *path);

#endif
