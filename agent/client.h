/*
 * agent/client.h - the other end of the exec-server protocol: a client for an event loop.
 *
 *     client.c          states, requests, what comes back
 *     client_wire.c     bytes: TCP, a unix socket, a child's pipes; frames and lines
 *     client_process.c  events of a process in the order of seq; what a resume missed
 *     client_calls.c    the text of each request
 *
 * One struct client is one server, and at most one connection to it. No threads, no globals,
 * no clock: the loop asks client_poll what to watch and client_wait_ms how long, calls
 * client_step when something is ready or due, and then client_next until it is false:
 *
 *     n = client_poll(c, fds);
 *     poll(fds, n, client_wait_ms(c, now, -1));
 *     client_step(c, fds, n, now_ms());
 *     while (client_next(c, &e))
 *             switch (e.kind) …
 *
 * A loop that does not call client_next is not read for: that is the backpressure. What an
 * event points to lives until the next call of client_next.
 *
 * Nothing connects before the first request. A WebSocket that breaks is tried again for
 * CLIENT_RECOVERY_MS and its session resumed: processes go on, and no byte of their output
 * is lost or told twice, unless the server dropped it (then the process is CLIENT_LOST).
 * Requests that can be repeated without harm are; the others get an answer with
 * CLIENT_E_LOST. What a request's answer says is always told, once.
 *
 * The server is not trusted: messages are bounded, events that nobody asked for are dropped,
 * and what breaks the protocol ends the connection.
 *
 * IDLE -> CONNECTING      the first request
 * CONNECTING -> PROXY     airlock-proxy has one end of our socket, and was asked to connect
 * PROXY -> UPGRADE        it is, and the HTTP request is on its way
 * CONNECTING -> UPGRADE   the same without a proxy
 * UPGRADE -> HELLO        101; a child's pipes and given descriptors start here
 * HELLO -> OPEN           initialize was answered; requests flow
 * OPEN -> WAITING         the connection broke; a timer runs until the next try
 * WAITING -> CONNECTING
 * any -> IDLE             it can't be reached, or was refused; the next request tries anew
 * any -> DEAD             the same for a child or given descriptors: they don't come back
 */
#ifndef AGENT_CLIENT_H
#define AGENT_CLIENT_H

#include "agent/buf.h"
#include "agent/value.h"
#include "agent/ws.h"
#include "base/base.h"
#include "base/remote.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/types.h>

#define CLIENT_PROCESSES 128
#define CLIENT_REQUESTS 1024              /* without an answer yet */
#define CLIENT_MESSAGE_MAX (64U << 20)    /* of the server's */
#define CLIENT_QUEUE_MAX (128U << 20)     /* text of requests that wait */
#define CLIENT_HELD_MAX (8U << 20)        /* a process's events that came before their turn */
#define CLIENT_HELD_COUNT 65536           /* those of all processes */
#define CLIENT_CONNECT_MS 10000
#define CLIENT_INITIALIZE_MS 10000
#define CLIENT_RECOVERY_MS 45000
#define CLIENT_PATIENCE_MS 300000 /* what an environment has for its server to come up */
#define CLIENT_POLL 2
#define CLIENT_PEERS 4   /* addresses of one name that are tried */
#define CLIENT_TEXT 512  /* of an error */
#define CLIENT_PATH 1024 /* of a path the server tells about itself */

/* --- where it is ---------------------------------------------------------------------------- */

enum client_transport {
        CLIENT_STDIO,   /* lines over descriptors that the caller has */
        CLIENT_COMMAND, /* lines over pipes to a program that we start */
        CLIENT_TCP,     /* WebSocket */
        CLIENT_UNIX,    /* WebSocket on a socket in the file system */
};

/*
 * Whatever it points to outlives the client. Filled by hand, or by client_url and the
 * token; zero means: the default.
 */
struct client_target {
        enum client_transport transport;
        int in_fd, out_fd; /* STDIO: ours from client_open on; may be one socket */
        const char *const *argv; /* COMMAND: NULL at its end; searched in PATH; no shell */
        const char *const *env;  /* COMMAND: NULL: our own environment */
        const char *cwd;         /* COMMAND: NULL: where we are */
        struct remote at;          /* TCP */
        int channel;               /* TCP: to airlock-proxy (base/msg.h, CLIENT), which makes
                                      the connection and speaks the TLS of wss://; 0: a socket
                                      of our own, without TLS */
        char path[CLIENT_PATH];    /* UNIX: the socket */
        const char *token;         /* Authorization: Bearer; NULL: none */
        uint32_t connect_ms, initialize_ms;
        uint32_t patience_ms; /* a first connection is tried again for so long; 0: once */
};

/* Reads ws[s]://HOST[:PORT][/PATH] or unix:PATH into @t, which is zeroed first. Pure. */
MUST_USE enum remote_status client_url(struct client_target *t, const char *url);

/* --- the client ----------------------------------------------------------------------------- */

enum client_state {
        CLIENT_IDLE,
        CLIENT_CONNECTING,
        CLIENT_PROXY,
        CLIENT_UPGRADE,
        CLIENT_HELLO,
        CLIENT_OPEN,
        CLIENT_WAITING,
        CLIENT_DEAD,
};

/* What the server says about its place. Paths are paths, not URIs; "" when it says none. */
struct client_info {
        char shell[CLIENT_PATH]; /* "/bin/bash" */
        char shell_name[32];     /* "bash" */
        char cwd[CLIENT_PATH], home[CLIENT_PATH], tmp[CLIENT_PATH];
        char version[64];
        bool close_stdin; /* client_close_stdin works there: airlock's server */
        bool resize;      /* and client_resize */
};

struct client_request;
struct client_held;

struct client_process {
        uint32_t number; /* 0: free */
        bool started, exited, failed;
        bool resent;     /* its start was, because the server knew nothing of the first */
        int code;        /* failed: why */
        uint64_t next;   /* seq of the next event to tell */
        uint64_t writes; /* the last writeId */
        uint64_t ask_ms;  /* when its start is asked about again; 0: not */
        uint64_t lost_ms; /* and when no more */
        struct client_held *held, *last_held; /* by seq */
        size_t held_bytes;
        char why[CLIENT_TEXT];
};

struct client {
        struct client_target target;
        enum client_state state;
        int in_fd, out_fd;
        uint32_t pause_ms;
        uint64_t now_ms;
        uint64_t due_ms;  /* CONNECTING to HELLO: gives up. WAITING: the next try.
                             OPEN: a sign of life is asked for, then missed */
        uint64_t end_ms;  /* WAITING: no try after this; 0: none is due */
        uint64_t open_ms; /* when it was last opened */
        bool hungry;      /* no whole message is in the buffers */
        bool mute;        /* sending failed: only what came before is read */
        bool pinged, resumed, ready;
        bool message_taken; /* the last event stood in @message */
        bool down;        /* CLIENT_DOWN is to be told */
        int down_code;
        char session[128];
        struct client_info info;
        struct buf in, message, out, shown;
        char *text;       /* the message that the last event stood in */
        size_t taken;     /* bytes of @in that it takes */
        size_t scanned;
        struct ws ws;
        size_t frame_left, frame_at; /* of the frame that is being written */
        int pong_len;     /* -1: none is owed */
        uint8_t mask[4];
        uint8_t pong[WS_CONTROL_MAX];
        char accept[29];
        unsigned peer_count, peer_at;
        struct sockaddr_in6 peers[CLIENT_PEERS]; /* v4 or v6, as the name was resolved */
        pid_t child, dying;
        uint64_t kill_ms; /* when the dying get SIGKILL */
        uint64_t last_id;
        struct client_request *first, *last;
        size_t queued; /* bytes of their texts */
        uint32_t last_process;
        unsigned requests;
        unsigned failures; /* requests and processes that have it to tell */
        unsigned held_count;
        unsigned asking; /* processes with an ask_ms */
        struct client_process processes[CLIENT_PROCESSES];
        char why[CLIENT_TEXT];       /* of the connection's end */
        char text_copy[CLIENT_TEXT]; /* of the last event */
};

/* Opens nothing; with CLIENT_STDIO the descriptors are ours. */
void client_open(struct client *c, const struct client_target *t);

/*
 * Ends everything: the socket with a Close frame, a child by the end of its input and SIGTERM to its
 * process group, and SIGKILL to what is left 2 s later, for which this waits. The caller
 * does not reap our child. Safe on a zero client, and twice.
 */
void client_close(struct client *c);

/* Connects now, before the first request; harmless when it is open. */
void client_connect(struct client *c, uint64_t now_ms);

unsigned client_poll(const struct client *c, struct pollfd fds[CLIENT_POLL]);
/* Milliseconds until client_step has something to do, at most @at_most; -1: for ever. */
int client_wait_ms(const struct client *c, uint64_t now_ms, int at_most);
void client_step(struct client *c, const struct pollfd *fds, unsigned n, uint64_t now_ms);

/* --- what comes back ------------------------------------------------------------------------ */

#define CLIENT_E_LOST (-1)    /* the connection broke; it may have been done or not */
#define CLIENT_E_REFUSED (-2) /* the connection could not be made */
#define CLIENT_E_STDIN (-3)   /* a write: the process takes no input */
#define CLIENT_E_ANSWER (-4)  /* the answer made no sense */
#define CLIENT_E_NOT_FOUND (-32004) /* the server's: no such file */

enum client_stream { CLIENT_STDOUT, CLIENT_STDERR, CLIENT_PTY };

enum client_kind {
        CLIENT_READY,   /* connected, or connected again (@resumed); c->info is filled */
        CLIENT_ANSWER,  /* to @request: @code 0 and @result, or @code and @text */
        CLIENT_STARTED, /* @process runs; before its other events */
        CLIENT_OUTPUT,  /* @bytes of @stream */
        CLIENT_EXITED,  /* @exit_code; output may follow */
        CLIENT_CLOSED,  /* its last event: all output was told; the number is free */
        CLIENT_LOST,    /* its last event: it did not start, or is no longer ours: @code, @text */
        CLIENT_DOWN,    /* the connection is over: @code, @text. Its requests and processes
                           are answered one by one, behind this */
};

struct client_event {
        enum client_kind kind;
        uint64_t request;
        uint32_t process;
        int code;
        const char *text;    /* with a code; "" else */
        struct value result; /* ANSWER */
        enum client_stream stream;
        const char *bytes;   /* OUTPUT */
        size_t len;
        int exit_code;       /* EXITED */
        bool sandbox_denied;
        bool resumed;
};

/* The next thing that happened; false: nothing more for now. */
bool client_next(struct client *c, struct client_event *e);

/* --- processes ------------------------------------------------------------------------------ */

struct client_command {
        const char *const *argv; /* NULL at its end */
        const char *cwd;         /* an absolute path there */
        const char *const *env;  /* NAME=value, NULL at its end; NULL: none */
        bool inherit;            /* @env comes on top of the server's own environment */
        bool tty, pipe_stdin;
        const char *sandbox;     /* JSON of a sandbox object, or NULL */
};

/*
 * Its number, for the calls below and in events: CLIENT_STARTED or CLIENT_LOST follows. 0:
 * too many processes or requests.
 */
MUST_USE uint32_t client_start(struct client *c, const struct client_command *cmd);

/*
 * These give the request's number, whose CLIENT_ANSWER follows; 0: too many wait, or too
 * much text; try again when an answer came. Input written before CLIENT_STARTED waits
 * for it, and input that was not answered when the connection broke is sent again: the server knows it by
 * its number and takes it once.
 */
MUST_USE uint64_t client_write(struct client *c, uint32_t process, const void *bytes, size_t len);
/* The end of its input; only where c->info.close_stdin says so. */
MUST_USE uint64_t client_close_stdin(struct client *c, uint32_t process);
/* The size of its terminal; only where c->info.resize says so. */
MUST_USE uint64_t client_resize(struct client *c, uint32_t process, unsigned rows,
                                unsigned columns);
MUST_USE uint64_t client_interrupt(struct client *c, uint32_t process); /* SIGINT to its group */
MUST_USE uint64_t client_terminate(struct client *c, uint32_t process); /* SIGKILL */
/* process/read: for who wants output again; waits @wait_ms for news. */
MUST_USE uint64_t client_read(struct client *c, uint32_t process, uint64_t after_seq,
                              uint64_t max_bytes, uint32_t wait_ms);

/* --- files: paths are absolute paths of the server's -------------------------------------------- */

MUST_USE uint64_t client_read_file(struct client *c, const char *path);
MUST_USE uint64_t client_write_file(struct client *c, const char *path, const void *bytes,
                                    size_t len);
MUST_USE uint64_t client_create_directory(struct client *c, const char *path, bool recursive);
MUST_USE uint64_t client_metadata(struct client *c, const char *path);
MUST_USE uint64_t client_read_directory(struct client *c, const char *path);
MUST_USE uint64_t client_remove(struct client *c, const char *path, bool recursive, bool force);

/*
 * Any other: @params is the JSON object of its parameters. @again: may be repeated when
 * the connection broke before the answer.
 */
MUST_USE uint64_t client_call(struct client *c, const char *method, const char *params, size_t len,
                              bool again);

/*
 * The bytes behind base64 in an answer of the event that client_next gave last, decoded
 * where they lie (once). False: @v is not base64.
 */
MUST_USE bool client_bytes(struct client *c, const struct value *v, const char **bytes, size_t *len);

struct client_metadata {
        bool is_directory, is_file, is_symlink;
        uint64_t size;
        int64_t modified_ms;
};
/* False: the answer is something else. */
MUST_USE bool client_metadata_of(const struct value *result, struct client_metadata *m);

#endif
