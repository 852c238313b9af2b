/*
 * secrets/secret_main.c - `airlock secret`: keys made, files sealed and opened.
 *
 * Keys and plaintext are read into an arena, worked on there on a stack of its own, and
 * written out of it; the arena is wiped before we end. A whole file is in memory at a time,
 * so nothing is released that is not authenticated to its end.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/utf8.h"
#include "secrets/arena.h"
#include "secrets/bech32.h"
#include "secrets/keysource.h"
#include "secrets/sealed.h"
#include "secrets/secret_io.h"
#include "secrets/secret_main.h"
#include "secrets/secret_options.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#define PLAIN_MAX (1024UL * 1024)
#define RECIPIENTS 256UL
#define HEADER_MAX (AGE_HEADER_LEN + RECIPIENTS * AGE_STANZA_LEN)
/* A full file for some hundred recipients, armored with CRLF. */
#define FILE_MAX (1600UL * 1024)
#define TEXT_MAX (64UL * 1024) /* of a file of recipients */
#define KEY_TEXT 80UL           /* AGE-SECRET-KEY-1… takes 74 */

static const char too_long[] = "more than 1 MiB, which is all we take: `age` does large files";

static void open_arena(struct arena *a, size_t room)
{
        int r = arena_open(a, room, ARENA_HIDDEN, ARENA_ORDINARY);

        if (r < 0)
                die_errno(STATUS_AGAIN, -r, "get memory");
}

static void call(const struct arena *a, void (*fn)(void *arg), void *arg)
{
        int r = arena_call(a, fn, arg);

        if (r < 0)
                die_errno(STATUS_AGAIN, -r, "run in the arena");
}

/* --- keygen ---------------------------------------------------------------------------- */

struct pair {
        uint8_t identity[AGE_KEY_LEN];
        uint8_t recipient[AGE_KEY_LEN];
        char time[24];
        char public[KEY_TEXT];
        char file[3 * KEY_TEXT]; /* what the identity file holds */
        size_t file_len;
};

static void make_pair(void *arg)
{
        struct pair *p = arg;
        struct wr public = wr_of(p->public, sizeof(p->public) - 1);
        struct wr file = wr_of(p->file, sizeof(p->file));

        age_recipient(p->identity, p->recipient);
        bech32_put(&public, RECIPIENT_PREFIX, p->recipient);
        wr_cstr(&public);
        wr_fmt(&file, "# created: %s\n# public key: %s\n", p->time, p->public);
        bech32_put(&file, "AGE-SECRET-KEY-", p->identity);
        wr_char(&file, '\n');
        p->file_len = file.len;
}

static void put_two(struct wr *w, unsigned n, char behind)
{
        wr_char(w, (char)('0' + n / 10 % 10));
        wr_char(w, (char)('0' + n % 10));
        wr_char(w, behind);
}

/*
 * RFC 3339, UTC. gmtime_r(3) would bring the reader of time zones with it. The year starts
 * in March, so that the odd day is its last.
 */
static void put_time(struct wr *w, uint64_t seconds)
{
        unsigned days = (unsigned)(seconds / 86400) + 719468; /* since 0000-03-01 */
        unsigned era = days / 146097, in_era = days % 146097;
        unsigned year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
        unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
        unsigned month = (5 * in_year + 2) / 153;
        unsigned day = in_year - (153 * month + 2) / 5 + 1;

        month = month < 10 ? month + 3 : month - 9;
        wr_u64(w, (uint64_t)era * 400 + year + (month <= 2));
        wr_char(w, '-');
        put_two(w, month, '-');
        put_two(w, day, 'T');
        put_two(w, (unsigned)(seconds / 3600 % 24), ':');
        put_two(w, (unsigned)(seconds / 60 % 60), ':');
        put_two(w, (unsigned)(seconds % 60), 'Z');
        wr_cstr(w);
}

static int secret_keygen(const struct secret_options *o)
{
        char said[KEY_TEXT + 16];
        struct wr w = wr_of(said, sizeof(said));
        struct arena a;
        struct pair *p;
        struct wr stamp;

        open_arena(&a, sizeof(*p));
        p = arena_take(&a, sizeof(*p));
        stamp = wr_of(p->time, sizeof(p->time) - 1);
        put_time(&stamp, (uint64_t)time(NULL));
        secret_random(p->identity, sizeof(p->identity));
        call(&a, make_pair, p);
        wr_fmt(&w, "Public key: %s\n", p->public);
        secret_write(o->out, p->file, p->file_len, 0600, true);
        arena_close(&a);
        /* The recipient, where whoever asked can copy it: as age-keygen does. */
        if (!secret_to_terminal(o->out) && write_full(STDERR_FILENO, said, w.len) < 0)
                return STATUS_OUTPUT;
        return STATUS_OK;
}

/* --- encrypt --------------------------------------------------------------------------- */

static uint8_t recipients[RECIPIENTS][AGE_KEY_LEN] LARGE_BUFFER;
static size_t recipient_count;

/* All keys of one text; @name and the line say where a bad one stands. */
static void add_recipients(const char *name, const void *text, size_t len, bool is_file)
{
        struct rd r = rd_of(text, len);
        size_t before = recipient_count;
        unsigned line = 0;

        for (;;) {
                uint8_t key[AGE_KEY_LEN];
                enum identity_status s = recipient_next(&r, &line, key);

                if (s == IDENTITY_END && recipient_count > before)
                        return;
                if (s != IDENTITY_OK && is_file)
                        die(STATUS_SPEC, "%s, line %u: %s", name, line, identity_status_str(s));
                if (s == IDENTITY_SWAPPED) /* not shown: it is a secret */
                        die(STATUS_USAGE, "-r: %s", identity_status_str(s));
                if (s != IDENTITY_OK)
                        die(STATUS_USAGE, "-r %s: %s", name, identity_status_str(s));
                if (recipient_count == RECIPIENTS)
                        die(STATUS_SPEC, "more than %zu recipients", RECIPIENTS);
                memcpy(recipients[recipient_count++], key, AGE_KEY_LEN);
        }
}

static void read_recipients(const struct secret_options *o)
{
        static char text[TEXT_MAX] LARGE_BUFFER;

        for (size_t i = 0; i < o->key_count; i++) {
                const char *value = o->keys[i].value;
                size_t len;

                if (o->keys[i].kind == SECRET_RECIPIENT) {
                        add_recipients(value, value, strlen(value), false);
                        continue;
                }
                len = secret_read(value, text, sizeof(text), "too long for recipients");
                add_recipients(value, text, len, true);
        }
}

struct seal {
        uint8_t file_key[AGE_FILE_KEY_LEN];
        uint8_t nonce[AGE_NONCE_LEN];
        uint8_t ephemeral[RECIPIENTS][AGE_KEY_LEN];
        struct age age;
        enum age_status status;
        const uint8_t *plain;
        size_t plain_len;
        struct wr out; /* not secret: outside the arena */
};

static void seal_payload(struct seal *s)
{
        uint8_t *at = (uint8_t *)s->out.buf + s->out.len;
        size_t done = 0;

        do {
                size_t n = s->plain_len - done > AGE_CHUNK ? AGE_CHUNK : s->plain_len - done;

                memcpy(at, s->plain + done, n);
                done += n;
                age_seal(&s->age, at, n, done == s->plain_len);
                at += n + AGE_TAG_LEN;
        } while (done < s->plain_len);
        s->out.len += AGE_SEALED_LEN(s->plain_len);
}

static void seal_all(void *arg)
{
        struct seal *s = arg;

        s->status = AGE_OK;
        age_put_start(&s->out);
        for (size_t i = 0; i < recipient_count && s->status == AGE_OK; i++)
                s->status = age_put_stanza(&s->out, recipients[i], s->ephemeral[i], s->file_key);
        if (s->status != AGE_OK)
                return;
        age_put_end(&s->age, &s->out, s->file_key, s->nonce);
        seal_payload(s);
}

static int secret_encrypt(const struct secret_options *o)
{
        static char sealed[HEADER_MAX + AGE_SEALED_LEN(PLAIN_MAX)] LARGE_BUFFER;
        static char text[ARMOR_LEN(sizeof(sealed))] LARGE_BUFFER;
        struct wr armor = wr_of(text, sizeof(text));
        struct arena a;
        struct seal *s;
        uint8_t *plain;

        read_recipients(o);
        if (secret_to_terminal(o->out) && !o->armor)
                die(STATUS_USAGE, "binary output to a terminal: -a writes text, -o writes a file");
        open_arena(&a, sizeof(*s) + 16 + PLAIN_MAX);
        s = arena_take(&a, sizeof(*s));
        plain = arena_take(&a, PLAIN_MAX);
        s->plain = plain;
        s->plain_len = secret_read(o->in, plain, PLAIN_MAX, too_long);
        s->out = wr_of(sealed, sizeof(sealed));
        secret_random(s->file_key, sizeof(s->file_key));
        secret_random(s->nonce, sizeof(s->nonce));
        secret_random(s->ephemeral, recipient_count * AGE_KEY_LEN);
        call(&a, seal_all, s);
        if (s->status != AGE_OK)
                die(STATUS_SPEC, "a recipient is no key: %s", age_status_str(s->status));
        if (o->armor) {
                armor_put(&armor, (const uint8_t *)sealed, s->out.len);
                secret_write(o->out, text, armor.len, 0666, false);
        } else {
                secret_write(o->out, sealed, s->out.len, 0666, false);
        }
        arena_close(&a);
        return STATUS_OK;
}

/* --- decrypt --------------------------------------------------------------------------- */

/* A key that is typed or pasted: the terminal must not show it. Returns the length. */
static size_t read_typed_key(char *buf, size_t cap)
{
        struct key_source s = { KEY_FROM_STDIN, STDIN_FILENO, "stdin" };
        struct key k;
        enum key_status status = key_read(&k, &s, buf, cap, -1, true);

        if (status == KEY_SYSTEM)
                die_errno(STATUS_SPEC, k.error, "read the key from the terminal");
        if (status != KEY_OK)
                die(STATUS_SPEC, "stdin: %s", key_status_str(status));
        return k.len;
}

/* Identity files one behind the other, or the file key, into @buf. Returns the length. */
static size_t read_keys(const struct secret_options *o, char *buf, size_t cap)
{
        size_t len = 0;

        for (size_t i = 0; i < o->key_count + !!o->file_key; i++) {
                const char *path = i < o->key_count ? o->keys[i].value : o->file_key;

                if (!strcmp(path, "-") && isatty(STDIN_FILENO))
                        len += read_typed_key(buf + len, cap - len - 1);
                else
                        len += secret_read(path, buf + len, cap - len - 1, "too long for keys");
                /* The next file starts on a line of its own. */
                if (i + 1 < o->key_count)
                        buf[len++] = '\n';
        }
        return len;
}

/* Whether a terminal would take these bytes for anything but text. */
static bool is_text(const uint8_t *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if ((bytes[i] < 0x20 && bytes[i] != '\n' && bytes[i] != '\t' &&
                     bytes[i] != '\r') || bytes[i] == 0x7f)
                        return false;
        return utf8_prefix((const char *)bytes, len) == len;
}

static void explain(const struct sealed *s, const char *file)
{
        char why[LOG_LINE / 4];
        struct wr w = wr_of(why, sizeof(why) - 1);

        sealed_explain(s, &w);
        die(STATUS_SPEC, "%s: %s", file, wr_cstr(&w));
}

static int secret_decrypt(const struct secret_options *o)
{
        static char file[FILE_MAX] LARGE_BUFFER;
        const char *name = o->in && strcmp(o->in, "-") != 0 ? o->in : "stdin";
        struct sealed *s;
        struct arena a;
        char *key;
        size_t len;

        if (!o->in && isatty(STDIN_FILENO))
                die(STATUS_USAGE, "which file? a sealed one from a terminal needs a `-`");
        len = secret_read(o->in, file, sizeof(file), too_long);
        open_arena(&a, sizeof(*s) + KEY_MAX + len + 48);
        s = arena_take(&a, sizeof(*s));
        key = arena_take(&a, KEY_MAX);
        s->buf = arena_take(&a, len);
        memcpy(s->buf, file, len);
        s->len = len;
        s->key = key;
        s->key_len = read_keys(o, key, KEY_MAX);
        s->file_key_only = o->file_key;
        call(&a, sealed_open, s);
        if (s->status != SEALED_OK)
                explain(s, name);
        if (s->plain_len > PLAIN_MAX)
                die(STATUS_SPEC, "%s: %s", name, too_long);
        if (secret_to_terminal(o->out) && !is_text(s->plain, s->plain_len))
                die(STATUS_USAGE, "binary output to a terminal: -o writes a file, -o - insists");
        secret_write(o->out, s->plain, s->plain_len, 0600, false);
        arena_close(&a);
        return STATUS_OK;
}

int secret_main(int argc, char **argv)
{
        static const struct rlimit none = { 0, 0 };
        struct secret_options o;
        int r;

        log_role("secret");
        r = secret_options_parse(&o, argc, argv);
        if (r)
                return r < 0 ? (int)STATUS_OK : r;
        /* Neither a core nor a neighbour of the same user gets to see our memory. */
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prlimit(0, RLIMIT_CORE, &none, NULL) < 0)
                die_errno(STATUS_AGAIN, errno, "keep out of core files");
        switch (o.command) {
        case SECRET_KEYGEN:
                return secret_keygen(&o);
        case SECRET_ENCRYPT:
                return secret_encrypt(&o);
        case SECRET_DECRYPT:
                return secret_decrypt(&o);
        }
        return STATUS_USAGE;
}
