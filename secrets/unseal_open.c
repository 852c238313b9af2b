/* secrets/unseal_open.c - from a sealed file and a key to names, values and needles. */
#include "base/environ.h"
#include "base/io.h"
#include "secrets/filter.h"
#include "secrets/unseal.h"

#include <bearssl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define KEY_ROOM ((size_t)KEY_MAX)
#define SEALED_MAX (1600UL * 1024) /* armored, for many recipients, of 256 KiB */
#define HASH_ROUNDS 65536U         /* some 40 ms */
#define EXEC_STRING (128UL * 1024) /* execve(2)'s bound for one variable */

static LARGE_BUFFER uint8_t sealed_bytes[SEALED_MAX + 1]; /* ciphertext */

/* --- read --------------------------------------------------------------------------------- */

static void check_digest(struct unseal *u, size_t len)
{
        br_sha256_context c;
        uint8_t digest[32];
        char hex[65];
        struct wr w = wr_of(hex, sizeof(hex));

        if (!u->o.sha256)
                return;
        br_sha256_init(&c);
        br_sha256_update(&c, sealed_bytes, len);
        br_sha256_out(&c, digest);
        for (size_t i = 0; i < sizeof(digest); i++)
                wr_fmt(&w, "%x%x", digest[i] >> 4, digest[i] & 15);
        if (strcasecmp(wr_cstr(&w), u->o.sha256) != 0)
                fail(u, STATUS_SPEC, "%s is not the file that secrets.sha256 names: its digest is "
                     "%s", sealed_name(u), hex);
}

static size_t read_sealed(struct unseal *u)
{
        AUTO_CLOSE int fd = u->o.sealed ? open(u->o.sealed, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
                                        : u->o.sealed_fd;
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0)
                fail(u, STATUS_SPEC, "%s: %s", sealed_name(u), strerror(errno));
        if (u->o.sealed && !S_ISREG(st.st_mode))
                fail(u, STATUS_SPEC, "%s is not a file", u->o.sealed);
        n = read_full(fd, sealed_bytes, sizeof(sealed_bytes));
        if (n < 0)
                fail(u, STATUS_AGAIN, "%s can't be read: %s", sealed_name(u), strerror((int)-n));
        if ((size_t)n == sizeof(sealed_bytes))
                fail(u, STATUS_SPEC, "%s is too large: secrets are 256 KiB at most",
                     sealed_name(u));
        check_digest(u, (size_t)n);
        return (size_t)n;
}

/* A second line in /proc/swaps: memory that is not locked may be written to a disk. */
static bool has_swap(void)
{
        char text[1024];
        ssize_t n = read_file(AT_FDCWD, "/proc/swaps", text, sizeof(text));
        const char *end = n > 0 ? strchr(text, '\n') : NULL;

        return n < 0 || (end && end[1]);
}

static void open_arena(struct unseal *u, struct arena *a, size_t room)
{
        int r = arena_open(a, room, u->o.visible ? ARENA_LOCKED : ARENA_HIDDEN, ARENA_ORDINARY);

        if (r < 0)
                fail(u, STATUS_AGAIN, "no memory for secrets: %s", strerror(-r));
        if (a->kind == ARENA_ORDINARY && has_swap())
                fail(u, STATUS_AGAIN, "memory for secrets can't be locked, and this machine "
                     "swaps: raise the container's limit (--ulimit memlock=8388608)");
}

/* Never fails: the arena was made with room for it. */
static void *take(struct unseal *u, struct arena *a, size_t len)
{
        void *at = arena_take(a, len);

        if (!at)
                fail(u, STATUS_AGAIN, "no memory for secrets");
        return at;
}

/* An empty stdin is nobody's choice (docker run -i < /dev/null): the next source it is. */
static enum key_status find_key(struct unseal *u, struct key *k, uint8_t *buf)
{
        struct key_source *s = &u->o.key;
        enum key_status status = KEY_NONE;
        bool found = u->o.key_given || key_source_find(KEY_FROM_STDIN, s);

        if (found)
                status = key_read(k, s, buf, KEY_ROOM, u->o.key_ms, u->o.leftover_ok);
        if (found && status == KEY_NONE && !u->o.key_given && s->from == KEY_FROM_STDIN) {
                found = key_source_find(KEY_FROM_STDIN + 1, s);
                if (found)
                        status = key_read(k, s, buf, KEY_ROOM, u->o.key_ms, u->o.leftover_ok);
        }
        if (!found)
                fail(u, STATUS_SPEC, "no key: pipe it into stdin (docker run -i), or put a FIFO, "
                     "socket or file at " KEY_PATH);
        return status;
}

static void read_key(struct unseal *u, uint8_t *buf)
{
        struct key_source *s = &u->o.key;
        struct key k = { 0 };
        enum key_status status = find_key(u, &k, buf);

        if (status != KEY_OK)
                fail(u, status == KEY_LATE || (status == KEY_SYSTEM && k.error != ENOENT)
                                ? STATUS_AGAIN : STATUS_SPEC,
                     "the key from %s: %s%s%s", s->name ? s->name : key_from_str(s->from),
                     key_status_str(status), k.error ? ": " : "",
                     k.error ? strerror(k.error) : "");
        if (s->from == KEY_FROM_ENV)
                log_line(LOG_WARN, "the key came in the variable %s: the engine keeps it, and "
                         "gives it to everyone it execs; prefer stdin", s->name);
        else if (k.remains)
                log_line(LOG_WARN, "the key stays readable at %s: whoever reads it and %s has "
                         "the secrets", s->name, sealed_name(u));
        else if (k.on_disk)
                log_line(LOG_WARN, "the key lay on a disk at %s, which may keep its blocks; a "
                         "tmpfs would not", s->name);
        environ_wipe(environ, ENVIRON_KEY); /* should it be there as well */
        u->sealed.key = buf;
        u->sealed.key_len = k.len;
}

static void read_all(struct unseal *u)
{
        size_t len = read_sealed(u);
        const size_t vars = SESSION_VARS + VARS_MAX + 1;
        uint8_t *key;

        u->text_cap = len + 1 < VARS_TEXT + 1 ? len + 1 : VARS_TEXT + 1;
        /* The sum of what is taken below; each may be rounded up by 16. */
        open_arena(u, &u->arena, len + KEY_ROOM + u->text_cap + sizeof(*u->vars) +
                   sizeof(*u->search) + sizeof(*u->mask) + SESSION_CHUNK +
                   vars * sizeof(char *) + 16UL * 16);
        u->sealed.buf = take(u, &u->arena, len);
        u->sealed.len = len;
        memcpy(u->sealed.buf, sealed_bytes, len);
        key = take(u, &u->arena, KEY_ROOM);
        u->text = take(u, &u->arena, u->text_cap);
        u->vars = take(u, &u->arena, sizeof(*u->vars));
        u->search = take(u, &u->arena, sizeof(*u->search));
        u->mask = take(u, &u->arena, sizeof(*u->mask));
        u->session.chunk = take(u, &u->arena, SESSION_CHUNK);
        u->envp = take(u, &u->arena, vars * sizeof(char *));
        read_key(u, key);
}

/* --- open --------------------------------------------------------------------------------- */

/* Of those that the session sees, the first name after @last in the order of bytes. */
static const struct var *next_seen(const struct unseal *u, const struct var *last)
{
        const struct vars *v = u->vars;
        const struct var *best = NULL;

        for (size_t i = 0; i < v->count; i++) {
                const struct var *e = &v->list[i];

                if ((last && strcmp(v->text + e->at, v->text + last->at) <= 0) ||
                    (best && strcmp(v->text + e->at, v->text + best->at) >= 0) ||
                    unseal_lists(u->o.withhold, vars_name(v, e), e->name_len))
                        continue;
                best = e;
        }
        return best;
}

/*
 * PBKDF2 over SHA-256 of `NAME=VALUE` NUL …, sorted. Whoever finds it in a cache can only
 * guess all values together, and each guess takes HASH_ROUNDS. What only the proxy gets is
 * left out: setup can't have made anything of it, and such tokens change by the hour.
 */
static void hash_values(struct unseal *u)
{
        static const char salt[] = "airlock cached state\0\0\0\1";
        struct wr hex = wr_of(u->hash, sizeof(u->hash));
        const struct var *e = NULL;
        br_sha256_context c;
        br_hmac_key_context key;
        br_hmac_context mac;
        uint8_t all[32], step[32];

        br_sha256_init(&c);
        while ((e = next_seen(u, e)))
                br_sha256_update(&c, u->text + e->at, e->name_len + 1UL + e->value_len + 1);
        br_sha256_out(&c, all);
        br_hmac_key_init(&key, &br_sha256_vtable, all, sizeof(all));
        br_hmac_init(&mac, &key, 0);
        br_hmac_update(&mac, salt, sizeof(salt) - 1);
        br_hmac_out(&mac, step);
        memcpy(all, step, sizeof(all));
        for (unsigned n = 1; n < HASH_ROUNDS; n++) {
                br_hmac_init(&mac, &key, 0);
                br_hmac_update(&mac, step, sizeof(step));
                br_hmac_out(&mac, step);
                for (size_t i = 0; i < sizeof(all); i++)
                        all[i] ^= step[i];
        }
        for (size_t i = 0; i < sizeof(all); i++)
                wr_fmt(&hex, "%x%x", all[i] >> 4, all[i] & 15);
        wr_cstr(&hex);
}

/* On the arena's stack. Hostile bytes are parsed here, with no system call but the last. */
static void open_in_arena(void *arg)
{
        static const uint16_t calls[] = { SYS_exit, SYS_exit_group };
        struct unseal *u = arg;
        struct sealed *s = &u->sealed;

        u->confined = !filter_allow(calls, COUNT(calls));
        if (!u->confined)
                return;
        sealed_open(s);
        explicit_bzero((void *)(uintptr_t)s->key, KEY_ROOM);
        if (s->status != SEALED_OK)
                return;
        u->vars_status = vars_parse(u->vars, s->plain, s->plain_len, u->text, u->text_cap);
        if (u->vars_status != VARS_OK)
                u->error_line = vars_line(s->plain, u->vars->error_at);
        explicit_bzero(s->plain, s->plain_len);
        if (u->o.hash && u->vars_status == VARS_OK)
                hash_values(u);
}

static void open_all(struct unseal *u)
{
        char why[600];
        struct wr w = wr_of(why, sizeof(why) - 1);
        int r = arena_call(&u->arena, open_in_arena, u);

        if (r < 0 || !u->confined)
                fail(u, STATUS_AGAIN, "can't open secrets in a process of its own: %s",
                     r < 0 ? strerror(-r) : "no seccomp");
        if (u->sealed.status != SEALED_OK) {
                sealed_explain(&u->sealed, &w);
                fail(u, STATUS_SPEC, "%s: %s", sealed_name(u), wr_cstr(&w));
        }
        if (u->vars_status == VARS_OK)
                return;
        /* Of a text that is none of ours to show, the number of the line, and a name at most. */
        if (u->vars_status == VARS_REFUSED || u->vars_status == VARS_TWICE ||
            u->vars_status == VARS_NUL) {
                const struct var *e = &u->vars->list[u->vars->count];

                wr_fmt(&w, " (%.*s)", (int)e->name_len, vars_name(u->vars, e));
        }
        fail(u, STATUS_SPEC, "%s, opened: line %u: %s%s", sealed_name(u), u->error_line,
             vars_status_str(u->vars_status), wr_cstr(&w));
}

/* --- check -------------------------------------------------------------------------------- */

static void check_list(struct unseal *u, const char *list, const char *what)
{
        const char *name;

        for (size_t len; (len = unseal_next(&list, &name));) {
                if (!vars_find(u->vars, name, len))
                        fail(u, STATUS_SPEC, "%s: no %.*s in it, which %s", sealed_name(u),
                             (int)len, name, what);
        }
}

static void check_names(struct unseal *u)
{
        for (size_t i = 0; i < u->vars->count; i++) {
                const struct var *e = &u->vars->list[i];
                const char *name = vars_name(u->vars, e);

                if (u->o.names && !unseal_lists(u->o.names, name, e->name_len))
                        fail(u, STATUS_SPEC, "%s: %.*s is not in secrets.names", sealed_name(u),
                             (int)e->name_len, name);
                if (e->name_len + e->value_len + 2 > EXEC_STRING &&
                    !unseal_lists(u->o.withhold, name, e->name_len))
                        fail(u, STATUS_SPEC, "%s: %.*s is longer than the 128 KiB that a variable "
                             "may have", sealed_name(u), (int)e->name_len, name);
        }
        check_list(u, u->o.inject, "a rule injects");
}

/* Needles take lists; how many there may be is bounded by what the values look like. */
static size_t needle_room(const struct vars *v)
{
        size_t n = 0;

        for (size_t i = 0; i < v->count; i++) {
                const struct var *e = &v->list[i];
                const char *value = vars_value(v, e);

                n += 80 + e->value_len / 20;
                for (size_t c = 0; c < e->value_len; c++)
                        n += value[c] == '\n';
        }
        return n < NEEDLE_MAX_COUNT ? n : NEEDLE_MAX_COUNT;
}

static void make_search(struct unseal *u)
{
        size_t room = needle_room(u->vars);
        const struct vars *v = u->vars;
        struct needle *list;

        open_arena(u, &u->list, room * sizeof(*list) + 16);
        list = take(u, &u->list, room * sizeof(*list));
        needles_init(&u->needles, u->text, list, room);
        for (uint16_t i = 0; i < v->count; i++) {
                const struct var *e = &v->list[i];

                if (!needles_add(&u->needles, i, e->at + e->name_len + 1, e->value_len) &&
                    e->value_len)
                        log_line(LOG_WARN, "secret %.*s is too short or too common to be told from "
                                 "other text: it is neither masked nor searched for",
                                 (int)e->name_len, vars_name(v, e));
        }
        if (u->needles.full)
                fail(u, STATUS_SPEC, "%s: too many secrets, or lines of secrets, to be masked and "
                     "searched for", sealed_name(u));
        room = search_room(&u->needles);
        open_arena(u, &u->index, room + 16);
        search_init(u->search, &u->needles, take(u, &u->index, room));
        masker_init(u->mask, u->search);
}

void unseal_open(struct unseal *u)
{
        read_all(u);
        open_all(u);
        check_names(u);
        make_search(u);
}
