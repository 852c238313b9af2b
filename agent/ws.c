/* agent/ws.c - heads of frames, in and out. */
#include "agent/ws.h"

#include "base/rd.h"
#include "base/utf8.h"

#include <string.h>

const char *ws_status_str(enum ws_status s)
{
        switch (s) {
        case WS_OK:
                return "fine";
        case WS_MORE:
                return "incomplete";
        case WS_RESERVED:
                return "a reserved bit or opcode";
        case WS_UNMASKED:
                return "a frame without a mask";
        case WS_MASKED:
                return "a frame with a mask";
        case WS_CONTROL:
                return "a control frame that is fragmented or too long";
        case WS_SEQUENCE:
                return "fragments out of order";
        case WS_TOO_LONG:
                return "message too long";
        case WS_LENGTH:
                return "a length in more bytes than it needs";
        }
        return "?";
}

unsigned ws_close_code(enum ws_status s)
{
        return s == WS_TOO_LONG ? 1009 : 1002;
}

static enum ws_status check_order(const struct ws *w, const struct ws_frame *f)
{
        switch (f->opcode) {
        case WS_CLOSE:
        case WS_PING:
        case WS_PONG:
                return !f->fin || f->len > WS_CONTROL_MAX ? WS_CONTROL : WS_OK;
        case WS_CONTINUE:
                if (!w->open)
                        return WS_SEQUENCE;
                return f->len > WS_MESSAGE_MAX - w->message_len ? WS_TOO_LONG : WS_OK;
        case WS_TEXT:
        case WS_BINARY:
                return w->open ? WS_SEQUENCE : WS_OK;
        }
        return WS_RESERVED;
}

/* The length's form is checked at once: a short head can already be wrong. */
static enum ws_status read_length(struct rd *r, uint8_t first, uint64_t *len)
{
        *len = first & 127;
        if (*len == 126) {
                *len = rd_be16(r);
                return !r->bad && *len < 126 ? WS_LENGTH : WS_OK;
        }
        if (*len == 127) {
                uint64_t high = rd_be32(r);

                *len = high << 32 | rd_be32(r);
                return !r->bad && *len < 65536 ? WS_LENGTH : WS_OK;
        }
        return WS_OK;
}

enum ws_status ws_parse(struct ws *w, struct ws_frame *f, const void *buf, size_t len)
{
        struct rd r = rd_of(buf, len);
        uint8_t first = rd_u8(&r), second = rd_u8(&r);
        struct ws_frame out = { .opcode = (enum ws_opcode)(first & 15), .fin = first >> 7 };
        static const uint8_t no_mask[4];
        const uint8_t *mask;
        enum ws_status s;
        uint64_t n;

        if (r.bad)
                return WS_MORE;
        if (first & 0x70)
                return WS_RESERVED;
        if (w->server == second >> 7)
                return w->server ? WS_MASKED : WS_UNMASKED;
        s = read_length(&r, second, &n);
        if (s != WS_OK)
                return s;
        mask = w->server ? no_mask : rd_bytes(&r, 4);
        if (r.bad || !mask)
                return WS_MORE;
        if (n > (w->server ? WS_MESSAGE_MAX : WS_FRAME_MAX))
                return WS_TOO_LONG;
        out.len = (size_t)n;
        s = check_order(w, &out);
        if (s != WS_OK)
                return s;
        memcpy(out.mask, mask, 4);
        out.head_len = len - rd_left(&r);
        if (out.opcode == WS_TEXT || out.opcode == WS_BINARY)
                *w = (struct ws){ w->server, !out.fin, out.opcode, out.len };
        else if (out.opcode == WS_CONTINUE)
                *w = (struct ws){ w->server, !out.fin, w->opcode, w->message_len + out.len };
        *f = out;
        return WS_OK;
}

void ws_unmask(void *payload, size_t len, const uint8_t mask[4], size_t offset)
{
        uint8_t *p = payload;
        uint8_t turned[8];
        uint64_t wide, eight;

        for (size_t i = 0; i < 8; i++)
                turned[i] = mask[(offset + i) & 3];
        memcpy(&wide, turned, 8);
        for (; len >= 8; len -= 8, p += 8) {
                memcpy(&eight, p, 8);
                eight ^= wide;
                memcpy(p, &eight, 8);
        }
        for (size_t i = 0; i < len; i++)
                p[i] ^= turned[i];
}

size_t ws_put_head(char out[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, size_t len)
{
        size_t bytes = len < 126 ? 0 : len < 65536 ? 2 : 8;

        out[0] = (char)((fin ? 0x80 : 0) | (int)opcode);
        out[1] = (char)(bytes == 0 ? len : bytes == 2 ? 126 : 127);
        for (size_t i = 0; i < bytes; i++)
                out[2 + i] = (char)((uint64_t)len >> (8 * (bytes - 1 - i)));
        return 2 + bytes;
}

size_t ws_put_masked_head(char out[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, size_t len,
                          const uint8_t mask[4])
{
        size_t n = ws_put_head(out, opcode, fin, len);

        out[1] = (char)(out[1] | 0x80);
        memcpy(out + n, mask, 4);
        return n + 4;
}

bool ws_close_valid(const void *payload, size_t len)
{
        const uint8_t *p = payload;
        unsigned code;

        if (!len)
                return true;
        if (len < 2)
                return false;
        code = (unsigned)p[0] << 8 | p[1];
        if (utf8_prefix((const char *)p + 2, len - 2) != len - 2)
                return false;
        if (code >= 3000 && code <= 4999)
                return true;
        return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}
