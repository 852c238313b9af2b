/*
 * netfilter/inspect.h - one connection that we look into: requests judged one by one.
 *
 *      client <-TLS-> [ request -> policy -> written anew ] <-TLS-> host
 *
 * No descriptors and no clock. The proxy's loop moves bytes between its sockets and the
 * two engines in the struct, and calls inspect_run whenever it moved some; what that
 * returns is what the loop has to do. The same machine without TLS serves port 80.
 *
 *      t = &in->client:  read(fd) into tls_in(t), tls_in_got;  write(fd) from tls_out(t)
 *      t = &in->upstream:  the same, while inspect_has_upstream(in)
 *      do e = inspect_run(in, world); while (e is not INSPECT_WAIT or INSPECT_OVER)
 *
 * No room (tls_in gives NULL) means: do not read. What reaches upstream is, at every
 * moment, a sequence of requests each of which the policy allowed and whose head was
 * written by us; the next is read when the response before it is over. Nothing is dialled
 * before a request was allowed. A request is for the host of the connection (SNI, CONNECT,
 * address), or it is refused; a refused one gets 403 with x-airlock-denied, and the
 * connection goes on where its body can be passed over.
 *
 * What can carry data out needs a rule that lets POST through: a body behind GET, HEAD or
 * OPTIONS, a method override, a WebSocket. A request with a secret in it loses Range and
 * Accept-Encoding, so that the value can be masked in the response.
 *
 *      SHAKING -> IDLE        inspect_run   TLS with the client stands, the name is ours
 *      IDLE -> LISTING        judge         allowed, if the refs in its body are
 *      IDLE, LISTING -> DIALLING            allowed, and there is no upstream
 *      DIALLING -> GREETING   inspect_dialled  TLS with the host begins
 *      IDLE, LISTING, GREETING -> EXCHANGE  both sides stand
 *      EXCHANGE -> IDLE       finish        response and request are over
 *      EXCHANGE -> TUNNEL     response      101: no longer HTTP
 *      any -> REFUSING -> DRAINING, IDLE    the refusal is out; what is left of the body
 *      any -> GOODBYE -> OVER               close_notify is on its way; all is sent
 *
 * The caller owns the struct: 365 KiB, of which an ordinary request touches 60. It should
 * lie in a table that starts as zeroes and go back there by inspect_wipe.
 */
#ifndef NETFILTER_INSPECT_H
#define NETFILTER_INSPECT_H

#include "base/http1.h"
#include "base/tls.h"
#include "netfilter/ca.h"
#include "netfilter/git.h"
#include "netfilter/inject.h"
#include "netfilter/policy.h"

#define INSPECT_DRAIN_MAX (1 << 20) /* bytes of a refused body that we pass over */
#define INSPECT_HEAD (HTTP1_HEAD_MAX + 4096) /* a head as we write it */

/* What all connections share. The caller sets now_s and now_ms before each call. */
struct inspect_world {
        const struct policy *policy;
        struct tls_random *random;
        struct ca *ca;
        struct tls_cache *cache;
        struct tls_sessions *sessions;
        struct tls_trust trust;
        const struct inject *inject;
        uint64_t now_s;  /* Unix time */
        uint64_t now_ms; /* monotonic */
        struct http1 head;                  /* of one call */
        char scratch[16 * 1024];
};

enum inspect_event {
        INSPECT_WAIT,    /* for bytes, room, or an answer of the caller's */
        INSPECT_DIAL,    /* connect to the host; answer by inspect_dialled or _undialled */
        INSPECT_HANG_UP, /* write what tls_out(&in->upstream) has, once, and close its socket */
        INSPECT_DECIDED, /* in->decision is to be journalled */
        INSPECT_OVER,    /* close both sockets, then inspect_wipe */
};

enum inspect_phase {
        INSPECT_SHAKING,
        INSPECT_IDLE,
        INSPECT_LISTING,
        INSPECT_DIALLING,
        INSPECT_GREETING,
        INSPECT_EXCHANGE,
        INSPECT_TUNNEL,
        INSPECT_REFUSING,
        INSPECT_DRAINING,
        INSPECT_GOODBYE,
        INSPECT_ENDED,
};

enum inspect_tls {
        INSPECT_CLEAR,        /* on neither side */
        INSPECT_TLS,          /* on both */
        INSPECT_TLS_UPSTREAM, /* the client is one of ours and leaves TLS to us */
};

/* One request, for the journal. */
struct inspect_decision {
        enum policy_reason reason;
        int rule;        /* -1: none */
        char method[33]; /* "": no request was read */
        char path[1024]; /* without query, cut to fit */
        unsigned code;   /* of the response that the client got; 0: none */
        bool injected;
        const char *why; /* more than the reason says, or NULL; a static string */
        uint64_t up, down; /* bytes of bodies */
        uint64_t ms;       /* from the request's head to the end of the response */
};

/* A body on its way. */
struct inspect_body {
        enum http1_body kind;
        uint64_t left;
        struct http1_chunked chunked;
        bool done;
};

struct inspect_buffer {
        char bytes[INSPECT_HEAD];
        size_t at, len;
};

struct inspect {
        enum inspect_phase phase;
        bool tls; /* with the host */
        struct policy_verdict verdict; /* of the host */
        char name[TLS_NAME];           /* the host as text */

        bool client_eof, upstream_eof;
        bool has_upstream; /* the engine below is in use */
        bool reused;       /* … for more than one request */
        bool dial_asked, hang_up, decided;
        bool last_words; /* the engine still holds a goodbye */
        bool kept; /* the session of this upstream connection is remembered */

        struct inspect_body request, response, hidden; /* hidden: what is left to drain */
        bool has_response;   /* its head was read */
        bool response_sent_100;
        bool client_keeps, upstream_keeps, websocket, expects, http10, is_head, safe;
        bool masked;
        uint64_t drained;
        uint64_t started_ms;
        size_t request_scanned, response_scanned;

        struct inspect_decision decision;

        struct inspect_buffer in;   /* what the client said: heads, and bodies on their way */
        struct inspect_buffer back; /* what the host said */
        struct inspect_buffer up;   /* a head for the host */
        struct inspect_buffer down; /* a head, or a refusal, for the client */

        struct git_push push;
        size_t listed_at, listed_len;
        char listed[GIT_LIST_MAX + 4096]; /* the beginning of a push's body */

        struct mask mask;
        uint8_t leaf[CA_CERTIFICATE];
        br_x509_certificate chain;
        struct tls client, upstream;
};

/*
 * Begins with a client that wants the host of @v. INSPECT_TLS: its ClientHello comes next,
 * whose name the caller compared. False: no certificate could be made for the name.
 */
MUST_USE bool inspect_init(struct inspect *in, struct inspect_world *w,
                           const struct policy_verdict *v, enum inspect_tls tls);

/* Goes as far as the bytes allow. */
enum inspect_event inspect_run(struct inspect *in, struct inspect_world *w);

/* The answer to INSPECT_DIAL: in->upstream is ready for bytes … */
void inspect_dialled(struct inspect *in, struct inspect_world *w);
/* … or it failed: the client is told @reason. */
void inspect_undialled(struct inspect *in, struct inspect_world *w, enum policy_reason reason);

/* in->upstream may be moved to and from a socket. */
bool inspect_has_upstream(const struct inspect *in);

/* The peer's socket has nothing more to read. */
void inspect_client_ended(struct inspect *in);
void inspect_upstream_ended(struct inspect *in);

/* The client can't be written to: it is over, but for what is to be journalled. */
void inspect_lose(struct inspect *in, struct inspect_world *w);

/* Refuses what is under way, as at a deadline: the client is told if it can be. */
void inspect_expire(struct inspect *in, struct inspect_world *w);

/* Nothing of the connection is left in the struct. */
void inspect_wipe(struct inspect *in);

#endif
