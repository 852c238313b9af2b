/*
 * agent/ws.h - WebSocket frames (RFC 6455), of both sides. Pure.
 *
 * No extensions: a reserved bit is an error. What a client sends is masked, what a server
 * sends is not. Payloads are not copied: ws_parse finds them, ws_unmask turns them in place.
 */
#ifndef AGENT_WS_H
#define AGENT_WS_H

#include "base/base.h"

#define WS_FRAME_MAX (16U << 20)   /* bytes of a payload in one frame of a client */
#define WS_MESSAGE_MAX (64U << 20) /* of a message, all its fragments; a server may send it in one frame */
#define WS_CONTROL_MAX 125
#define WS_HEAD_MAX 14

enum ws_status {
        WS_OK,
        WS_MORE,     /* the head is not complete */
        WS_RESERVED, /* a reserved bit or opcode */
        WS_UNMASKED, /* a client's frame without a mask */
        WS_MASKED,   /* a server's frame with one */
        WS_CONTROL,  /* a control frame that is fragmented or too long */
        WS_SEQUENCE, /* a continuation of nothing, or a new message inside another */
        WS_TOO_LONG, /* frame or message */
        WS_LENGTH,   /* a length in more bytes than it needs */
};
const char *ws_status_str(enum ws_status s);

enum ws_opcode {
        WS_CONTINUE = 0,
        WS_TEXT = 1,
        WS_BINARY = 2,
        WS_CLOSE = 8,
        WS_PING = 9,
        WS_PONG = 10,
};

struct ws_frame {
        enum ws_opcode opcode;
        bool fin;
        uint8_t mask[4];
        size_t head_len; /* the payload follows these */
        size_t len;
};

/* What stays between the frames of one connection; zero at start, but for @server. */
struct ws {
        bool server; /* the frames come from a server */
        bool open; /* a fragmented message is on its way */
        enum ws_opcode opcode; /* and this is its first frame's */
        size_t message_len;
};

/* Reads a frame's head at the start of @buf. @w and *@f change on WS_OK alone. */
MUST_USE enum ws_status ws_parse(struct ws *w, struct ws_frame *f, const void *buf, size_t len);

/* Unmasks @len bytes that stand @offset bytes into the payload. */
void ws_unmask(void *payload, size_t len, const uint8_t mask[4], size_t offset);

/* Writes the head of a frame of ours; returns its length. */
size_t ws_put_head(char out[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, size_t len);

/* The same for a client's frame: its payload is to be turned with @mask, which is random. */
size_t ws_put_masked_head(char out[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, size_t len,
                          const uint8_t mask[4]);

/* The status code for a Close frame that says what was wrong. */
unsigned ws_close_code(enum ws_status s);

/* May a client's Close frame have this payload? Empty, or a code of RFC 6455 7.4 and UTF-8. */
bool ws_close_valid(const void *payload, size_t len);

#endif
