/* agent/environments.c - the list of places, read and checked. */
#include "agent/environments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TIMEOUT_MAX_S 86400

struct environments_text {
        struct environments_text *next;
        char bytes[];
};

struct reader {
        struct environments *e;
        const char *home;
        char *error;
};

static int wrong(const struct reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int wrong(const struct reader *r, const char *fmt, ...)
{
        struct wr w = wr_of(r->error, ENVIRONMENTS_ERROR - 1);
        va_list ap;

        wr_str(&w, "exec-server protocol error: ");
        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        wr_cstr(&w);
        return -EINVAL;
}

/* Memory that lives as long as the list. */
static void *keep(struct environments *e, size_t len)
{
        struct environments_text *t = take_memory(sizeof(*t) + len);

        t->next = e->texts;
        e->texts = t;
        return t->bytes;
}

/* The string, ended by a NUL; NULL: it holds one itself. */
static char *keep_string(struct environments *e, const struct value *v)
{
        char *text = keep(e, v->len + 1);

        text[value_string(v, text)] = '\0';
        return strlen(text) == value_string(v, text) ? text : NULL;
}

/* --- one environment ------------------------------------------------------------------------ */

static bool is_said(const struct value *v)
{
        return v->type != VALUE_ABSENT;
}

enum key { ID, URL, TOKEN, PROGRAM, ARGS, ENV, CWD, CONNECT, INITIALIZE, KEYS };

static const struct {
        char name[24];
        enum value_type type;
} keys[KEYS] = {
        { "id", VALUE_STRING },
        { "url", VALUE_STRING },
        { "auth_bearer_token", VALUE_STRING },
        { "program", VALUE_STRING },
        { "args", VALUE_ARRAY },
        { "env", VALUE_OBJECT },
        { "cwd", VALUE_STRING },
        { "connect_timeout_sec", VALUE_NUMBER },
        { "initialize_timeout_sec", VALUE_NUMBER },
};

/* Members by key; unknown, double and mistyped ones are errors. */
static int read_keys(const struct reader *r, const struct value *object, struct value said[KEYS])
{
        struct value_iter i = value_items(object);
        struct value key, item;

        if (object->type != VALUE_OBJECT)
                return wrong(r, "an environment is %s, not an object",
                             value_type_str(object->type));
        while (value_next(&i, &key, &item)) {
                size_t k = 0;

                while (k < KEYS && !value_is(&key, keys[k].name))
                        k++;
                if (k == KEYS)
                        return wrong(r, "unknown field `%.*s`", key.len > 64 ? 64 : (int)key.len,
                                     key.at);
                if (said[k].type != VALUE_ABSENT)
                        return wrong(r, "duplicate field `%s`", keys[k].name);
                if (item.type != keys[k].type)
                        return wrong(r, "invalid type: %s for `%s`", value_type_str(item.type),
                                     keys[k].name);
                said[k] = item;
        }
        if (said[ID].type == VALUE_ABSENT)
                return wrong(r, "missing field `id`");
        return 0;
}

/* Seconds with or without a fraction, at most a day. */
static bool read_seconds(const struct value *v, uint32_t *ms)
{
        uint32_t s = 0, part = 0, scale = 100;
        size_t i = 0;

        for (; i < v->len && v->at[i] >= '0' && v->at[i] <= '9'; i++) {
                s = s * 10 + (uint32_t)(v->at[i] - '0');
                if (s > TIMEOUT_MAX_S)
                        return false;
        }
        if (!i)
                return false;
        if (i < v->len && v->at[i] == '.')
                for (i++; i < v->len && v->at[i] >= '0' && v->at[i] <= '9'; i++, scale /= 10)
                        part += scale * (uint32_t)(v->at[i] - '0');
        *ms = s * 1000 + part;
        *ms += !*ms; /* 0 would mean the default */
        return i == v->len;
}

static int read_timeout(const struct reader *r, const struct value *v, const char *name,
                        uint32_t *ms)
{
        if (v->type == VALUE_ABSENT || read_seconds(v, ms))
                return 0;
        return wrong(r, "`%s` is not a number of seconds up to a day", name);
}

static bool is_token(const char *text)
{
        for (; *text; text++)
                if (*text <= ' ' || *text > '~')
                        return false;
        return true;
}

/* The string without the white space around it. */
static char *keep_trimmed(struct environments *e, const char *text)
{
        size_t len;
        const char *at = remote_trim(text, &len);
        char *copy = keep(e, len + 1);

        memcpy(copy, at, len);
        copy[len] = '\0';
        return copy;
}

static int take_url(const struct reader *r, struct environment *v, const char *url,
                    const struct value *said)
{
        char *token = NULL;

        if (said->type != VALUE_ABSENT) {
                token = keep_string(r->e, said);
                if (!token || !is_token(token))
                        return wrong(r, "environment `%s` auth_bearer_token has bytes that no "
                                        "header may have", v->id);
        }
        (void)!client_url(&v->target, keep_trimmed(r->e, url));
        v->target.token = token && *token ? token : NULL;
        return 0;
}

/* Ours and what is said, the latter winning. */
static int take_env(const struct reader *r, struct environment *v, const struct value *said)
{
        size_t ours = 0, n = 0, added = value_count(said);
        struct value_iter i = value_items(said);
        struct value key, item;
        const char **env;

        while (environ[ours])
                ours++;
        env = keep(r->e, (ours + added + 1) * sizeof(*env));
        while (value_next(&i, &key, &item)) {
                char *name = keep_string(r->e, &key), *value = NULL, *text;
                struct wr w;

                if (item.type == VALUE_STRING)
                        value = keep_string(r->e, &item);
                if (!name || !*name || strchr(name, '=') || !value)
                        return wrong(r, "environment `%s` env has a member that is no variable",
                                     v->id);
                text = keep(r->e, strlen(name) + strlen(value) + 2);
                w = wr_of(text, strlen(name) + strlen(value) + 2);
                wr_fmt(&w, "%s=%s", name, value);
                wr_cstr(&w);
                env[n++] = text;
        }
        for (size_t k = 0; k < ours; k++) {
                size_t len = strcspn(environ[k], "=") + 1, j = 0;

                while (j < added && strncmp(env[j], environ[k], len) != 0)
                        j++;
                if (j == added)
                        env[n++] = environ[k];
        }
        v->target.env = env;
        return 0;
}

static int take_program(const struct reader *r, struct environment *v, const char *program,
                        const struct value said[KEYS])
{
        size_t n = 0, args = value_count(&said[ARGS]);
        const char **argv = keep(r->e, (args + 2) * sizeof(*argv));
        struct value_iter i = value_items(&said[ARGS]);
        struct value item;

        v->target = (struct client_target){ .transport = CLIENT_COMMAND, .argv = argv };
        argv[n++] = keep_trimmed(r->e, program);
        while (args && value_next(&i, NULL, &item)) {
                argv[n] = item.type == VALUE_STRING ? keep_string(r->e, &item) : NULL;
                if (!argv[n++])
                        return wrong(r, "environment `%s` args has an item that is no text", v->id);
        }
        if (said[CWD].type != VALUE_ABSENT) {
                struct wr w;
                size_t room = (r->home ? strlen(r->home) : 0) + said[CWD].len + 2;
                char *cwd = keep_string(r->e, &said[CWD]), *path = keep(r->e, room);

                if (!cwd)
                        return wrong(r, "environment `%s` cwd is no path", v->id);
                w = wr_of(path, room);
                if (cwd[0] != '/' && r->home)
                        wr_fmt(&w, "%s/", r->home);
                wr_str(&w, cwd);
                v->target.cwd = wr_cstr(&w);
        }
        return said[ENV].type == VALUE_ABSENT ? 0 : take_env(r, v, &said[ENV]);
}

/* The keys that bind each other. Their strings may hold no NUL. */
static int check_entry(const struct reader *r, struct remote_entry *e, const struct value said[KEYS])
{
        const struct {
                const char **at;
                enum key key;
        } strings[] = { { &e->id, ID }, { &e->url, URL }, { &e->program, PROGRAM } };
        char text[ENVIRONMENTS_ERROR];
        struct wr w = wr_of(text, sizeof(text) - 1);

        for (size_t i = 0; i < COUNT(strings); i++) {
                const struct value *v = &said[strings[i].key];

                if (!is_said(v))
                        continue;
                *strings[i].at = keep_string(r->e, v);
                if (!*strings[i].at)
                        return wrong(r, "`%s` holds a NUL", keys[strings[i].key].name);
        }
        e->args = is_said(&said[ARGS]);
        e->env = is_said(&said[ENV]);
        e->cwd = is_said(&said[CWD]);
        e->token = is_said(&said[TOKEN]);
        e->connect = is_said(&said[CONNECT]);
        if (remote_entry_wrong(&w, e))
                return wrong(r, "%s", wr_cstr(&w));
        for (size_t i = 0; i < r->e->count; i++)
                if (!strcmp(r->e->all[i].id, e->id))
                        return wrong(r, "environment id `%s` is duplicated", e->id);
        return 0;
}

static int read_environment(const struct reader *r, const struct value *object)
{
        struct environment *v = &r->e->all[r->e->count];
        struct value said[KEYS] = { { .type = VALUE_ABSENT } };
        uint32_t connect_ms = 0, initialize_ms = 0;
        struct remote_entry entry = { .id = "" };
        int bad = read_keys(r, object, said);

        if (!bad)
                bad = check_entry(r, &entry, said);
        if (bad)
                return bad;
        strncpy(v->id, entry.id, sizeof(v->id) - 1);
        bad = entry.url ? take_url(r, v, entry.url, &said[TOKEN])
                        : take_program(r, v, entry.program, said);
        if (!bad)
                bad = read_timeout(r, &said[CONNECT], "connect_timeout_sec", &connect_ms);
        if (!bad)
                bad = read_timeout(r, &said[INITIALIZE], "initialize_timeout_sec",
                                   &initialize_ms);
        if (bad)
                return bad;
        v->target.connect_ms = connect_ms;
        v->target.initialize_ms = initialize_ms;
        v->target.patience_ms = v->target.transport == CLIENT_TCP ? CLIENT_PATIENCE_MS : 0;
        r->e->count++;
        return 0;
}

/* --- the list ---------------------------------------------------------------------------------- */

static void add_local(struct environments *e)
{
        struct environment *v = &e->all[e->count++];

        *v = (struct environment){ .id = "local", .local = true };
        v->target.in_fd = -1;
        v->target.out_fd = -1;
}

static int choose_default(const struct reader *r, const struct value *said)
{
        struct environments *e = r->e;
        char *id = keep_string(e, said);

        if (!id || !*id)
                return wrong(r, "default environment id cannot be empty");
        if (!strcasecmp(id, "none"))
                return 0;
        for (size_t i = 0; i < e->count; i++)
                if (!strcmp(e->all[i].id, id))
                        e->default_at = (int)i;
        if (e->default_at < 0)
                return wrong(r, "default environment `%s` is not configured", id);
        return 0;
}

static int read_list(const struct reader *r, const struct value *list)
{
        struct value_iter i = value_items(list);
        struct value item;

        while (is_said(list) && value_next(&i, NULL, &item)) {
                int bad;

                if (r->e->count == ENVIRONMENTS_MAX)
                        return wrong(r, "more than %d environments", ENVIRONMENTS_MAX);
                bad = read_environment(r, &item);
                if (bad)
                        return bad;
        }
        return 0;
}

static int read_all(const struct reader *r, const struct value *top)
{
        struct value first = value_get(top, "default"), local = value_get(top, "include_local");
        struct value list = value_get(top, "environments"), key, item;
        struct value_iter i = value_items(top);
        int bad;

        if (top->type != VALUE_OBJECT)
                return wrong(r, "the list of environments is %s, not an object",
                             value_type_str(top->type));
        while (value_next(&i, &key, &item))
                if (!value_is(&key, "default") && !value_is(&key, "include_local") &&
                    !value_is(&key, "environments"))
                        return wrong(r, "unknown field `%.*s`", key.len > 64 ? 64 : (int)key.len,
                                     key.at);
        if ((is_said(&first) && first.type != VALUE_STRING) ||
            (is_said(&local) && local.type != VALUE_BOOL) ||
            (is_said(&list) && list.type != VALUE_ARRAY))
                return wrong(r, "`default` is a string, `include_local` a boolean and "
                                "`environments` an array");
        if (!is_said(&local) || value_true(&local))
                add_local(r->e);
        bad = read_list(r, &list);
        if (bad)
                return bad;
        if (is_said(&first))
                return choose_default(r, &first);
        r->e->default_at = r->e->count && r->e->all[0].local ? 0 : -1;
        return 0;
}

int environments_parse(struct environments *e, const char *json, size_t len, const char *home,
                       char error[ENVIRONMENTS_ERROR])
{
        struct reader r = { e, home, error };
        struct value_error at;
        struct value top;
        int bad;

        *e = (struct environments){ .default_at = -1 };
        error[0] = '\0';
        if (!value_parse(&top, json, len, &at))
                bad = wrong(&r, "the list of environments: %s at byte %zu", at.what, at.at);
        else
                bad = read_all(&r, &top);
        if (bad)
                environments_close(e);
        return bad;
}

int environments_from_url(struct environments *e, const char *value,
                          char error[ENVIRONMENTS_ERROR])
{
        struct reader r = { e, NULL, error };
        struct remote_entry entry = { .id = "remote", .url = value ? value : "" };
        char text[ENVIRONMENTS_ERROR];
        struct wr w = wr_of(text, sizeof(text) - 1);
        size_t len;
        const char *url = remote_trim(entry.url, &len);

        *e = (struct environments){ .default_at = -1 };
        error[0] = '\0';
        if (!len) {
                add_local(e);
                e->default_at = 0;
                return 0;
        }
        if (len == 4 && !strncasecmp(url, "none", 4))
                return 0;
        if (remote_entry_wrong(&w, &entry))
                return wrong(&r, "%s", wr_cstr(&w));
        (void)!client_url(&e->all[0].target, keep_trimmed(e, url));
        e->all[0].target.patience_ms = CLIENT_PATIENCE_MS;
        memcpy(e->all[0].id, "remote", sizeof("remote"));
        e->count = 1;
        e->default_at = 0;
        return 0;
}

struct environment *environments_find(struct environments *e, const char *id)
{
        if (!id)
                return e->default_at < 0 ? NULL : &e->all[e->default_at];
        for (size_t i = 0; i < e->count; i++)
                if (!strcmp(e->all[i].id, id))
                        return &e->all[i];
        return NULL;
}

struct client *environment_client(struct environment *v)
{
        if (v->client)
                return v->client;
        if (v->local && v->target.in_fd < 0)
                return NULL;
        v->client = take_memory(sizeof(*v->client));
        client_open(v->client, &v->target);
        return v->client;
}

void environments_close(struct environments *e)
{
        for (size_t i = 0; i < e->count; i++)
                if (e->all[i].client) {
                        client_close(e->all[i].client);
                        free(e->all[i].client);
                }
        while (e->texts) {
                struct environments_text *t = e->texts;

                e->texts = t->next;
                free(t);
        }
        *e = (struct environments){ .default_at = -1 };
}
