/* agent/env_policy.c - inherit, exclude, set, include, and env over all. */
#include "agent/env_policy.h"

#include <string.h>

static char lower(char c)
{
        if (c >= 'A' && c <= 'Z')
                return (char)(c + 32);
        return c;
}

bool env_glob(const char *pattern, const char *name, size_t len)
{
        const char *star = NULL;
        size_t at = 0, star_at = 0;

        while (at < len) {
                if (*pattern == '*') {
                        star = ++pattern;
                        star_at = at;
                } else if (*pattern && (*pattern == '?' || lower(*pattern) == lower(name[at]))) {
                        pattern++;
                        at++;
                } else if (star) {
                        pattern = star;
                        at = ++star_at;
                } else {
                        return false;
                }
        }
        while (*pattern == '*')
                pattern++;
        return !*pattern;
}

static size_t name_len(const char *variable)
{
        return strcspn(variable, "=");
}

const char *env_value(char *const *list, const char *name)
{
        size_t len = strlen(name);

        for (; *list; list++)
                if (!strncmp(*list, name, len) && (*list)[len] == '=')
                        return *list + len + 1;
        return NULL;
}

static void drop(struct env *e, size_t i)
{
        e->list[i] = e->list[--e->count];
        e->list[e->count] = NULL;
}

/* A variable over one of the same name. */
static bool put(struct env *e, const char *name, size_t n, const char *value, size_t len)
{
        char *at = e->text + e->len;
        size_t i = 0;

        if (n + len + 2 > e->cap - e->len || e->count == ENV_MAX)
                return false;
        memcpy(at, name, n);
        at[n] = '=';
        memcpy(at + n + 1, value, len);
        at[n + 1 + len] = '\0';
        e->len += n + len + 2;
        while (i < e->count && (strncmp(e->list[i], at, n + 1) != 0))
                i++;
        e->list[i] = at;
        if (i == e->count)
                e->list[++e->count] = NULL;
        return true;
}

static bool any_glob(const struct value *patterns, const char *name, size_t len)
{
        struct value_iter i = value_items(patterns);
        struct value item;

        while (value_next(&i, NULL, &item)) {
                char text[512];
                size_t n = item.len < sizeof(text) ? value_string(&item, text) : 0;

                text[n] = '\0';
                if (env_glob(text, name, len))
                        return true;
        }
        return false;
}

static void keep(struct env *e, const struct value *patterns, bool matching)
{
        for (size_t i = 0; i < e->count;)
                if (any_glob(patterns, e->list[i], name_len(e->list[i])) == matching)
                        i++;
                else
                        drop(e, i);
}

/* Names that are likely to hold secrets. */
static void drop_defaults(struct env *e)
{
        static const char *const patterns[] = { "*KEY*", "*SECRET*", "*TOKEN*" };

        for (size_t i = 0; i < e->count;) {
                bool out = false;

                for (size_t k = 0; k < COUNT(patterns); k++)
                        out |= env_glob(patterns[k], e->list[i], name_len(e->list[i]));
                if (out)
                        drop(e, i);
                else
                        i++;
        }
}

static bool is_core(const char *variable)
{
        static const char *const core[] = { "HOME", "LANG",  "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH",
                                            "SHELL", "TEMP", "TMP",    "TMPDIR",   "USER" };

        for (size_t i = 0; i < COUNT(core); i++)
                if (strlen(core[i]) == name_len(variable) &&
                    !strncmp(variable, core[i], strlen(core[i])))
                        return true;
        return false;
}

static bool inherit(struct env *e, char *const *own, const struct value *how)
{
        bool none = value_is(how, "none"), core = value_is(how, "core");

        for (; *own && !none; own++) {
                size_t n = name_len(*own);

                if ((*own)[n] == '=' && (!core || is_core(*own)) &&
                    !put(e, *own, n, *own + n + 1, strlen(*own + n + 1)))
                        return false;
        }
        return true;
}

/* The members of an object of strings. */
static bool put_all(struct env *e, struct params *p, const struct value *object, bool *nul)
{
        struct value_iter i = value_items(object);
        struct value key, item;

        while (!p->bad && value_next(&i, &key, &item)) {
                char *at = e->text + e->len;
                size_t n, len;

                if (item.type != VALUE_STRING) {
                        params_refuse(p, "invalid type: %s, expected a string",
                                      value_type_str(item.type));
                        return true;
                }
                if (key.len + item.len > (e->cap - e->len) / 2)
                        return false;
                /* Unescaped behind where put will write it. */
                at += key.len + item.len + 2;
                n = value_string(&key, at);
                len = value_string(&item, at + n);
                if (memchr(at, '\0', n + len))
                        *nul = true;
                if (!put(e, at, n, at + n, len))
                        return false;
        }
        return true;
}

static void check_patterns(struct params *p, const struct value *list)
{
        struct value_iter i = value_items(list);
        struct value item;

        while (value_next(&i, NULL, &item))
                if (item.type != VALUE_STRING)
                        params_refuse(p, "invalid type: %s, expected a string",
                                      value_type_str(item.type));
}

bool env_build(struct env *e, struct params *p, char *const *own, const struct value *policy,
               const struct value *env, bool *nul)
{
        e->count = 0;
        e->len = 0;
        e->list[0] = NULL;
        *nul = false;
        if (policy->type == VALUE_OBJECT) {
                struct params in = params_of(policy);
                struct value how = params_string(&in, "inherit");
                bool defaults = !params_bool(&in, "ignoreDefaultExcludes");
                struct value exclude = params_array(&in, "exclude"), set = params_object(&in, "set");
                struct value only = params_array(&in, "includeOnly");

                check_patterns(&in, &exclude);
                check_patterns(&in, &only);
                if (!value_is(&how, "all") && !value_is(&how, "none") && !value_is(&how, "core"))
                        params_refuse(&in, "unknown variant, expected one of `core`, `all`, `none`");
                if (in.bad) {
                        params_refuse(p, "%s", in.error);
                        return true;
                }
                if (!inherit(e, own, &how))
                        return false;
                if (defaults)
                        drop_defaults(e);
                keep(e, &exclude, false);
                if (!put_all(e, p, &set, nul))
                        return false;
                if (value_count(&only))
                        keep(e, &only, true);
        }
        return put_all(e, p, env, nul);
}
