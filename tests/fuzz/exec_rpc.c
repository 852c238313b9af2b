/*
 * tests/fuzz/exec_rpc.c - what value_parse accepts, base/json accepts, unless it breaks a
 * limit of the latter; what it remembers of the longest string changes nothing; a message's
 * id lies inside it; parameters decode or say why not.
 */
#include "agent/env_policy.h"
#include "agent/grant.h"
#include "agent/rpc.h"
#include "agent/uri.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void decode(const struct value *v)
{
        static char path[URI_PATH_MAX];
        static struct grants g;
        static struct env e;
        static char text[1 << 16];
        struct grant_places places = { "/t" };
        struct params p = params_of(v);
        struct value sandbox = params_object_or_null(&p, "sandbox");
        struct value env = params_object(&p, "env"), policy = params_object_or_null(&p, "envPolicy");
        char *own[] = { NULL }, why[256];
        struct wr w = wr_of(why, sizeof(why));
        bool nul;

        e.text = text;
        e.cap = sizeof(text);
        params_path(&p, "cwd", path);
        (void)params_u64_or(&p, "afterSeq", 0);
        (void)params_string(&p, "processId");
        if (env_build(&e, &p, own, &policy, &env, &nul))
                for (size_t i = 0; i < e.count; i++)
                        if (!strchr(e.list[i], '=') && !nul)
                                abort();
        if (p.bad != (p.error[0] != '\0'))
                abort();
        if (grants_parse(&g, &sandbox, &places, &w))
                for (unsigned i = 0; i < g.count; i++)
                        if (g.list[i].path[0] != '/' || grants_access(&g, g.list[i].path) > g.list[i].access)
                                abort();
}

/* Walked with what value_parse knows, and as if it knew nothing. */
static void walk_both(const struct value *v)
{
        struct value plain = *v, key, item, same_key, same_item;
        struct value_iter i = value_items(v), j;

        plain.plain_at = NULL;
        plain.plain_end = NULL;
        j = value_items(&plain);
        while (value_next(&i, &key, &item)) {
                if (!value_next(&j, &same_key, &same_item) || item.type != same_item.type ||
                    item.at != same_item.at || item.len != same_item.len)
                        abort();
                walk_both(&item); /* VALUE_DEPTH deep at most */
        }
        if (value_next(&j, &same_key, &same_item))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        const char *text = (const char *)data;
        struct value v;
        struct value_error e;
        struct json_error je;
        struct json j;
        struct rpc r;
        bool ok = value_parse(&v, text, len, &e);

        if (!ok && (e.at > len || !e.what))
                abort();
        if (!json_open(&j, text, len, &je)) {
                if (!ok)
                        abort();
                json_close(&j);
        }
        if (ok)
                walk_both(&v);
        if (ok && v.type == VALUE_OBJECT) {
                struct value_iter i = value_items(&v);
                struct value key, item;

                while (value_next(&i, &key, &item)) {
                        char *out = malloc(key.len + item.len + 1);

                        if (!out || key.at < text || item.at + item.len > text + len)
                                abort();
                        if (value_string(&key, out) > key.len)
                                abort();
                        if (item.type == VALUE_STRING && value_string(&item, out) > item.len)
                                abort();
                        free(out);
                }
        }
        rpc_parse(&r, text, len);
        if ((r.kind == RPC_MALFORMED) != (r.what != NULL) || (!ok && r.kind != RPC_MALFORMED))
                abort();
        if (r.id && (r.id < text || r.id + r.id_len > text + len))
                abort();
        if (r.kind == RPC_REQUEST)
                decode(&r.params);
        return 0;
}
