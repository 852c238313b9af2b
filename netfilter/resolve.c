/*
 * netfilter/resolve.c - lookups: asked, answered, remembered.
 *
 * A lookup is a slot with one name. It is ASKING while a question of its two (A, AAAA) is
 * open, then KNOWN until its answer is too old. Each try of a question has a socket of its
 * own, connected to one server, so the kernel drops what others send to it.
 */
#include "netfilter/resolve.h"

#include "base/log.h"
#include "base/rd.h"
#include "netfilter/dns.h"
#include "netfilter/pool.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/uio.h>

#define LOOKUPS 512
#define TRY_MS 1200
#define TRIES 4
#define TTL_MAX_S 60
#define NONE_TTL_MS 5000  /* how long "there is no such name" is kept */
#define FAILED_TTL_MS 1000
#define OTHER_WAIT_MS 50  /* A is known: how long AAAA may take */

enum question_state { QUESTION_CLOSED, QUESTION_UDP, QUESTION_CONNECT, QUESTION_TCP };

struct question {
        struct ev_timer timer; /* this try */
        int fd;
        enum question_state state;
        uint8_t tries;
        bool answered; /* by a server, yes or no */
        bool denied;   /* NXDOMAIN */
        uint16_t id, type;
        uint8_t case_bits[32];
        struct buf *reply; /* TCP: the length and the message so far */
        uint8_t count;
        struct address addresses[DNS_REPLY_ADDRESSES];
};

enum lookup_state { LOOKUP_FREE, LOOKUP_ASKING, LOOKUP_KNOWN };

struct lookup {
        enum lookup_state state;
        uint32_t gen;
        uint64_t until_ms; /* KNOWN: forgotten then; ASKING: given up then */
        uint32_t ttl_s;
        enum resolve_status status;
        struct name name;   /* as it was asked for … */
        struct name target; /* … and under what name it is looked up now: */
        unsigned candidate; /* resolv_candidate's number of it */
        struct question q[2]; /* A and AAAA */
        struct ev_timer patience; /* one has an answer, the other may hurry */
        struct resolve_waiter waiters; /* a ring */
};

static struct lookup table[LOOKUPS] LARGE_BUFFER;
static const struct resolv *the_conf;
static struct endpoint servers[RESOLV_SERVERS];
static size_t server_count;
static unsigned try_count, total_ms;
static const char *hosts_text;
static struct ev_queue tries, patiences;
static int the_ev;
static uint8_t the_kind;
static void (*the_done)(struct resolve_waiter *w, const struct resolved *r);

const char *resolve_status_str(enum resolve_status s)
{
        switch (s) {
        case RESOLVE_OK:
                return "found";
        case RESOLVE_NONE:
                return "no such name";
        case RESOLVE_FAILED:
                return "no answer from the name servers";
        case RESOLVE_WAIT:
                return "asking";
        }
        return NULL;
}

static bool word_address(const struct rd *word, struct address *a)
{
        return address_parse(a, (const char *)word->at, rd_left(word)) == ADDRESS_OK;
}

/*
 * A second and four tries where the file has no opinion: libc's five seconds are a long
 * silence for whoever waits at the other end.
 */
static void set_patience(const struct resolv *conf)
{
        unsigned span_ms = conf->timeout_s ? conf->timeout_s * 1000u : TRY_MS;

        ev_queue_init(&tries, span_ms);
        try_count = conf->attempts ? conf->attempts * (unsigned)server_count : TRIES;
        total_ms = RESOLVE_MS;
        if (conf->timeout_s || conf->attempts)
                total_ms = span_ms * try_count;
        if (total_ms > RESOLVE_MS_MAX)
                total_ms = RESOLVE_MS_MAX;
}

/* An address that can be bound to is one of this network namespace's. */
static bool is_ours(const struct endpoint *server)
{
        static const uint8_t dockers[4] = { 127, 0, 0, 11 };
        const struct address docker = address_of_v4(dockers);
        const struct endpoint any_port = { .address = server->address };
        struct sockaddr_storage at;
        socklen_t len = endpoint_to(&any_port, &at);
        AUTO_CLOSE int fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        return !address_equal(&server->address, &docker) &&
               (fd < 0 || !bind(fd, (struct sockaddr *)&at, len));
}

static void forget_ours(void)
{
        size_t left = 0;

        for (size_t i = 0; i < server_count; i++) {
                if (!is_ours(&servers[i]))
                        servers[left++] = servers[i];
        }
        server_count = left;
        if (!left)
                log_line(LOG_WARN, "the task could answer for every name server of "
                                   "/etc/resolv.conf: no name will be found");
}

void resolve_open(int ev, uint8_t kind, const struct resolv *conf, const char *hosts,
                  bool beside_task,
                  void (*done)(struct resolve_waiter *w, const struct resolved *r))
{
        static const uint8_t loopback[4] = { 127, 0, 0, 1 };

        the_ev = ev;
        the_kind = kind;
        the_done = done;
        the_conf = conf;
        hosts_text = hosts;
        ev_queue_init(&patiences, OTHER_WAIT_MS);
        for (server_count = 0; server_count < conf->server_count; server_count++)
                servers[server_count] =
                        (struct endpoint){ .address = conf->servers[server_count], .port = 53 };
        if (!server_count)
                servers[server_count++] =
                        (struct endpoint){ .address = address_of_v4(loopback), .port = 53 };
        if (beside_task)
                forget_ours();
        set_patience(conf);
}

/* Adds an address, IPv4 before IPv6, once. */
static void add_address(struct resolved *r, const struct address *a)
{
        size_t at = r->count;

        for (size_t i = 0; i < r->count; i++)
                if (address_equal(&r->addresses[i], a))
                        return;
        if (r->count == RESOLVE_ADDRESSES)
                return;
        while (a->family == 4 && at && r->addresses[at - 1].family == 6) {
                r->addresses[at] = r->addresses[at - 1];
                at--;
        }
        r->addresses[at] = *a;
        r->count++;
}

static bool in_hosts(const struct name *name, struct resolved *r)
{
        struct rd word;

        for (const char *at = hosts_text; at && *at; at = resolv_line(at)) {
                struct address a;
                struct name n;

                if (!resolv_word(&at, &word) || !word_address(&word, &a))
                        continue;
                while (resolv_word(&at, &word))
                        if (name_parse(&n, (const char *)word.at, rd_left(&word)) == NAME_OK &&
                            name_equal(&n, name))
                                add_address(r, &a);
        }
        r->status = RESOLVE_OK;
        return r->count > 0;
}

static void question_close(struct question *q)
{
        ev_disarm(&q->timer);
        if (q->state != QUESTION_CLOSED)
                close(q->fd);
        q->fd = -1;
        q->state = QUESTION_CLOSED;
        buf_give(&q->reply);
}

static void make_query(const struct lookup *l, const struct question *q, struct wr *w)
{
        dns_put_query(w, q->id, &l->target, q->type, q->case_bits);
}

static struct ev_ref ref_of(const struct lookup *l, const struct question *q)
{
        uint32_t slot = (uint32_t)(l - table) * 2 + (q == &l->q[1]);

        return (struct ev_ref){ .kind = the_kind, .slot = slot, .gen = l->gen };
}

static int random_fill(struct question *q)
{
        struct { uint16_t id; uint8_t bits[32]; } r;

        if (getrandom(&r, sizeof(r), 0) != sizeof(r))
                return -EIO;
        q->id = r.id;
        memcpy(q->case_bits, r.bits, sizeof(r.bits));
        return 0;
}

static int begin_try(struct lookup *l, struct question *q, int type)
{
        const struct endpoint *server;
        int r;

        if (!server_count)
                return -ENONET;
        server = &servers[q->tries % server_count];
        if (q->state != QUESTION_CLOSED)
                close(q->fd);
        q->state = QUESTION_CLOSED;
        q->fd = sock_outside(&server->address, type);
        if (q->fd < 0)
                return q->fd;
        q->state = type == SOCK_DGRAM ? QUESTION_UDP : QUESTION_CONNECT;
        r = sock_connect(q->fd, server);
        if (r < 0)
                return r;
        return ev_add(the_ev, q->fd, type == SOCK_DGRAM ? EPOLLIN : EPOLLOUT, ref_of(l, q));
}

static int send_udp(struct lookup *l, struct question *q)
{
        uint8_t packet[512];
        struct wr w = wr_of(packet, sizeof(packet));
        int r = random_fill(q);

        if (!r)
                r = begin_try(l, q, SOCK_DGRAM);
        if (r < 0)
                return r;
        make_query(l, q, &w);
        return send(q->fd, packet, w.len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void lookup_check(struct lookup *l, uint64_t now_ms);

/* The next try of a question, or its end. */
static void ask_again(struct lookup *l, struct question *q, uint64_t now_ms)
{
        while (q->tries < try_count && now_ms < l->until_ms) {
                int r = send_udp(l, q);

                q->tries++;
                if (r == 0) {
                        ev_arm(&tries, &q->timer, now_ms);
                        return;
                }
        }
        question_close(q);
        lookup_check(l, now_ms);
}

static void collect(const struct lookup *l, struct resolved *r)
{
        *r = (struct resolved){ .status = l->status };
        for (size_t i = 0; i < 2; i++)
                for (size_t k = 0; k < l->q[i].count; k++)
                        add_address(r, &l->q[i].addresses[k]);
}

/* Asks for both kinds of address of the name's next candidate. False: it has no more. */
static bool ask_next(struct lookup *l, uint64_t now_ms)
{
        if (!resolv_candidate(the_conf, &l->name, l->candidate, &l->target))
                return false;
        l->candidate++;
        l->gen++;
        for (size_t i = 0; i < 2; i++)
                l->q[i] = (struct question){ .type = i ? DNS_TYPE_AAAA : DNS_TYPE_A };
        /* Both are begun before the first may end: an end looks at both. */
        ev_arm(&tries, &l->q[1].timer, now_ms);
        ask_again(l, &l->q[0], now_ms);
        ev_disarm(&l->q[1].timer);
        ask_again(l, &l->q[1], now_ms);
        return true;
}

static void lookup_end(struct lookup *l, uint64_t now_ms)
{
        const struct question *a = &l->q[0], *aaaa = &l->q[1];
        struct resolved r;
        uint64_t keep_ms = (uint64_t)(l->ttl_s < TTL_MAX_S ? l->ttl_s : TTL_MAX_S) * 1000;

        question_close(&l->q[0]);
        question_close(&l->q[1]);
        ev_disarm(&l->patience);
        if (a->count || aaaa->count)
                l->status = RESOLVE_OK;
        else if (a->answered)
                l->status = RESOLVE_NONE;
        else
                l->status = RESOLVE_FAILED;
        if (l->status == RESOLVE_NONE && now_ms < l->until_ms && ask_next(l, now_ms))
                return;
        if (l->status != RESOLVE_OK)
                keep_ms = l->status == RESOLVE_NONE ? NONE_TTL_MS : FAILED_TTL_MS;
        l->state = LOOKUP_KNOWN;
        l->gen++;
        l->until_ms = now_ms + (keep_ms ? keep_ms : 1000);
        collect(l, &r);
        while (l->waiters.next != &l->waiters) {
                struct resolve_waiter *w = l->waiters.next;

                resolve_cancel(w);
                the_done(w, &r);
        }
}

static void lookup_check(struct lookup *l, uint64_t now_ms)
{
        bool open = false;

        if (l->state != LOOKUP_ASKING)
                return;
        for (size_t i = 0; i < 2; i++)
                open |= l->q[i].state != QUESTION_CLOSED || l->q[i].timer.next;
        /* Broken servers deny the whole name when they lack an AAAA record. */
        if (!open || l->q[0].denied)
                lookup_end(l, now_ms);
        else if ((l->q[0].count || l->q[1].count) && !l->patience.next)
                ev_arm(&patiences, &l->patience, now_ms);
}

static struct lookup *find(const struct name *name, uint64_t now_ms)
{
        struct lookup *spare = NULL;

        for (struct lookup *l = table; l < table + LOOKUPS; l++) {
                if (l->state == LOOKUP_FREE) {
                        if (!spare || spare->until_ms > now_ms)
                                spare = l;
                        break; /* slots fill from the front */
                }
                if (name_equal(&l->name, name) &&
                    (l->state == LOOKUP_ASKING || l->until_ms > now_ms))
                        return l;
                if (l->state == LOOKUP_KNOWN && (!spare || l->until_ms < spare->until_ms))
                        spare = l;
        }
        return spare;
}

static bool useful(const struct lookup *l, const struct name *name, uint64_t now_ms)
{
        return l->state != LOOKUP_FREE && name_equal(&l->name, name) &&
               (l->state == LOOKUP_ASKING || l->until_ms > now_ms);
}

static void wait_for(struct lookup *l, struct resolve_waiter *w)
{
        w->prev = l->waiters.prev;
        w->next = &l->waiters;
        l->waiters.prev->next = w;
        l->waiters.prev = w;
}

enum resolve_status resolve_start(const struct name *name, struct resolve_waiter *w,
                                  struct resolved *r, uint64_t now_ms)
{
        struct lookup *l;

        *r = (struct resolved){ 0 };
        if (in_hosts(name, r))
                return RESOLVE_OK;
        l = find(name, now_ms);
        if (!l) {
                r->status = RESOLVE_FAILED; /* every slot is asking */
                return r->status;
        }
        if (!useful(l, name, now_ms)) {
                uint32_t gen = l->gen;

                *l = (struct lookup){ .state = LOOKUP_ASKING, .gen = gen, .name = *name,
                                      .ttl_s = TTL_MAX_S, .until_ms = now_ms + total_ms };
                l->waiters.next = &l->waiters;
                l->waiters.prev = &l->waiters;
                (void)!ask_next(l, now_ms);
        }
        if (l->state == LOOKUP_ASKING) {
                wait_for(l, w);
                return RESOLVE_WAIT;
        }
        collect(l, r);
        return r->status;
}

void resolve_cancel(struct resolve_waiter *w)
{
        if (!w->next)
                return;
        w->prev->next = w->next;
        w->next->prev = w->prev;
        w->next = NULL;
        w->prev = NULL;
}

static void take_reply(struct lookup *l, struct question *q, const struct dns_reply *reply,
                       uint64_t now_ms)
{
        if (reply->rcode != DNS_NOERROR && reply->rcode != DNS_NXDOMAIN) {
                ask_again(l, q, now_ms); /* another server may know better */
                return;
        }
        q->answered = true;
        q->denied = reply->rcode == DNS_NXDOMAIN;
        q->count = (uint8_t)reply->count;
        memcpy(q->addresses, reply->addresses, sizeof(q->addresses));
        if (reply->count && reply->ttl_s < l->ttl_s)
                l->ttl_s = reply->ttl_s;
        question_close(q);
        lookup_check(l, now_ms);
}

static void begin_tcp(struct lookup *l, struct question *q, uint64_t now_ms)
{
        if (q->tries)
                q->tries--; /* the same server, by TCP: still the same try */
        if (begin_try(l, q, SOCK_STREAM) < 0) {
                q->tries++;
                ask_again(l, q, now_ms);
                return;
        }
        q->tries++;
        ev_arm(&tries, &q->timer, now_ms);
}

static void got_packet(struct lookup *l, struct question *q, const uint8_t *packet, size_t len,
                       uint64_t now_ms)
{
        uint8_t query[512];
        struct wr w = wr_of(query, sizeof(query));
        struct dns_reply reply;

        make_query(l, q, &w);
        switch (dns_parse_reply(&reply, query, w.len, packet, len)) {
        case DNS_REPLY_OK:
                take_reply(l, q, &reply, now_ms);
                return;
        case DNS_REPLY_TRUNCATED:
                if (q->state == QUESTION_UDP)
                        begin_tcp(l, q, now_ms);
                else
                        ask_again(l, q, now_ms);
                return;
        case DNS_REPLY_OTHER:
                return; /* somebody's guess: the true one may still come */
        case DNS_REPLY_BAD:
                ask_again(l, q, now_ms);
                return;
        }
}

static void udp_event(struct lookup *l, struct question *q, uint64_t now_ms)
{
        static uint8_t packet[4096];
        ssize_t n = recv(q->fd, packet, sizeof(packet), 0);

        if (n >= 0)
                got_packet(l, q, packet, (size_t)n, now_ms);
        else if (errno != EAGAIN && errno != EINTR)
                ask_again(l, q, now_ms); /* ECONNREFUSED: no server there */
}

static int tcp_send(struct lookup *l, struct question *q)
{
        uint8_t packet[514];
        struct wr w = wr_of(packet + 2, sizeof(packet) - 2);
        int r = sock_error(q->fd);

        if (r < 0)
                return r;
        make_query(l, q, &w);
        packet[0] = (uint8_t)(w.len >> 8);
        packet[1] = (uint8_t)w.len;
        q->reply = buf_take();
        if (!q->reply)
                return -ENOMEM;
        /* A new connection has room for a packet. */
        if (send(q->fd, packet, w.len + 2, MSG_NOSIGNAL) != (ssize_t)w.len + 2)
                return -EIO;
        q->state = QUESTION_TCP;
        return ev_change(the_ev, q->fd, EPOLLIN, ref_of(l, q));
}

/* 1: the reply is whole. 0: go on. -errno. */
static int tcp_read(struct question *q)
{
        size_t room, want;
        uint8_t *at = buf_room(q->reply, &room);
        ssize_t n = recv(q->fd, at, room, 0);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (!n || !room)
                return -EPROTO;
        buf_put(q->reply, (size_t)n);
        if (buf_len(q->reply) < 2)
                return 0;
        want = 2 + ((size_t)q->reply->bytes[0] << 8 | q->reply->bytes[1]);
        return buf_len(q->reply) >= want;
}

static void tcp_event(struct lookup *l, struct question *q, uint64_t now_ms)
{
        int r = q->state == QUESTION_CONNECT ? tcp_send(l, q) : tcp_read(q);

        if (r == 0)
                return;
        if (r == 1) {
                struct buf *whole = q->reply;

                q->reply = NULL;
                got_packet(l, q, whole->bytes + 2,
                           (size_t)whole->bytes[0] << 8 | whole->bytes[1], now_ms);
                buf_give(&whole);
                return;
        }
        ask_again(l, q, now_ms);
}

void resolve_event(struct ev_ref ref, uint64_t now_ms)
{
        struct lookup *l = &table[ref.slot / 2 % LOOKUPS];
        struct question *q = &l->q[ref.slot % 2];

        if (l->gen != ref.gen || l->state != LOOKUP_ASKING)
                return;
        if (q->state == QUESTION_UDP)
                udp_event(l, q, now_ms);
        else if (q->state != QUESTION_CLOSED)
                tcp_event(l, q, now_ms);
}

/* The lookup that a timer of it belongs to. */
static struct lookup *owner(const struct ev_timer *t)
{
        return &table[((uintptr_t)t - (uintptr_t)table) / sizeof(table[0])];
}

int resolve_tick(uint64_t now_ms, int at_most)
{
        struct ev_timer *t;

        while ((t = ev_due(&tries, now_ms))) {
                struct lookup *l = owner(t);

                ask_again(l, t == &l->q[0].timer ? &l->q[0] : &l->q[1], now_ms);
        }
        while ((t = ev_due(&patiences, now_ms)))
                lookup_end(owner(t), now_ms);
        at_most = ev_wait_ms(&tries, now_ms, at_most);
        return ev_wait_ms(&patiences, now_ms, at_most);
}

void resolve_forget(void)
{
        for (struct lookup *l = table; l < table + LOOKUPS && l->state != LOOKUP_FREE; l++) {
                question_close(&l->q[0]);
                question_close(&l->q[1]);
                ev_disarm(&l->patience);
                *l = (struct lookup){ .gen = l->gen + 1 };
        }
}
