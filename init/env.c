/* init/env.c - builds environments. */
#include "init/env.h"

#include <string.h>

static bool same_name(const char *var, const char *name, size_t len)
{
        return !strncmp(var, name, len) && var[len] == '=';
}

static char **find(const struct env *e, const char *name, size_t len)
{
        for (size_t i = 0; i < e->count; i++) {
                if (same_name(e->vars[i], name, len))
                        return (char **)(uintptr_t)&e->vars[i];
        }
        return NULL;
}

const char *env_get(const struct env *e, const char *name)
{
        size_t len = strlen(name);
        char **slot = find(e, name, len);

        return slot ? *slot + len + 1 : NULL;
}

void env_set_n(struct env *e, const char *name, size_t name_len, const char *value,
               size_t value_len)
{
        char **slot = find(e, name, name_len);
        char *at = e->text + e->len;

        if (name_len + value_len + 2 > sizeof(e->text) - e->len ||
            (!slot && e->count == ENV_VARS)) {
                e->full = true;
                return;
        }
        memcpy(at, name, name_len);
        at[name_len] = '=';
        memcpy(at + name_len + 1, value, value_len);
        at[name_len + 1 + value_len] = '\0';
        e->len += name_len + value_len + 2;
        if (!slot) {
                slot = &e->vars[e->count++];
                e->vars[e->count] = NULL;
        }
        *slot = at;
}

void env_set(struct env *e, const char *name, const char *value)
{
        env_set_n(e, name, strlen(name), value, strlen(value));
}

void env_unset(struct env *e, const char *name)
{
        char **slot = find(e, name, strlen(name));

        if (!slot)
                return;
        *slot = e->vars[--e->count];
        e->vars[e->count] = NULL;
}

/* The key to a task's secrets is nobody's variable, and no copy of it is made here. */
static bool is_key(const char *var)
{
        return !strncmp(var, "AIRLOCK_KEY=", 12) || !strncmp(var, "AIRLOCK_KEY_FD=", 15);
}

void env_add_all(struct env *e, char *const *vars)
{
        for (; *vars; vars++) {
                size_t len = strcspn(*vars, "=");

                if ((*vars)[len] && !is_key(*vars))
                        env_set_n(e, *vars, len, *vars + len + 1, strlen(*vars + len + 1));
        }
}

static bool name_start(char c)
{
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool add_line(struct env *e, const char *line, size_t len)
{
        size_t name = 0;

        if (len && line[len - 1] == '\r')
                len--;
        while (len && (*line == ' ' || *line == '\t')) {
                line++;
                len--;
        }
        if (!len || *line == '#')
                return true;
        if (len > 7 && !memcmp(line, "export ", 7)) {
                line += 7;
                len -= 7;
        }
        if (!name_start(*line))
                return false;
        while (name < len && (name_start(line[name]) || (line[name] >= '0' && line[name] <= '9')))
                name++;
        if (name == len || line[name] != '=')
                return false;
        const char *value = line + name + 1;
        size_t value_len = len - name - 1;
        if (value_len >= 2 && (*value == '"' || *value == '\'') &&
            value[value_len - 1] == *value) {
                value++;
                value_len -= 2;
        }
        if (memchr(value, '\0', value_len))
                return false;
        env_set_n(e, line, name, value, value_len);
        return true;
}

unsigned env_add_lines(struct env *e, const char *text, size_t len)
{
        unsigned number = 1;

        while (len) {
                const char *end = memchr(text, '\n', len);
                size_t line = end ? (size_t)(end - text) : len;

                if (!add_line(e, text, line))
                        return number;
                line += end != NULL;
                text += line;
                len -= line;
                number++;
        }
        return 0;
}

bool env_is_reserved(const char *name)
{
        static const char *const whole[] = { "PATH", "HOME", "IFS", "ENV", "BASH_ENV",
                                             "SHELLOPTS", "BASHOPTS", "PS4",
                                             "CODEX_EXEC_SERVER_URL" };
        static const char *const begin[] = { "AIRLOCK_", "LD_", "GIT_" };

        for (size_t i = 0; i < COUNT(begin); i++) {
                if (!strncmp(name, begin[i], strlen(begin[i])))
                        return true;
        }
        for (size_t i = 0; i < COUNT(whole); i++) {
                if (!strcmp(name, whole[i]))
                        return true;
        }
        return false;
}
