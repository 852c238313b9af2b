/* init/tar.c - ustar heads (POSIX 1003.1, pax) in both directions. */
#include "init/tar.h"

#include <string.h>

#define XATTR "SCHILY.xattr."

/* Where the fields of a head begin, and how long they are. */
enum {
        NAME = 0, NAME_LEN = 100, MODE = 100, UID = 108, GID = 116, SIZE = 124, MTIME = 136,
        SUM = 148, TYPE = 156, LINK = 157, MAGIC = 257, PREFIX = 345, PREFIX_LEN = 155,
};

static const char magic[8] = "ustar\0" "00";

#define ID_MAX 07777777U       /* seven octal digits */
#define SIZE_MAX_OCTAL 077777777777U /* eleven */

const char *tar_status_str(enum tar_status s)
{
        switch (s) {
        case TAR_OK:
                return "ok";
        case TAR_MORE:
                return "cut short";
        case TAR_END:
                return "the end";
        case TAR_MALFORMED:
                return "a malformed head";
        case TAR_FOREIGN:
                return "written by another program";
        case TAR_PATHS:
                return "a name that leads out of the tree";
        }
        return "";
}

/* "a/b" comes before "a-b", though '-' is less than '/'. */
static int rank(char c)
{
        return !c ? 0 : c == '/' ? 1 : 1 + (unsigned char)c;
}

int tar_path_order(const char *a, const char *b)
{
        while (*a && *a == *b) {
                a++;
                b++;
        }
        return rank(*a) - rank(*b);
}

/*
 * The sum of a head's bytes, with spaces where the sum itself stands. Eight bytes at a time,
 * in lanes of 16 bits: a third of a tree of small files is heads, and all are read twice.
 */
static unsigned block_sum(const void *block)
{
        const uint64_t low = UINT64_C(0x00ff00ff00ff00ff);
        uint8_t b[TAR_BLOCK];
        uint64_t word, lanes = 0;

        memcpy(b, block, sizeof(b));
        memset(b + SUM, ' ', 8);
        for (size_t i = 0; i < sizeof(b); i += sizeof(word)) {
                memcpy(&word, b + i, sizeof(word));
                lanes += (word & low) + (word >> 8 & low);
        }
        return (unsigned)((lanes & 0xffff) + (lanes >> 16 & 0xffff) + (lanes >> 32 & 0xffff) +
                          (lanes >> 48));
}

/* --- writing ---------------------------------------------------------------------------- */

static void put_octal(char *field, size_t digits, uint64_t n)
{
        for (size_t i = digits; i; i--, n >>= 3)
                field[i - 1] = (char)('0' + (n & 7));
}

static size_t digits_of(size_t n)
{
        size_t d = 1;

        while (n >= 10) {
                n /= 10;
                d++;
        }
        return d;
}

/* "LEN KEY=VALUE\n", where LEN counts itself. */
static void put_record(struct wr *w, const char *prefix, const char *key, const void *value,
                       size_t len)
{
        size_t rest = strlen(prefix) + strlen(key) + len + 3;
        size_t total = rest + digits_of(rest);

        if (digits_of(total) > digits_of(rest))
                total = rest + digits_of(total);
        wr_u64(w, total);
        wr_fmt(w, " %s%s=", prefix, key);
        wr_bytes(w, value, len);
        wr_char(w, '\n');
}

static void put_text(struct wr *w, const char *key, const char *value)
{
        put_record(w, "", key, value, strlen(value));
}

static void put_number(struct wr *w, const char *key, uint64_t n)
{
        char text[24];
        struct wr t = wr_of(text, sizeof(text) - 1);

        wr_u64(&t, n);
        put_text(w, key, wr_cstr(&t));
}

/* Seconds and nine digits; a time before 1970 is a negative number as a whole. */
static void put_time_record(struct wr *w, int64_t s, uint32_t ns)
{
        char text[40];
        struct wr t = wr_of(text, sizeof(text) - 1);
        bool negative = s < 0;
        uint64_t whole = negative ? 0 - (uint64_t)s : (uint64_t)s;

        if (negative && ns) {
                whole--;
                ns = 1000000000 - ns;
        }
        if (negative)
                wr_char(&t, '-');
        wr_u64(&t, whole);
        if (ns) {
                wr_char(&t, '.');
                for (uint32_t unit = 100000000; unit; unit /= 10)
                        wr_char(&t, (char)('0' + ns / unit % 10));
        }
        put_text(w, "mtime", wr_cstr(&t));
}

void tar_put_xattr(struct wr *w, const char *name, const void *value, size_t len)
{
        put_record(w, XATTR, name, value, len);
}

void tar_put_end(struct wr *w)
{
        static const char none[2 * TAR_BLOCK];

        wr_bytes(w, none, sizeof(none));
}

static void put_padding(struct wr *w, size_t from)
{
        static const char none[TAR_BLOCK];

        wr_bytes(w, none, tar_pad(w->len - from));
}

static char type_flag(enum tar_type t)
{
        switch (t) {
        case TAR_FILE:
                return '0';
        case TAR_HARDLINK:
                return '1';
        case TAR_SYMLINK:
                return '2';
        case TAR_DIR:
                return '5';
        case TAR_FIFO:
                return '6';
        }
        return '?';
}

static void copy_field(char *field, size_t cap, const char *text)
{
        size_t len = strlen(text);

        memcpy(field, text, len < cap ? len : cap);
}

/* One head block. What does not fit is cut: the records before it have the whole. */
static void put_block(struct wr *w, const char *path, const struct tar_entry *e, char type)
{
        char b[TAR_BLOCK] = { 0 };

        copy_field(b + NAME, NAME_LEN, path);
        put_octal(b + MODE, 7, e->mode);
        put_octal(b + UID, 7, e->uid <= ID_MAX ? e->uid : 0);
        put_octal(b + GID, 7, e->gid <= ID_MAX ? e->gid : 0);
        put_octal(b + SIZE, 11, e->size <= SIZE_MAX_OCTAL ? e->size : 0);
        put_octal(b + MTIME, 11, e->mtime >= 0 && e->mtime <= (int64_t)SIZE_MAX_OCTAL
                                         ? (uint64_t)e->mtime : 0);
        b[TYPE] = type;
        copy_field(b + LINK, NAME_LEN, e->link);
        memcpy(b + MAGIC, magic, sizeof(magic));
        put_octal(b + SUM, 6, block_sum(b));
        b[SUM + 7] = ' ';
        wr_bytes(w, b, sizeof(b));
}

static bool needs_records(const struct tar_entry *e, size_t path_len)
{
        return path_len > NAME_LEN || strlen(e->link) > NAME_LEN || e->mtime_ns ||
               e->mtime < 0 || e->mtime > (int64_t)SIZE_MAX_OCTAL || e->uid > ID_MAX ||
               e->gid > ID_MAX || e->size > SIZE_MAX_OCTAL || e->sparse || e->xattrs_len;
}

static void put_records(struct wr *w, const struct tar_entry *e, const char *path)
{
        if (e->sparse) {
                put_text(w, "GNU.sparse.major", "1");
                put_text(w, "GNU.sparse.minor", "0");
                put_text(w, "GNU.sparse.name", path);
                put_number(w, "GNU.sparse.realsize", e->real_size);
        } else if (strlen(path) > NAME_LEN) {
                put_text(w, "path", path);
        }
        if (strlen(e->link) > NAME_LEN)
                put_text(w, "linkpath", e->link);
        if (e->size > SIZE_MAX_OCTAL)
                put_number(w, "size", e->size);
        if (e->uid > ID_MAX)
                put_number(w, "uid", e->uid);
        if (e->gid > ID_MAX)
                put_number(w, "gid", e->gid);
        if (e->mtime_ns || e->mtime < 0 || e->mtime > (int64_t)SIZE_MAX_OCTAL)
                put_time_record(w, e->mtime, e->mtime_ns);
        wr_bytes(w, e->xattrs, e->xattrs_len);
}

void tar_put(struct wr *w, const struct tar_entry *e)
{
        static const struct tar_entry plain = { .path = "", .link = "", .mode = 0644 };
        char path[TAR_PATH + 3];
        struct wr p = wr_of(path, sizeof(path) - 1);
        struct tar_entry head = plain;
        size_t start, records;

        wr_str(&p, e->path[0] ? e->path : ".");
        if (e->type == TAR_DIR)
                wr_char(&p, '/');
        wr_cstr(&p);
        if (needs_records(e, p.len)) {
                /* The records' own head comes first, and says how long they are. */
                start = w->len;
                put_block(w, "PaxHeaders", &head, 'x');
                records = w->len;
                put_records(w, e, path);
                if (w->full || w->len - records > TAR_RECORDS) {
                        w->full = true;
                        return;
                }
                head.size = w->len - records;
                records = w->len;
                w->len = start;
                put_block(w, "PaxHeaders", &head, 'x');
                w->len = records;
                put_padding(w, start);
        }
        put_block(w, path, e, type_flag(e->type));
}

/* --- reading ---------------------------------------------------------------------------- */

/* Octal digits to the field's end, or to the NUL that ends it. */
static bool get_octal(const uint8_t *field, size_t digits, uint64_t *n)
{
        *n = 0;
        for (size_t i = 0; i < digits; i++) {
                if (field[i] < '0' || field[i] > '7')
                        return false;
                *n = *n << 3 | (uint64_t)(field[i] - '0');
        }
        return field[digits] == '\0';
}

static bool get_decimal(const uint8_t *at, size_t len, uint64_t max, uint64_t *n)
{
        *n = 0;
        if (!len)
                return false;
        for (size_t i = 0; i < len; i++) {
                uint64_t d = (uint64_t)at[i] - '0';

                if (d > 9 || *n > (max - d) / 10)
                        return false;
                *n = *n * 10 + d;
        }
        return true;
}

static bool get_time(const uint8_t *at, size_t len, struct tar_entry *e)
{
        bool negative = len && at[0] == '-';
        const uint8_t *dot;
        uint64_t whole, ns = 0;

        if (negative) {
                at++;
                len--;
        }
        dot = memchr(at, '.', len);
        if (!get_decimal(at, dot ? (size_t)(dot - at) : len, INT64_MAX - 1, &whole))
                return false;
        if (dot && (at + len - dot != 10 || !get_decimal(dot + 1, 9, 999999999, &ns)))
                return false;
        e->mtime = negative ? -(int64_t)whole : (int64_t)whole;
        if (negative && ns) {
                e->mtime--;
                ns = 1000000000 - ns;
        }
        e->mtime_ns = (uint32_t)ns;
        return true;
}

struct record {
        const uint8_t *key, *value;
        size_t key_len, value_len;
        const uint8_t *start;
};

static bool next_record(struct rd *r, struct record *out)
{
        struct rd line;
        const uint8_t *equals;
        uint64_t total;
        size_t digits = 0;

        while (digits < rd_left(r) && digits < 7 && r->at[digits] != ' ')
                digits++;
        if (!get_decimal(r->at, digits, TAR_RECORDS, &total) || total < digits + 4 ||
            r->at[0] == '0')
                return false;
        line = rd_sub(r, (size_t)total);
        if (r->bad || line.at[total - 1] != '\n' || line.at[digits] != ' ')
                return false;
        out->start = line.at;
        out->key = line.at + digits + 1;
        equals = memchr(out->key, '=', (size_t)total - digits - 2);
        if (!equals || equals == out->key)
                return false;
        out->key_len = (size_t)(equals - out->key);
        out->value = equals + 1;
        out->value_len = (size_t)total - digits - 3 - out->key_len;
        return true;
}

static bool key_is(const struct record *r, const char *key)
{
        return r->key_len == strlen(key) && !memcmp(r->key, key, r->key_len);
}

static bool is_xattr(const struct record *r)
{
        size_t prefix = sizeof(XATTR) - 1;

        return r->key_len > prefix && r->key_len - prefix < 256 &&
               !memcmp(r->key, XATTR, prefix) && !memchr(r->key, '\0', r->key_len);
}

static bool take_name(const struct record *r, char *name)
{
        if (!r->value_len || r->value_len > TAR_PATH + 1 || memchr(r->value, '\0', r->value_len))
                return false;
        memcpy(name, r->value, r->value_len);
        name[r->value_len] = '\0';
        return true;
}

/* What the records said, over what the head says. */
struct records {
        bool path, link, size, uid, gid, time, sparse_name, sparse_size;
        bool major, minor;
};

static enum tar_status take_record(const struct record *r, struct tar_entry *e,
                                   struct tar_names *n, struct records *seen)
{
        struct { const char *key; bool *seen; } keys[] = {
                { "path", &seen->path }, { "linkpath", &seen->link }, { "size", &seen->size },
                { "uid", &seen->uid }, { "gid", &seen->gid }, { "mtime", &seen->time },
                { "GNU.sparse.name", &seen->sparse_name },
                { "GNU.sparse.realsize", &seen->sparse_size },
                { "GNU.sparse.major", &seen->major }, { "GNU.sparse.minor", &seen->minor },
        };
        uint64_t number = 0;
        bool ok = false;
        size_t i = 0;

        while (i < COUNT(keys) && !key_is(r, keys[i].key))
                i++;
        if (i == COUNT(keys) || *keys[i].seen)
                return TAR_FOREIGN;
        *keys[i].seen = true;
        switch (i) {
        case 0:
        case 6:
                ok = take_name(r, n->path);
                break;
        case 1:
                ok = take_name(r, n->link);
                break;
        case 2:
                ok = get_decimal(r->value, r->value_len, INT64_MAX, &e->size);
                break;
        case 3:
        case 4:
                ok = get_decimal(r->value, r->value_len, UINT32_MAX, &number);
                *(i == 3 ? &e->uid : &e->gid) = (uint32_t)number;
                break;
        case 5:
                ok = get_time(r->value, r->value_len, e);
                break;
        case 7:
                ok = get_decimal(r->value, r->value_len, INT64_MAX, &e->real_size);
                break;
        case 8:
        case 9:
                ok = r->value_len == 1 && r->value[0] == (i == 8 ? '1' : '0');
                break;
        default:
                break;
        }
        return ok ? TAR_OK : TAR_MALFORMED;
}

/* The attributes are one run at the end, as we write them. */
static enum tar_status parse_records(struct rd r, struct tar_entry *e, struct tar_names *n,
                                     struct records *seen)
{
        struct record rec;

        while (rd_left(&r)) {
                enum tar_status s;

                if (!next_record(&r, &rec))
                        return TAR_MALFORMED;
                if (is_xattr(&rec)) {
                        if (!e->xattrs)
                                e->xattrs = rec.start;
                        e->xattrs_len = (size_t)(r.at - e->xattrs);
                        continue;
                }
                if (e->xattrs)
                        return TAR_FOREIGN;
                s = take_record(&rec, e, n, seen);
                if (s != TAR_OK)
                        return s;
        }
        return TAR_OK;
}

bool tar_next_xattr(struct rd *r, struct tar_xattr *x)
{
        struct record rec;
        size_t len;

        if (!rd_left(r) || !next_record(r, &rec) || !is_xattr(&rec))
                return false;
        len = rec.key_len - (sizeof(XATTR) - 1);
        memcpy(x->name, rec.key + rec.key_len - len, len);
        x->name[len] = '\0';
        x->value = rec.value;
        x->len = rec.value_len;
        return true;
}

static bool sum_is_right(const uint8_t *b)
{
        uint64_t said;

        return get_octal(b + SUM, 6, &said) && said == block_sum(b) && b[SUM + 7] == ' ';
}

static bool is_empty(const uint8_t *b)
{
        for (size_t i = 0; i < TAR_BLOCK; i++)
                if (b[i])
                        return false;
        return true;
}

static void take_field(const uint8_t *field, char *out)
{
        size_t len = strnlen((const char *)field, NAME_LEN);

        memcpy(out, field, len);
        out[len] = '\0';
}

/* The head alone; the records' values win where there were any. */
static enum tar_status parse_block(const uint8_t *b, struct tar_entry *e, struct tar_names *n,
                                   const struct records *seen)
{
        uint64_t mode, uid, gid, size, time;
        static const char flags[] = "01256";
        const char *flag = memchr(flags, b[TYPE], sizeof(flags) - 1);

        if (!sum_is_right(b) || memcmp(b + MAGIC, magic, sizeof(magic)) != 0 ||
            !get_octal(b + MODE, 7, &mode) || mode > 07777 || !get_octal(b + UID, 7, &uid) ||
            !get_octal(b + GID, 7, &gid) || !get_octal(b + SIZE, 11, &size) ||
            !get_octal(b + MTIME, 11, &time))
                return TAR_MALFORMED;
        if (!flag || b[PREFIX])
                return TAR_FOREIGN;
        e->type = (enum tar_type)(flag - flags);
        e->mode = (uint32_t)mode;
        if (!seen->uid)
                e->uid = (uint32_t)uid;
        if (!seen->gid)
                e->gid = (uint32_t)gid;
        if (!seen->size)
                e->size = size;
        if (!seen->time)
                e->mtime = (int64_t)time;
        if (!seen->path && !seen->sparse_name)
                take_field(b + NAME, n->path);
        if (!seen->link)
                take_field(b + LINK, n->link);
        return TAR_OK;
}

/* Relative, and every component a name. */
static bool path_is_inside(const char *path)
{
        size_t len;

        for (;; path += len + 1) {
                len = strcspn(path, "/");
                if (!len || len > TAR_NAME || (path[0] == '.' && len == 1) ||
                    (path[0] == '.' && path[1] == '.' && len == 2))
                        return false;
                if (!path[len])
                        return true;
        }
}

static enum tar_status check_names(struct tar_entry *e, struct tar_names *n)
{
        size_t len = strlen(n->path);
        bool links = e->type == TAR_HARDLINK || e->type == TAR_SYMLINK;

        if (e->type == TAR_DIR) {
                if (len < 2 || n->path[len - 1] != '/')
                        return TAR_MALFORMED;
                n->path[--len] = '\0';
                if (!strcmp(n->path, "."))
                        n->path[0] = '\0';
        }
        if ((n->path[0] || e->type != TAR_DIR) &&
            (strlen(n->path) > TAR_PATH || !path_is_inside(n->path)))
                return TAR_PATHS;
        if (links != (n->link[0] != '\0') || strlen(n->link) > TAR_PATH)
                return TAR_MALFORMED;
        if (e->type == TAR_HARDLINK && !path_is_inside(n->link))
                return TAR_PATHS;
        e->path = n->path;
        e->link = n->link;
        return TAR_OK;
}

static enum tar_status check_sizes(struct tar_entry *e, const struct records *seen)
{
        int sparse = seen->sparse_name + seen->sparse_size + seen->major + seen->minor;

        if (sparse != 0 && (sparse != 4 || seen->path || e->type != TAR_FILE ||
                            e->size < TAR_BLOCK || e->real_size < 1))
                return TAR_MALFORMED;
        if ((e->type != TAR_FILE && e->size) || e->size > INT64_MAX)
                return TAR_MALFORMED;
        e->sparse = sparse == 4;
        if (!sparse)
                e->real_size = e->size;
        return TAR_OK;
}

enum tar_status tar_parse(const void *buf, size_t len, struct tar_entry *e, struct tar_names *n,
                          size_t *used)
{
        struct rd r = rd_of(buf, len);
        struct records seen = { .path = false };
        const uint8_t *b = rd_bytes(&r, TAR_BLOCK);
        enum tar_status s;
        uint64_t size;

        *e = (struct tar_entry){ .type = TAR_FILE };
        *used = 0;
        n->path[0] = n->link[0] = '\0';
        if (!b)
                return TAR_MORE;
        if (is_empty(b)) {
                b = rd_bytes(&r, TAR_BLOCK);
                if (!b)
                        return TAR_MORE;
                *used = len - rd_left(&r);
                return is_empty(b) ? TAR_END : TAR_MALFORMED;
        }
        if (b[TYPE] == 'x') {
                struct rd records;

                if (!sum_is_right(b) || !get_octal(b + SIZE, 11, &size))
                        return TAR_MALFORMED;
                if (size > TAR_RECORDS)
                        return TAR_FOREIGN;
                records = rd_sub(&r, (size_t)size);
                rd_bytes(&r, tar_pad(size));
                b = rd_bytes(&r, TAR_BLOCK);
                if (!b)
                        return TAR_MORE;
                s = parse_records(records, e, n, &seen);
                if (s != TAR_OK)
                        return s;
        }
        s = parse_block(b, e, n, &seen);
        if (s == TAR_OK)
                s = check_names(e, n);
        if (s == TAR_OK)
                s = check_sizes(e, &seen);
        if (s == TAR_OK)
                *used = len - rd_left(&r);
        return s;
}

/* --- sparse maps ------------------------------------------------------------------------ */

void tar_put_map(struct wr *w, const struct tar_extent *map, size_t count)
{
        size_t start = w->len;

        wr_fmt(w, "%zu\n", count);
        for (size_t i = 0; i < count; i++)
                wr_fmt(w, "%llu\n%llu\n", (unsigned long long)map[i].at,
                       (unsigned long long)map[i].len);
        put_padding(w, start);
}

/* A number and its newline. */
static enum tar_status map_number(struct rd *r, uint64_t *n)
{
        size_t digits = 0;

        while (digits < rd_left(r) && r->at[digits] != '\n') {
                if (++digits > 19)
                        return TAR_MALFORMED;
        }
        if (digits == rd_left(r))
                return TAR_MORE;
        if (!get_decimal(r->at, digits, INT64_MAX, n))
                return TAR_MALFORMED;
        rd_bytes(r, digits + 1);
        return TAR_OK;
}

enum tar_status tar_parse_map(const void *buf, size_t len, uint64_t size, uint64_t real_size,
                              struct tar_extent *map, size_t *count, size_t *used)
{
        struct rd r = rd_of(buf, len < size ? len : (size_t)size);
        uint64_t n = 0, end = 0, data = 0;
        enum tar_status s = map_number(&r, &n);

        if (s == TAR_OK && n > TAR_EXTENTS)
                return TAR_FOREIGN;
        for (uint64_t i = 0; s == TAR_OK && i < n; i++) {
                s = map_number(&r, &map[i].at);
                if (s == TAR_OK)
                        s = map_number(&r, &map[i].len);
                if (s != TAR_OK)
                        break;
                if (map[i].at < end || map[i].at > real_size ||
                    map[i].len > real_size - map[i].at)
                        return TAR_MALFORMED;
                end = map[i].at + map[i].len;
                data += map[i].len;
        }
        if (s == TAR_OK)
                rd_bytes(&r, tar_pad((uint64_t)(r.at - (const uint8_t *)buf)));
        if (s == TAR_MORE || (s == TAR_OK && r.bad))
                return len < size ? TAR_MORE : TAR_MALFORMED;
        if (s != TAR_OK)
                return s;
        *used = (size_t)(r.at - (const uint8_t *)buf);
        *count = (size_t)n;
        return data == size - *used ? TAR_OK : TAR_MALFORMED;
}
