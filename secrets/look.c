/* secrets/look.c - one file's bytes, and those that are packed in it. */
#include "secrets/look.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define HITS_MAX 4096 /* in one buffer: a file full of secrets need not be read on */

const char *place_str(enum place p)
{
        switch (p) {
        case PLACE_FILE:
                return "";
        case PLACE_GZIP:
                return "gzip";
        case PLACE_ZLIB:
                return "zlib";
        case PLACE_PACK:
                return "git pack";
        case PLACE_ZIP:
                return "zip";
        case PLACE_NAME:
                return "its name";
        case PLACE_LINK:
                return "its target";
        case PLACE_XATTR:
                return "an extended attribute";
        case PLACE_MEMORY:
                return "memory";
        }
        return "?";
}

static void add_finding(struct look *l, const struct needle *n, enum place place)
{
        struct finding f = { n->secret, n->encoding, (uint8_t)place };

        for (size_t i = 0; i < l->count; i++) {
                if (!memcmp(&f, &l->found[i], sizeof(f)))
                        return;
        }
        if (l->count < LOOK_FINDINGS)
                l->found[l->count++] = f;
}

void look_bytes(struct look *l, const void *bytes, size_t len, enum place place)
{
        struct hit hit;
        size_t at = 0;

        for (unsigned n = 0; n < HITS_MAX; n++) {
                if (search_next(l->search, bytes, len, at, false, &hit) != MATCH_FULL)
                        return;
                add_finding(l, &l->search->needles->list[hit.needle], place);
                at = hit.at + hit.len;
        }
}

bool look_is_late(const struct look *l)
{
        return l->deadline_ms && now_ms() > l->deadline_ms;
}

/* --- what is packed ---------------------------------------------------------------------- */

static size_t refill(struct inflate *z, const uint8_t **bytes)
{
        struct look *l = (struct look *)z;
        ssize_t n;

        do
                n = pread(l->fd, l->buf, LOOK_CHUNK, (off_t)l->at);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return 0;
        l->at += (uint64_t)n;
        *bytes = l->buf;
        return (size_t)n;
}

static bool emit(struct inflate *z, const uint8_t *out, size_t kept, size_t fresh)
{
        struct look *l = (struct look *)z;
        size_t overlap = kept < NEEDLE_TEXT_MAX ? kept : NEEDLE_TEXT_MAX;

        look_bytes(l, out + kept - overlap, overlap + fresh, l->place);
        l->unpacked += fresh;
        l->bytes += fresh;
        if (l->unpacked < l->unpacked_max && !look_is_late(l))
                return true;
        l->cut = true;
        return false;
}

static void skip_bytes(struct inflate *z, unsigned n)
{
        while (n-- && inflate_byte(z) >= 0)
                ;
}

static void skip_text(struct inflate *z)
{
        while (inflate_byte(z) > 0)
                ;
}

static unsigned le16(struct inflate *z)
{
        int low = inflate_byte(z);
        int high = inflate_byte(z);

        return high < 0 ? 0 : (unsigned)(high << 8 | low);
}

static bool next_is(struct inflate *z, int byte)
{
        return inflate_byte(z) == byte;
}

/* RFC 1952: members follow each other, with nothing between. */
static void look_gzip(struct look *l)
{
        struct inflate *z = &l->z;

        while (next_is(z, 0x1f) && next_is(z, 0x8b) && next_is(z, 8)) {
                int flags = inflate_byte(z);

                skip_bytes(z, 6);
                if (flags & 4)
                        skip_bytes(z, le16(z));
                if (flags & 8)
                        skip_text(z);
                if (flags & 16)
                        skip_text(z);
                if (flags & 2)
                        skip_bytes(z, 2);
                if (inflate_run(z) != INFLATE_OK)
                        return;
                skip_bytes(z, 8);
        }
}

static enum inflate_status look_zlib(struct look *l)
{
        enum inflate_status s;

        skip_bytes(&l->z, 2);
        s = inflate_run(&l->z);
        skip_bytes(&l->z, 4);
        return s;
}

/* Each object: its type and size in seven-bit groups, what it refers to, a zlib stream. */
static void look_pack(struct look *l)
{
        struct inflate *z = &l->z;
        uint32_t objects = 0;

        skip_bytes(z, 8);
        for (unsigned i = 0; i < 4; i++)
                objects = objects << 8 | (uint32_t)inflate_byte(z);
        while (objects--) {
                int c = inflate_byte(z);
                int type = c >> 4 & 7;

                while (c >= 0 && c & 0x80)
                        c = inflate_byte(z);
                if (type == 6) { /* the offset of another object */
                        do
                                c = inflate_byte(z);
                        while (c >= 0 && c & 0x80);
                } else if (type == 7) { /* its name */
                        skip_bytes(z, 20);
                }
                if (c < 0 || look_zlib(l) != INFLATE_OK)
                        return;
        }
}

/* Local headers in their order; what lies between them (stored files too) is passed over. */
static void look_zip(struct look *l)
{
        struct inflate *z = &l->z;
        uint32_t last = 0;

        for (int c; (c = inflate_byte(z)) >= 0;) {
                unsigned method, name, extra;

                last = last << 8 | (uint32_t)c;
                if (last != 0x504b0304)
                        continue;
                skip_bytes(z, 4);
                method = le16(z);
                skip_bytes(z, 16);
                name = le16(z);
                extra = le16(z);
                skip_bytes(z, name + extra);
                last = 0;
                if (method == 8 && inflate_run(z) == INFLATE_STOPPED)
                        return;
        }
}

/* What we know by its first bytes, and can't open. */
static const char *packed_otherwise(const uint8_t head[4])
{
        static const struct {
                uint8_t head[4], len;
                char name[6];
        } kinds[] = {
                { { 0xfd, '7', 'z', 'X' }, 4, "xz" },    { { 0x28, 0xb5, 0x2f, 0xfd }, 4, "zstd" },
                { { 'B', 'Z', 'h' }, 3, "bzip2" },       { { 0x04, 0x22, 0x4d, 0x18 }, 4, "lz4" },
                { { '7', 'z', 0xbc, 0xaf }, 4, "7-zip" },
        };

        for (size_t i = 0; i < COUNT(kinds); i++) {
                if (!memcmp(head, kinds[i].head, kinds[i].len))
                        return kinds[i].name;
        }
        return NULL;
}

static void look_inside(struct look *l, const uint8_t head[4])
{
        l->unopened = packed_otherwise(head);
        inflate_init(&l->z);
        l->at = l->unpacked = 0;
        if (head[0] == 0x1f && head[1] == 0x8b) {
                l->place = PLACE_GZIP;
                look_gzip(l);
        } else if (!memcmp(head, "PACK", 4)) {
                l->place = PLACE_PACK;
                look_pack(l);
        } else if (!memcmp(head, "PK\3\4", 4)) {
                l->place = PLACE_ZIP;
                look_zip(l);
        } else if ((head[0] & 0x8f) == 8 && (head[0] << 8 | head[1]) % 31 == 0) {
                l->place = PLACE_ZLIB;
                if (look_zlib(l) != INFLATE_OK)
                        return; /* many files begin with two such bytes */
        }
}

/* --- a file ------------------------------------------------------------------------------ */

void look_init(struct look *l, const struct search *s)
{
        l->search = s;
        l->z.refill = refill;
        l->z.emit = emit;
        l->bytes_max = UINT64_C(64) << 30;
        l->unpacked_max = UINT64_C(4) << 30;
        l->deadline_ms = l->bytes = 0;
        look_clear(l);
}

void look_clear(struct look *l)
{
        l->count = 0;
        l->cut = false;
        l->unopened = NULL;
}

/* The data from @at up to @end, where a hole or the file's end is. Less: it is shorter. */
static int look_data(struct look *l, uint64_t *at, uint64_t end)
{
        size_t kept = 0;

        while (*at < end) {
                uint8_t *fresh = l->buf + NEEDLE_TEXT_MAX;
                uint64_t left = end - *at;
                ssize_t n = pread(l->fd, fresh, left < LOOK_CHUNK ? left : LOOK_CHUNK, (off_t)*at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (!n) {
                        *at = UINT64_MAX;
                        return 0;
                }
                look_bytes(l, fresh - kept, kept + (size_t)n, PLACE_FILE);
                *at += (uint64_t)n;
                l->bytes += (uint64_t)n;
                kept = kept + (size_t)n < NEEDLE_TEXT_MAX ? kept + (size_t)n : NEEDLE_TEXT_MAX;
                memmove(fresh - kept, fresh + n - kept, kept);
                if (look_is_late(l)) {
                        l->cut = true;
                        *at = UINT64_MAX;
                        return 0;
                }
        }
        return 0;
}

/* The next data at or after @at and its end; false: only a hole follows. */
static bool next_data(int fd, uint64_t *at, uint64_t *end)
{
        off_t data = lseek(fd, (off_t)*at, SEEK_DATA);
        off_t hole;

        if (data < 0 && errno == ENXIO)
                return false;
        if (data < 0)
                return true; /* a file system that does not tell: all is data */
        *at = (uint64_t)data;
        hole = lseek(fd, data, SEEK_HOLE);
        if (hole > data)
                *end = (uint64_t)hole;
        return true;
}

int look_file(struct look *l, int fd, uint64_t size, bool sparse)
{
        uint64_t looked = l->bytes;
        uint8_t head[4] = { 0 };
        int r = 0;

        l->fd = fd;
        for (uint64_t at = 0; at < size && !r;) {
                uint64_t end = size;

                if (l->bytes - looked >= l->bytes_max) {
                        l->cut = true;
                        return 0;
                }
                if (sparse && !next_data(fd, &at, &end))
                        break;
                if (end - at > l->bytes_max)
                        end = at + l->bytes_max;
                r = look_data(l, &at, end);
        }
        if (!r && size > sizeof(head) && pread(fd, head, sizeof(head), 0) == sizeof(head))
                look_inside(l, head);
        return r;
}
