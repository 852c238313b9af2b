/* netfilter/sni.c - a ClientHello, read byte by byte across its records (RFC 8446). */
#include "netfilter/sni.h"

#include "base/rd.h"

#include <string.h>

const char *sni_status_str(enum sni_status s)
{
        switch (s) {
        case SNI_OK:
                return "a ClientHello";
        case SNI_MORE:
                return "more to come";
        case SNI_NOT_TLS:
                return "not TLS";
        case SNI_MALFORMED:
                return "a broken or ambiguous ClientHello";
        }
        return "?";
}

enum {
        EXT_SERVER_NAME = 0,
        EXT_ALPN = 16,
        EXT_SUPPORTED_VERSIONS = 43,
        EXT_ECH = 0xfe0d,
        EXT_ESNI = 0xffce, /* its draft */
};

/* The handshake as one stream; the first status that is not OK stays. */
struct hello {
        struct rd stream;
        const uint8_t *start;
        size_t in_record; /* bytes left of this record */
        size_t pos;       /* handshake bytes read */
        size_t limit;     /* where the innermost part that is being read ends */
        bool has_sni, has_versions;
        enum sni_status status;
};

static void fail(struct hello *h, enum sni_status s)
{
        if (!h->status)
                h->status = s;
}

/* One byte of a record's header. */
static uint8_t outer(struct hello *h)
{
        if (h->status)
                return 0;
        if ((size_t)(h->stream.at - h->start) >= SNI_HELLO_MAX)
                fail(h, SNI_MALFORMED);
        else if (!rd_left(&h->stream))
                fail(h, SNI_MORE);
        else
                return rd_u8(&h->stream);
        return 0;
}

static void next_record(struct hello *h)
{
        enum sni_status otherwise = h->stream.at == h->start ? SNI_NOT_TLS : SNI_MALFORMED;
        unsigned length;

        if (outer(h) != 22)
                fail(h, otherwise);
        if (outer(h) != 3)
                fail(h, otherwise);
        if (outer(h) > 4)
                fail(h, otherwise);
        length = (unsigned)outer(h) << 8;
        length |= outer(h);
        if (!length || length > 16384)
                fail(h, SNI_MALFORMED);
        h->in_record = h->status ? 0 : length;
}

static uint8_t u8(struct hello *h)
{
        uint8_t b;

        if (h->pos >= h->limit)
                fail(h, SNI_MALFORMED);
        if (!h->in_record && !h->status)
                next_record(h);
        b = outer(h);
        if (h->status)
                return 0;
        h->in_record--;
        h->pos++;
        return b;
}

static unsigned u16(struct hello *h)
{
        unsigned high = u8(h);

        return high << 8 | u8(h);
}

static void skip_to(struct hello *h, size_t end)
{
        while (h->pos < end && !h->status)
                u8(h);
}

/* Where a part of @len bytes ends, which has to lie within @outer_end. */
static size_t part(struct hello *h, size_t len, size_t outer_end)
{
        size_t end = h->pos + len;

        if (end > outer_end)
                fail(h, SNI_MALFORMED);
        return end;
}

static void server_name(struct hello *h, struct sni *s, size_t end)
{
        size_t list = part(h, u16(h), end);
        uint8_t type = u8(h);
        size_t len = u16(h);

        if (h->has_sni || list != end || type != 0 || !len || len >= sizeof(s->name) ||
            part(h, len, list) != list)
                fail(h, SNI_MALFORMED);
        h->has_sni = true;
        for (size_t i = 0; i < len && !h->status; i++)
                s->name[i] = (char)u8(h);
        s->name_len = len;
}

static void alpn(struct hello *h, struct sni *s, size_t end)
{
        size_t list = part(h, u16(h), end);

        if (s->has_alpn || list != end)
                fail(h, SNI_MALFORMED);
        s->has_alpn = true;
        while (h->pos < list && !h->status) {
                size_t len = u8(h);
                char protocol[9] = "";

                if (!len)
                        fail(h, SNI_MALFORMED);
                len = part(h, len, list) - h->pos;
                for (size_t i = 0; i < len && !h->status; i++) {
                        char c = (char)u8(h);

                        if (i < sizeof(protocol))
                                protocol[i] = c;
                }
                s->alpn_h2 |= len == 2 && !memcmp(protocol, "h2", 2);
                s->alpn_http11 |= len == 8 && !memcmp(protocol, "http/1.1", 8);
        }
}

static void versions(struct hello *h, struct sni *s, size_t end)
{
        size_t list = part(h, u8(h), end);

        if (h->has_versions || list != end || (list - h->pos) % 2)
                fail(h, SNI_MALFORMED);
        h->has_versions = true;
        s->tls12 = s->tls13 = false;
        while (h->pos < list && !h->status) {
                unsigned version = u16(h);

                s->tls12 |= version == 0x0303;
                s->tls13 |= version == 0x0304;
        }
}

static void extension(struct hello *h, struct sni *s, size_t outer_end)
{
        unsigned type = u16(h);
        size_t end = part(h, u16(h), outer_end);

        if (h->status)
                return;
        h->limit = end;
        if (type == EXT_SERVER_NAME)
                server_name(h, s, end);
        else if (type == EXT_ALPN)
                alpn(h, s, end);
        else if (type == EXT_SUPPORTED_VERSIONS)
                versions(h, s, end);
        else if (type == EXT_ECH || type == EXT_ESNI)
                s->ech = true;
        skip_to(h, end);
        h->limit = outer_end;
}

static void client_hello(struct hello *h, struct sni *s, size_t end)
{
        unsigned version = u16(h);
        size_t len;

        if (version >> 8 != 3)
                fail(h, SNI_MALFORMED);
        s->tls12 = version >= 0x0303;
        skip_to(h, part(h, 32, end)); /* random */
        len = u8(h);
        if (len > 32)
                fail(h, SNI_MALFORMED);
        skip_to(h, part(h, len, end)); /* session id */
        len = u16(h);
        if (!len || len % 2)
                fail(h, SNI_MALFORMED);
        skip_to(h, part(h, len, end)); /* cipher suites */
        len = u8(h);
        if (!len)
                fail(h, SNI_MALFORMED);
        skip_to(h, part(h, len, end)); /* compression methods */
        if (h->pos == end)
                return; /* no extensions at all */
        if (part(h, u16(h), end) != end)
                fail(h, SNI_MALFORMED);
        while (h->pos < end && !h->status)
                extension(h, s, end);
}

enum sni_status sni_parse(struct sni *s, const void *bytes, size_t len)
{
        struct hello h = { .stream = rd_of(bytes, len), .limit = 4 };
        struct sni got = { .name_len = 0 };
        size_t end;

        h.start = h.stream.at;
        if (u8(&h) != 1) /* client_hello */
                fail(&h, SNI_MALFORMED);
        end = (size_t)u8(&h) << 16;
        end |= u16(&h);
        end += 4;
        if (end > SNI_HELLO_MAX)
                fail(&h, SNI_MALFORMED);
        h.limit = end;
        if (!h.status)
                client_hello(&h, &got, end);
        if (!h.status && (h.pos != end || h.in_record))
                fail(&h, SNI_MALFORMED);
        if (h.status)
                return h.status;
        got.hello_len = (size_t)(h.stream.at - h.start);
        *s = got;
        return SNI_OK;
}
