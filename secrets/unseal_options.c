/* secrets/unseal_options.c - reads the command line that PID 1 writes. */
#include "secrets/unseal_options.h"

#include "base/log.h"

#include <string.h>

/* One option: where its value goes, and as what. */
struct option {
        const char *name;
        enum { TEXT, NAME, TEMPLATE, FD, NUMBER, FLAG, KEY, LEAK, ALLOW, START } kind;
        size_t at;
};

#define AT(field) offsetof(struct unseal_options, field)

static const struct option options[] = {
        { "--sealed", TEXT, AT(sealed) },
        { "--sealed-fd", FD, AT(sealed_fd) },
        { "--unlink-sealed", FLAG, AT(unlink_sealed) },
        { "--key-from", KEY, 0 },
        { "--key-timeout-ms", NUMBER, AT(key_ms) },
        { "--key-leftover-ok", FLAG, AT(leftover_ok) },
        { "--name", NAME, 0 },
        { "--sha256", TEXT, AT(sha256) },
        { "--template", TEMPLATE, 0 },
        { "--inject", TEXT, AT(inject) },
        { "--withhold", TEXT, AT(withhold) },
        { "--proxy", FD, AT(proxy) },
        { "--env", FD, AT(env) },
        { "--control", FD, AT(control) },
        { "--output", FD, AT(output) },
        { "--journal", FD, AT(journal) },
        { "--journal-start-ms", START, 0 },
        { "--hash", FLAG, AT(hash) },
        { "--line-file", TEXT, AT(line_file) },
        { "--on-leak", LEAK, 0 },
        { "--allow-leak", ALLOW, 0 },
        { "--scan-timeout-s", NUMBER, AT(scan_s) },
        { "--scan-root", TEXT, AT(root) },
        { "--visible-memory", FLAG, AT(visible) },
};

static int usage(const char *why, const char *arg)
{
        log_line(LOG_ERROR, "airlock-unseal: %s %s", why, arg);
        return STATUS_USAGE;
}

static bool number(const char *text, uint64_t max, uint64_t *n)
{
        if (!*text)
                return false;
        for (*n = 0; *text >= '0' && *text <= '9'; text++) {
                *n = *n * 10 + (uint64_t)(*text - '0');
                if (*n > max)
                        return false;
        }
        return !*text;
}

static bool on_leak(const char *word, enum unseal_on_leak *out)
{
        static const char *const words[] = { "fail", "remove", "warn" };

        for (unsigned i = 0; i < COUNT(words); i++) {
                if (!strcmp(word, words[i])) {
                        *out = (enum unseal_on_leak)i;
                        return true;
                }
        }
        return false;
}

/* What the lists below are made of. */
struct list {
        char text[64 * 1024 + 1];
        size_t len;
};

/* Appends @name, unless it is there. False: it does not fit. */
static bool add_name(struct list *l, const char **list, const char *name, size_t len)
{
        *list = l->text;
        if (!len || unseal_lists(l->text, name, len))
                return true;
        if (len + 2 > sizeof(l->text) - l->len)
                return false;
        if (l->len)
                l->text[l->len++] = ',';
        memcpy(l->text + l->len, name, len);
        l->len += len;
        l->text[l->len] = '\0';
        return true;
}

/* The names in ${NAME} and ${base64:TEXT:NAME} of what a rule injects: the proxy's alone. */
static bool add_template(struct unseal_options *o, const char *value)
{
        static LARGE_BUFFER struct list injected;

        for (const char *at = value; (at = strstr(at, "${"));) {
                const char *end = strchr(at, '}');
                const char *name = at + 2;

                if (!end)
                        return false;
                for (const char *c = name; c < end; c++) {
                        if (*c == ':')
                                name = c + 1;
                }
                if (!add_name(&injected, &o->inject, name, (size_t)(end - name)))
                        return false;
                at = end;
        }
        o->withhold = o->inject;
        return true;
}

static bool set(struct unseal_options *o, const struct option *d, const char *value)
{
        static LARGE_BUFFER struct list names;
        char *at = (char *)o + d->at;
        uint64_t n = 0;

        switch (d->kind) {
        case TEXT:
                memcpy(at, &value, sizeof(value));
                return *value;
        case NAME:
                return add_name(&names, &o->names, value, strlen(value));
        case TEMPLATE:
                return add_template(o, value);
        case FD:
        case NUMBER:
                if (!number(value, 1000000000, &n))
                        return false;
                memcpy(at, &(int){ (int)n }, sizeof(int));
                return true;
        case START:
                return number(value, UINT64_MAX / 20, &o->journal_start_ms);
        case KEY:
                o->key_given = true;
                return key_source_parse(value, &o->key);
        case LEAK:
                return on_leak(value, &o->on_leak);
        case ALLOW:
                if (o->allow_count == UNSEAL_LIST)
                        return false;
                o->allow[o->allow_count++] = value;
                return true;
        case FLAG:
                break;
        }
        return false;
}

static const struct option *find(const char *name)
{
        for (size_t i = 0; i < COUNT(options); i++) {
                if (!strcmp(options[i].name, name))
                        return &options[i];
        }
        return NULL;
}

static int check(const struct unseal_options *o)
{
        if (!o->sealed == (o->sealed_fd < 0))
                return usage("either --sealed or", "--sealed-fd");
        if (o->control < 0)
                return usage("missing:", "--control");
        if (o->sha256 && (strlen(o->sha256) != 64 ||
                          strspn(o->sha256, "0123456789abcdefABCDEF") != 64))
                return usage("--sha256: 64 hexadecimal digits, not", o->sha256);
        return 0;
}

int unseal_options_parse(struct unseal_options *o, char **argv)
{
        *o = (struct unseal_options){ .sealed_fd = -1, .proxy = -1, .env = -1, .control = -1,
                                      .output = STDOUT_FILENO, .journal = -1, .key_ms = 60000,
                                      .scan_s = 600, .root = "/" };
        for (argv++; *argv; argv++) {
                const struct option *d = find(*argv);

                if (!d)
                        return usage("unknown option", *argv);
                if (d->kind == FLAG) {
                        *((bool *)((char *)o + d->at)) = true;
                        continue;
                }
                /* A value is not repeated in a message: it might be a key. */
                if (!argv[1] || !set(o, d, argv[1]))
                        return usage("missing or wrong value of", d->name);
                argv++;
        }
        return check(o);
}

size_t unseal_next(const char **list, const char **name)
{
        size_t len;

        if (!*list)
                return 0;
        *list += strspn(*list, ",");
        *name = *list;
        len = strcspn(*list, ",");
        *list += len;
        return len;
}

bool unseal_lists(const char *list, const char *name, size_t len)
{
        const char *one;

        for (size_t n; (n = unseal_next(&list, &one));) {
                if (n == len && !memcmp(one, name, len))
                        return true;
        }
        return false;
}
