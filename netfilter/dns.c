/* netfilter/dns.c - DNS messages (RFC 1035, 6891), no more than two of their kinds. */
#include "netfilter/dns.h"

#include "base/rd.h"

#include <string.h>

enum {
        FLAG_QR = 0x8000,
        FLAG_OPCODE = 0x7800,
        FLAG_TC = 0x0200,
        FLAG_RD = 0x0100,
        FLAG_RA = 0x0080,
        CLASS_IN = 1,
        WIRE_NAME = 255, /* bytes of a name, its root label included */
        HEADER = 12,
};

const char *dns_status_str(enum dns_status s)
{
        switch (s) {
        case DNS_OK:
                return "a query";
        case DNS_SHORT:
                return "no DNS message";
        case DNS_DROP:
                return "a response";
        case DNS_OPCODE:
                return "another opcode than QUERY";
        case DNS_MALFORMED:
                return "a malformed query";
        case DNS_NAME:
                return "a name that no host has";
        }
        return "?";
}

const char *dns_reply_status_str(enum dns_reply_status s)
{
        switch (s) {
        case DNS_REPLY_OK:
                return "a reply";
        case DNS_REPLY_OTHER:
                return "the reply to something else";
        case DNS_REPLY_TRUNCATED:
                return "a truncated reply";
        case DNS_REPLY_BAD:
                return "a malformed reply";
        }
        return "?";
}

/* --- queries to us ------------------------------------------------------------------ */

/* A name without compression, copied as it is. False: it is none. */
static bool copy_name(struct rd *r, uint8_t out[WIRE_NAME], size_t *out_len)
{
        size_t at = 0;

        for (;;) {
                uint8_t n = rd_u8(r);
                const uint8_t *label = n <= NAME_LABEL_LEN ? rd_bytes(r, n) : NULL;

                if (r->bad || n > NAME_LABEL_LEN || at + n + 1 > WIRE_NAME)
                        return false;
                out[at++] = n;
                if (!n)
                        break;
                memcpy(out + at, label, n);
                at += n;
        }
        *out_len = at;
        return true;
}

/* The host name that a wire name spells. Its labels hold no dot and no byte over 0x7f. */
static bool host_name(struct name *n, const uint8_t *wire)
{
        char text[WIRE_NAME];
        size_t at = 0;

        while (*wire) {
                if (at)
                        text[at++] = '.';
                for (size_t i = 1; i <= *wire; i++) {
                        if (wire[i] == '.' || wire[i] >= 0x80)
                                return false;
                        text[at++] = (char)wire[i];
                }
                wire += *wire + 1;
        }
        return name_parse(n, text, at) == NAME_OK;
}

static enum dns_status read_extra(struct rd *r, struct dns_query *q, unsigned count)
{
        unsigned others = 0;

        while (count--) {
                uint8_t owner[WIRE_NAME];
                size_t owner_len;
                uint16_t type, class;

                if (!copy_name(r, owner, &owner_len))
                        return DNS_MALFORMED;
                type = rd_be16(r);
                class = rd_be16(r);
                rd_be32(r);
                rd_bytes(r, rd_be16(r));
                if (type != DNS_TYPE_OPT) {
                        others++;
                        continue;
                }
                if (q->edns || owner_len != 1)
                        return DNS_MALFORMED;
                q->edns = true;
                q->udp_size = class < 512 ? 512 : class > 4096 ? 4096 : class;
        }
        return r->bad || others > 1 || rd_left(r) ? DNS_MALFORMED : DNS_OK;
}

enum dns_status dns_parse_query(struct dns_query *q, const void *packet, size_t len)
{
        struct rd r = rd_of(packet, len);
        struct dns_query got = { .id = rd_be16(&r), .udp_size = 512 };
        uint16_t flags = rd_be16(&r);
        uint16_t questions = rd_be16(&r);
        uint16_t answers = rd_be16(&r);
        uint16_t authorities = rd_be16(&r);
        uint16_t extras = rd_be16(&r);
        size_t question_len;

        if (r.bad)
                return DNS_SHORT;
        if (flags & FLAG_QR)
                return DNS_DROP;
        got.recursion = flags & FLAG_RD;
        *q = got; /* so much is needed to refuse */
        if (flags & FLAG_OPCODE)
                return DNS_OPCODE;
        if (questions != 1 || answers || authorities || extras > 2)
                return DNS_MALFORMED;
        if (!copy_name(&r, got.question, &question_len))
                return DNS_MALFORMED;
        got.question_len = (uint8_t)question_len;
        got.type = rd_be16(&r);
        got.class = rd_be16(&r);
        if (r.bad || read_extra(&r, &got, extras))
                return DNS_MALFORMED;
        if (!host_name(&got.name, got.question)) {
                *q = got;
                return DNS_NAME;
        }
        *q = got;
        return DNS_OK;
}

/* --- answers ------------------------------------------------------------------------- */

static void put16(struct wr *w, unsigned n)
{
        wr_bytes(w, (const uint8_t[]){ (uint8_t)(n >> 8), (uint8_t)n }, 2);
}

static void put32(struct wr *w, uint32_t n)
{
        put16(w, n >> 16);
        put16(w, n & 0xffff);
}

static void put_opt(struct wr *w)
{
        wr_char(w, 0);
        put16(w, DNS_TYPE_OPT);
        put16(w, DNS_MESSAGE);
        put32(w, 0);
        put16(w, 0);
}

static void put_head(struct wr *w, const struct dns_query *q, enum dns_rcode rcode,
                     unsigned answers)
{
        put16(w, q->id);
        put16(w, FLAG_QR | FLAG_RA | (q->recursion ? FLAG_RD : 0) | rcode);
        put16(w, q->question_len ? 1 : 0);
        put16(w, answers);
        put16(w, 0);
        put16(w, q->edns ? 1 : 0);
        if (!q->question_len)
                return;
        wr_bytes(w, q->question, q->question_len);
        put16(w, q->type);
        put16(w, q->class);
}

/* A record's head up to its data; the owner is the question's name. */
static void put_record(struct wr *w, unsigned type, uint32_t ttl_s, size_t data_len)
{
        put16(w, 0xc000 | HEADER);
        put16(w, type);
        put16(w, CLASS_IN);
        put32(w, ttl_s);
        put16(w, (unsigned)data_len);
}

static void put_name(struct wr *w, const struct name *n)
{
        for (size_t at = 0; at < n->len;) {
                size_t label = strcspn(n->text + at, ".");

                wr_char(w, (char)label);
                wr_bytes(w, n->text + at, label);
                at += label + 1;
        }
        wr_char(w, 0);
}

void dns_put_a(struct wr *w, const struct dns_query *q, const uint8_t address[static 4],
               uint32_t ttl_s)
{
        put_head(w, q, DNS_NOERROR, 1);
        put_record(w, DNS_TYPE_A, ttl_s, 4);
        wr_bytes(w, address, 4);
        if (q->edns)
                put_opt(w);
}

void dns_put_ptr(struct wr *w, const struct dns_query *q, const struct name *name,
                 uint32_t ttl_s)
{
        put_head(w, q, DNS_NOERROR, 1);
        put_record(w, DNS_TYPE_PTR, ttl_s, (size_t)name->len + 2);
        put_name(w, name);
        if (q->edns)
                put_opt(w);
}

void dns_put_empty(struct wr *w, const struct dns_query *q, enum dns_rcode rcode)
{
        put_head(w, q, rcode, 0);
        if (q->edns)
                put_opt(w);
}

/* Four labels of decimals, the last octet first. */
static bool ptr_v4(const char *text, size_t len, struct address *a)
{
        char turned[ADDRESS_TEXT];
        struct wr w = wr_of(turned, sizeof(turned));
        size_t end = len;

        while (end) {
                size_t start = end;

                while (start && text[start - 1] != '.')
                        start--;
                if (w.len)
                        wr_char(&w, '.');
                wr_bytes(&w, text + start, end - start);
                end = start ? start - 1 : 0;
        }
        return !w.full && address_parse(a, turned, w.len) == ADDRESS_OK && a->family == 4;
}

/* 32 labels of one hex digit, the last one first. */
static bool ptr_v6(const char *text, size_t len, struct address *a)
{
        uint8_t byte[16] = { 0 };

        if (len != 63)
                return false;
        for (size_t i = 0; i < 32; i++) {
                char c = text[62 - 2 * i];
                unsigned v;

                if (c >= '0' && c <= '9')
                        v = (unsigned)(c - '0');
                else if (c >= 'a' && c <= 'f')
                        v = (unsigned)(c - 'a' + 10);
                else
                        return false;
                if (i < 31 && text[61 - 2 * i] != '.')
                        return false;
                byte[i / 2] = (uint8_t)(byte[i / 2] | v << (i % 2 ? 0 : 4));
        }
        *a = address_of_v6(byte);
        return true;
}

static bool strip_suffix(const struct name *n, const char *suffix, size_t *rest)
{
        size_t len = strlen(suffix);

        if (n->len <= len || memcmp(n->text + n->len - len, suffix, len) != 0)
                return false;
        *rest = n->len - len;
        return true;
}

bool dns_ptr_address(const struct dns_query *q, struct address *a)
{
        struct address got;
        size_t len;
        bool ok;

        if (q->type != DNS_TYPE_PTR || q->class != CLASS_IN)
                return false;
        if (strip_suffix(&q->name, ".in-addr.arpa", &len))
                ok = ptr_v4(q->name.text, len, &got);
        else
                ok = strip_suffix(&q->name, ".ip6.arpa", &len) && ptr_v6(q->name.text, len, &got);
        if (ok)
                *a = got;
        return ok;
}

/* --- the stub: queries of ours -------------------------------------------------------- */

static char with_case(char c, bool upper)
{
        if (upper && c >= 'a' && c <= 'z')
                return (char)(c - 'a' + 'A');
        return c;
}

void dns_put_query(struct wr *w, uint16_t id, const struct name *name, uint16_t type,
                   const uint8_t case_bits[32])
{
        struct name cased = *name;

        for (size_t i = 0; case_bits && i < name->len; i++)
                cased.text[i] = with_case(cased.text[i], case_bits[i / 8] >> (i % 8) & 1);
        put16(w, id);
        put16(w, FLAG_RD);
        put16(w, 1);
        put16(w, 0);
        put16(w, 0);
        put16(w, 1);
        put_name(w, &cased);
        put16(w, type);
        put16(w, CLASS_IN);
        put_opt(w);
}

/* --- the stub: replies ------------------------------------------------------------------ */

struct message {
        const uint8_t *bytes;
        size_t len;
};

struct wire_name {
        uint8_t len;
        uint8_t bytes[WIRE_NAME]; /* in lower case, so that equal names are equal bytes */
};

static struct rd rd_at(const struct message *m, size_t offset)
{
        struct rd r = rd_of(m->bytes, m->len);

        rd_bytes(&r, offset);
        return r;
}

/* A name that may be compressed; each pointer leads to before all that was read so far. */
static bool read_name(const struct message *m, struct rd *r, struct wire_name *out)
{
        struct rd at = *r;
        size_t lowest = (size_t)(r->at - m->bytes);
        bool jumped = false;
        size_t n = 0;

        for (;;) {
                uint8_t label = rd_u8(&at);
                const uint8_t *bytes;

                if (label >= 0xc0) {
                        size_t target = (size_t)(label & 0x3f) << 8 | rd_u8(&at);

                        if (at.bad || target >= lowest || target < HEADER)
                                return false;
                        if (!jumped)
                                *r = at;
                        jumped = true;
                        lowest = target;
                        at = rd_at(m, target);
                        continue;
                }
                bytes = label <= NAME_LABEL_LEN ? rd_bytes(&at, label) : NULL;
                if (at.bad || label > NAME_LABEL_LEN || n + label + 1 > WIRE_NAME)
                        return false;
                out->bytes[n++] = label;
                for (size_t i = 0; bytes && i < label; i++)
                        out->bytes[n++] = bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] | 0x20
                                                                              : bytes[i];
                if (!label)
                        break;
        }
        if (!jumped)
                *r = at;
        out->len = (uint8_t)n;
        return true;
}

static bool same_name(const struct wire_name *a, const struct wire_name *b)
{
        return a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

struct record {
        struct wire_name owner;
        uint16_t type, class;
        uint32_t ttl_s;
        struct rd data;
};

static bool read_record(const struct message *m, struct rd *r, struct record *rec)
{
        if (!read_name(m, r, &rec->owner))
                return false;
        rec->type = rd_be16(r);
        rec->class = rd_be16(r);
        rec->ttl_s = rd_be32(r);
        rec->data = rd_sub(r, rd_be16(r));
        if (rec->ttl_s >> 31) /* RFC 2181: no such thing */
                rec->ttl_s = 0;
        return !r->bad;
}

/* Everything that belongs to the question in one reply. */
struct search {
        struct message message;
        struct rd answers; /* stands at the first answer */
        unsigned count;
        uint16_t type;
        struct wire_name name; /* the one looked for now */
};

/* The data of an alias: one name and nothing behind it. */
static bool read_alias(const struct message *m, const struct record *rec, struct wire_name *to)
{
        struct rd data = rec->data;
        /* Pointers reach outside the data, so it is read in the whole message. */
        struct message cut = { m->bytes, (size_t)(data.end - m->bytes) };
        struct rd r = rd_at(&cut, (size_t)(data.at - m->bytes));

        return read_name(&cut, &r, to) && !rd_left(&r);
}

static bool read_address(const struct record *rec, struct address *a)
{
        struct rd data = rec->data;
        size_t want = rec->type == DNS_TYPE_A ? 4 : 16;
        const uint8_t *bytes = rd_bytes(&data, want);

        if (!bytes || rd_left(&data))
                return false;
        *a = want == 4 ? address_of_v4(bytes) : address_of_v6(bytes);
        return true;
}

enum found { FOUND_NOTHING, FOUND_ADDRESSES, FOUND_ALIAS, FOUND_BAD };

/* One pass over the answers for s->name; an alias becomes the new s->name. */
static enum found search(struct search *s, struct dns_reply *out)
{
        struct rd r = s->answers;
        enum found found = FOUND_NOTHING;

        for (unsigned i = 0; i < s->count; i++) {
                struct record rec;
                struct wire_name target;

                if (!read_record(&s->message, &r, &rec))
                        return FOUND_BAD;
                if (rec.class != CLASS_IN || !same_name(&rec.owner, &s->name))
                        continue;
                if (rec.type == DNS_TYPE_CNAME && found != FOUND_ADDRESSES) {
                        if (!read_alias(&s->message, &rec, &target))
                                return FOUND_BAD;
                        s->name = target;
                        if (rec.ttl_s < out->ttl_s)
                                out->ttl_s = rec.ttl_s;
                        return FOUND_ALIAS;
                }
                if (rec.type != s->type)
                        continue;
                if (out->count < DNS_REPLY_ADDRESSES) {
                        if (!read_address(&rec, &out->addresses[out->count]))
                                return FOUND_BAD;
                        out->count++;
                }
                if (rec.ttl_s < out->ttl_s)
                        out->ttl_s = rec.ttl_s;
                found = FOUND_ADDRESSES;
        }
        return found;
}

/* The question of the query we sent: where it ends, and what it asks. */
static size_t question_end(const struct message *query, struct search *s)
{
        struct rd r = rd_at(query, HEADER);

        if (!read_name(query, &r, &s->name))
                return 0;
        s->type = rd_be16(&r);
        rd_be16(&r);
        return r.bad ? 0 : (size_t)(r.at - query->bytes);
}

enum dns_reply_status dns_parse_reply(struct dns_reply *out, const void *query,
                                      size_t query_len, const void *packet, size_t len)
{
        struct message asked = { query, query_len };
        struct search s = { .message = { packet, len } };
        struct dns_reply got = { .ttl_s = UINT32_MAX };
        struct rd r = rd_of(packet, len);
        size_t end = question_end(&asked, &s);
        uint16_t id = rd_be16(&r);
        uint16_t flags = rd_be16(&r);
        uint16_t questions = rd_be16(&r);
        const uint8_t *echo;
        enum found found = FOUND_ALIAS;

        s.count = rd_be16(&r);
        rd_bytes(&r, 4);
        echo = end ? rd_bytes(&r, end - HEADER) : NULL;
        if (!echo || id != (asked.bytes[0] << 8 | asked.bytes[1]) || !(flags & FLAG_QR) ||
            (flags & FLAG_OPCODE) || questions != 1 ||
            memcmp(echo, asked.bytes + HEADER, end - HEADER) != 0)
                return DNS_REPLY_OTHER;
        if (flags & FLAG_TC)
                return DNS_REPLY_TRUNCATED;
        got.rcode = (enum dns_rcode)(flags & 15);
        s.answers = r;
        if (s.count > DNS_REPLY_RECORDS)
                s.count = DNS_REPLY_RECORDS;
        if (!got.rcode) {
                for (unsigned i = 0; i <= DNS_REPLY_ALIASES && found == FOUND_ALIAS; i++)
                        found = search(&s, &got);
                if (found == FOUND_ALIAS || found == FOUND_BAD)
                        return DNS_REPLY_BAD;
        }
        if (!got.count)
                got.ttl_s = 0;
        *out = got;
        return DNS_REPLY_OK;
}
