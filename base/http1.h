/*
 * base/http1.h - HTTP/1.1 heads and bodies, read strictly and written anew. Pure.
 *
 * The peer is hostile and the next hop reads differently than we do, so there is one
 * reading or none: every form that two programs are known to disagree on has a status of
 * its own and ends the connection. What was accepted is not passed on as bytes but
 * written again from what was understood.
 *
 * Used so: collect bytes, http1_parse_request until it is not HTTP1_MORE, judge,
 * http1_put_… a head for the other side, then move the body by h.body: HTTP1_LENGTH counts down
 * h.length, HTTP1_CHUNKED goes through http1_chunk_next, HTTP1_UNTIL_CLOSE ends with the
 * stream, HTTP1_TUNNEL is no longer HTTP. What stands behind the head or body in the buffer
 * is the next message.
 *
 * A parsed head points into the caller's bytes: it is dead when they move.
 */
#ifndef BASE_HTTP1_H
#define BASE_HTTP1_H

#include "base/base.h"
#include "base/wr.h"

#define HTTP1_HEAD_MAX 32768 /* bytes of a head, its empty line included */
#define HTTP1_HEADERS 200
#define HTTP1_TRAILERS_MAX 8192 /* bytes of chunked trailers, which are dropped */

enum http1_status {
        HTTP1_OK,
        HTTP1_MORE, /* fine so far */
        HTTP1_DONE, /* http1_chunk_next alone: the body is over */
        /* What follows is an error for good. */
        HTTP1_LINE,     /* the first line is not METHOD SP TARGET SP VERSION, or a status line */
        HTTP1_VERSION,  /* neither HTTP/1.1 nor HTTP/1.0; HTTP/2's preface too */
        HTTP1_METHOD,   /* not a token, or over 32 bytes */
        HTTP1_TARGET,   /* a form that RFC 9112 has not, user info, fragment, backslash */
        HTTP1_NEWLINE,  /* a bare CR or a bare LF */
        HTTP1_CONTROL,  /* NUL or another control byte, or a tab around a value */
        HTTP1_FOLDED,   /* a header line that begins with white space */
        HTTP1_NAME,     /* a header's name is no token, or white space before the colon */
        HTTP1_TOO_LONG, /* head, number of headers, trailers, chunk extension */
        HTTP1_HOST,     /* none (HTTP/1.1 but CONNECT), two, or not HOST[:PORT] */
        HTTP1_LENGTHS,  /* Content-Length: two, a list, not digits, too large */
        HTTP1_CODING,   /* Transfer-Encoding: anything but one "chunked" in HTTP/1.1 */
        HTTP1_BOTH,     /* Content-Length and Transfer-Encoding */
        HTTP1_HOPS,     /* Connection names a header that frames or routes the message */
        HTTP1_EXPECT,   /* Expect: anything but 100-continue */
        HTTP1_CHUNK,    /* a chunk's size, extension or end is malformed */
};
const char *http1_status_str(enum http1_status s); /* "Content-Length and Transfer-Encoding" */

struct http1_text {
        const char *at; /* not NUL-terminated; NULL: absent */
        size_t len;
};

struct http1_header {
        struct http1_text name, value; /* value without white space around it; may be empty */
};

enum http1_form {
        HTTP1_ORIGIN,    /* /path?query */
        HTTP1_ABSOLUTE,  /* http://host/path?query: a request to a proxy */
        HTTP1_AUTHORITY, /* host:port, with CONNECT and only with it */
        HTTP1_ASTERISK,  /* *, with OPTIONS and only with it */
};

enum http1_body {
        HTTP1_NONE,
        HTTP1_LENGTH,      /* h.length bytes, at least 1 */
        HTTP1_CHUNKED,
        HTTP1_UNTIL_CLOSE, /* a response without framing */
        HTTP1_TUNNEL,      /* 101, or 2xx to CONNECT */
};

struct http1 {
        size_t head_len; /* bytes that the head took, empty line included */
        unsigned minor;  /* 0 or 1 */
        /* a request */
        struct http1_text method, target;
        enum http1_form form;
        bool https;               /* absolute form: the scheme; else false */
        struct http1_text host;   /* absolute, authority form: the target's; else Host's, .at
                                     NULL without one (HTTP/1.0). For host_parse: unchecked */
        bool host_ip6;            /* it stood in brackets, which host is without */
        uint16_t port;            /* 0: none was given (or none after the colon) */
        struct http1_text path;   /* "/" at least; "*"; absent for CONNECT */
        struct http1_text query;  /* without the '?'; .at NULL: no '?' */
        bool expect_continue;     /* Expect: 100-continue, in HTTP/1.1 */
        bool upgrades;            /* Connection: upgrade and an Upgrade header: any kind */
        bool websocket;           /* a handshake to WebSocket by GET without a body; or its 101 */
        bool overrides_method;    /* X-HTTP-Method-Override or one of its sisters */
        bool overrides_path;      /* X-Original-URL or one of its */
        /* a response */
        unsigned code; /* 100 to 599 */
        struct http1_text reason;
        /* both */
        bool keep_alive; /* by version and Connection; false for UNTIL_CLOSE and TUNNEL */
        enum http1_body body;
        uint64_t length; /* HTTP1_LENGTH; or what Content-Length says to HEAD */
        bool has_length;
        size_t count;
        struct http1_header headers[HTTP1_HEADERS];
};

/*
 * Reads a request's head at the start of @buf. *@scanned is 0 for a new message and ours
 * in between: it keeps the search for the head's end linear. *@h is filled on HTTP1_OK
 * alone. Empty lines before the first line are refused.
 */
MUST_USE enum http1_status http1_parse_request(struct http1 *h, const char *buf, size_t len,
                                               size_t *scanned);

/*
 * The same for the response to a request of @method ("HEAD" and "CONNECT" matter). A
 * 1xx but 101 is a message of its own without a body: the real one follows. A 204 that
 * claims a body is not to be followed by another response (keep_alive is false).
 */
MUST_USE enum http1_status http1_parse_response(struct http1 *h, const char *buf, size_t len,
                                                size_t *scanned, const char *method,
                                                size_t method_len);

/* The value of the first header of that name (any case); .at NULL: there is none. */
struct http1_text http1_header(const struct http1 *h, const char *name);
/* How many of that name there are. */
size_t http1_header_count(const struct http1 *h, const char *name);
/* The comma list of @name, over all its lines, has @token (any case). */
bool http1_has_token(const struct http1 *h, const char *name, const char *token);

/* Equality without regard to ASCII case: header names, tokens. */
bool http1_text_is(struct http1_text t, const char *s);

/*
 * Must this header end here? The hop-by-hop ones (Connection and what it names, Keep-Alive,
 * Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade), and Host, Content-Length, Expect and
 * HTTP2-Settings, which the writer below makes or drops itself.
 */
bool http1_ends_here(const struct http1 *h, struct http1_text name);

/* ---- bodies ---- */

struct http1_chunked {
        unsigned state;
        uint64_t left; /* of this chunk's data */
        uint32_t line; /* bytes of this size line, or of the trailers */
        enum http1_status ended; /* HTTP1_OK: not yet */
};

void http1_chunked_init(struct http1_chunked *c);

/*
 * Reads on in a chunked body. *@used bytes were taken in. HTTP1_OK: the data at *@piece is
 * part of the body (call again with the rest); HTTP1_MORE: all is used; HTTP1_DONE: the body
 * is over and the rest is the next message. Extensions and trailers are checked and dropped.
 * An error, and HTTP1_DONE, stay.
 */
MUST_USE enum http1_status http1_chunk_next(struct http1_chunked *c, const char *buf,
                                            size_t len, size_t *used,
                                            struct http1_text *piece);

/* ---- writing a head anew ---- */

/*
 * "METHOD TARGET HTTP/1.x": origin form from h's path and query ("*" stays), or absolute
 * form to @authority ("http://AUTHORITY/path") for an upstream proxy; then Host: @authority.
 * NULL @authority means h's own host and port, brackets put back. An HTTP/1.0 request goes on
 * as one, so that its response needs no chunks. Not for CONNECT.
 */
void http1_put_request_line(struct wr *w, const struct http1 *h, bool absolute,
                            const char *authority);
void http1_put_status_line(struct wr *w, const struct http1 *h);

/* All headers that do not end here, less those named in @drop (NULL-terminated, or NULL). */
void http1_put_headers(struct wr *w, const struct http1 *h, const char *const *drop);

/*
 * What ends the head: the framing that h.body means (Content-Length or Transfer-Encoding),
 * for a WebSocket handshake Connection and Upgrade, else "Connection: close" if @close,
 * Expect if the request had it; and the empty line.
 */
void http1_put_end(struct wr *w, const struct http1 *h, bool close);

/* The size line of a chunk of @len bytes (> 0); its data and "\r\n" are to follow. */
void http1_put_chunk(struct wr *w, size_t len);
#define HTTP1_LAST_CHUNK "0\r\n\r\n"

#endif
