/* netfilter/look.c - see look.h. */
#include "netfilter/look.h"

#include "base/io.h"
#include "base/log.h"
#include "netfilter/anchors.h"
#include "netfilter/inspect_head.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>

#define WARM 4 /* slots whose pages stay */

static struct anchors anchors LARGE_BUFFER;
static struct ca ca LARGE_BUFFER;
static struct tls_sessions sessions LARGE_BUFFER;
static struct tls_cache cache LARGE_BUFFER;
static struct inject inject LARGE_BUFFER;
static struct inspect_world world LARGE_BUFFER;
static struct tls_random rng;
static bool known;

/* Each slot begins on a page of its own. */
#define SLOT ((sizeof(struct inspect) + 4095) & ~(size_t)4095)
static uint8_t *slots;
static uint16_t free_slots[LOOKS], free_count, fresh;

/* ---- start ---- */

static uint64_t unix_s(void)
{
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t)t.tv_sec;
}

/* Its absence is worth a word only where clients are told of our authority. */
static void read_bundle(const char *path)
{
        AUTO_CLOSE int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : anchors_open_image();
        int r = fd < 0 ? (path ? -errno : fd) : anchors_load(&anchors, fd);

        if (r < 0 && path)
                die_errno(STATUS_PROVISION, -r, "--ca-bundle %s", path);
        if (r < 0)
                log_line(known ? LOG_WARN : LOG_DEBUG,
                         "no bundle of authorities in this image: "
                         "no host can be looked into without --ca-bundle");
}

static void hand_out(const struct proxy_options *o)
{
        char pem[2048];
        struct wr w = wr_of(pem, sizeof(pem));
        int r = 0;

        ca_put_pem(&ca, &w);
        if (o->ca_out_fd >= 0) {
                r = write_full(o->ca_out_fd, w.buf, w.len);
                close(o->ca_out_fd);
        }
        if (!r && o->ca_out) {
                AUTO_CLOSE int fd = open(o->ca_out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

                r = fd < 0 ? -errno : write_full(fd, w.buf, w.len);
        }
        if (r < 0)
                die_errno(STATUS_PROVISION, -r, "hand the certificate out");
}

void look_open(const struct proxy_options *o)
{
        uint8_t key[32];
        int r = tls_random_open(&rng);

        if (r < 0)
                die_errno(STATUS_PROVISION, -r, "random bytes");
        if (!ca_open(&ca, &rng, unix_s()))
                die(STATUS_PROVISION, "no authority could be made");
        /* The image's own unless others are named: naming them adds to it. */
        known = o->ca_out_fd >= 0 || o->ca_out;
        read_bundle(NULL);
        for (size_t i = 0; i < o->bundle_count; i++)
                read_bundle(o->bundles[i]);
        tls_random_bytes(&rng, key, sizeof(key));
        inject_init(&inject, key);
        explicit_bzero(key, sizeof(key));
        slots = mmap(NULL, SLOT * LOOKS, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (slots == MAP_FAILED)
                die_errno(STATUS_PROVISION, errno, "memory to look into connections");
        madvise(slots, SLOT * LOOKS, MADV_NOHUGEPAGE);
        madvise(slots, SLOT * LOOKS, MADV_DONTDUMP);
        world.random = &rng;
        world.ca = &ca;
        world.cache = &cache;
        world.sessions = &sessions;
        world.inject = &inject;
        world.trust = anchors_trust(&anchors);
        look_forget();
        hand_out(o);
}

bool look_is_known(void)
{
        return known;
}

void look_forget(void)
{
        tls_sessions_wipe(&sessions);
        tls_cache_init(&cache);
}

/* ---- secrets ---- */

int look_secrets(const char *list, size_t len)
{
        return inject_load(&inject, list, len) == INJECT_OK ? 0 : -EFBIG;
}

int look_aliases(const char *list, size_t len)
{
        return inject_load_aliases(&inject, list, len) == INJECT_OK ? 0 : -EFBIG;
}

void look_put_placeholders(struct wr *w)
{
        inject_put_placeholders(&inject, w);
}

bool look_foreign(const struct http1 *h)
{
        return inspect_foreign(&inject, h);
}

/* ---- slots ---- */

static struct inspect *slot_take(void)
{
        uint16_t n;

        if (free_count)
                n = free_slots[--free_count];
        else if (fresh < LOOKS)
                n = fresh++;
        else
                return NULL;
        return (struct inspect *)(void *)(slots + SLOT * n);
}

void look_drop(struct conn *c)
{
        uint8_t *at = (uint8_t *)c->look;

        if (!c->look)
                return;
        inspect_wipe(c->look);
        if (free_count >= WARM)
                madvise(at, SLOT, MADV_DONTNEED);
        free_slots[free_count++] = (uint16_t)((size_t)(at - slots) / SLOT);
        c->look = NULL;
}

/* ---- bytes between sockets and engines ---- */

/*
 * What was read, into the engine. It asks for a record's five bytes of header and then for
 * the rest: two reads each, if it read from the socket itself.
 */
static bool feed(struct buf **b, struct tls *t)
{
        bool moved = false;
        uint8_t *room;
        size_t len;

        while (buf_len(*b) && (room = tls_in(t, &len)) != NULL) {
                if (len > buf_len(*b))
                        len = buf_len(*b);
                memcpy(room, (*b)->bytes + (*b)->from, len);
                buf_used(*b, len);
                tls_in_got(t, len);
                moved = true;
        }
        if (!buf_len(*b))
                buf_give(b);
        return moved;
}

/* 1: something went; 0: nothing; -errno. */
static int side_write(const struct side *s, struct tls *t)
{
        const uint8_t *out;
        int went = 0;
        size_t len;

        while ((out = tls_out(t, &len)) != NULL) {
                ssize_t n = write(s->fd, out, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? went : -errno;
                tls_out_sent(t, (size_t)n);
                went = 1;
        }
        return went;
}

static bool move(struct conn *c)
{
        bool moved = feed(&c->up_in, &c->look->client);
        int r;

        if (!c->up_in && c->client.eof)
                inspect_client_ended(c->look);
        r = side_write(&c->client, &c->look->client);

        moved |= r > 0;
        if (r < 0) {
                inspect_lose(c->look, &world);
                return true;
        }
        if (inspect_has_upstream(c->look) && c->server.fd >= 0) {
                moved |= feed(&c->down_in, &c->look->upstream);
                r = side_write(&c->server, &c->look->upstream);
                moved |= r > 0;
                if (r < 0 || (c->server.eof && !c->down_in))
                        inspect_upstream_ended(c->look);
        }
        return moved;
}

static void arm(struct proxy *p, struct conn *c)
{
        uint32_t client = 0, server = 0;
        size_t len;

        if (!c->client.eof && !c->up_in)
                client |= EPOLLIN;
        if (tls_out(&c->look->client, &len))
                client |= EPOLLOUT;
        if (inspect_has_upstream(c->look)) {
                if (!c->server.eof && !c->down_in)
                        server |= EPOLLIN;
                if (tls_out(&c->look->upstream, &len))
                        server |= EPOLLOUT;
        }
        conn_arm(p, c, &c->client, client);
        conn_arm(p, c, &c->server, server);
}

/* ---- turns ---- */

static void report(struct proxy *p, struct conn *c)
{
        const struct inspect_decision *d = &c->look->decision;
        struct exchange *x = &c->x;
        size_t method = strlen(d->method), path = strlen(d->path);

        *x = (struct exchange){ .rule = d->rule, .code = d->code, .up = d->up, .down = d->down,
                                .start_ms = p->now_ms - d->ms };
        x->method_len = (uint8_t)(method < sizeof(x->method) ? method : sizeof(x->method));
        memcpy(x->method, d->method, x->method_len);
        x->path_len = (uint8_t)(path < CONN_PATH ? path : CONN_PATH);
        memcpy(x->path, d->path, x->path_len);
        conn_report(p, c, d->reason, d->why);
}

#define NO_PHASE UINT8_MAX

/* A deadline is for a whole phase, not for each byte of it: somebody may send one a minute. */
static void wait_for(struct proxy *p, struct conn *c)
{
        if (c->look_waits == c->look->phase && c->look->phase != INSPECT_EXCHANGE &&
            c->look->phase != INSPECT_TUNNEL)
                return;
        c->look_waits = (uint8_t)c->look->phase;
        switch (c->look->phase) {
        case INSPECT_SHAKING:
        case INSPECT_LISTING:
        case INSPECT_GREETING:
        case INSPECT_REFUSING:
        case INSPECT_DRAINING:
                conn_wait(p, c, WAIT_HEAD);
                return;
        case INSPECT_IDLE:
                conn_wait(p, c, WAIT_IDLE);
                return;
        case INSPECT_EXCHANGE:
        case INSPECT_TUNNEL:
                conn_wait(p, c, WAIT_STALL);
                return;
        case INSPECT_GOODBYE:
        case INSPECT_ENDED:
                conn_wait(p, c, WAIT_LINGER);
                return;
        case INSPECT_DIALLING:
                return; /* dial.c has its own */
        }
}

static void turn(struct proxy *p, struct conn *c)
{
        world.policy = conn_policy(p, c);
        world.now_ms = p->now_ms;
        world.now_s = unix_s();
        for (;;) {
                bool moved = move(c);

                switch (inspect_run(c->look, &world)) {
                case INSPECT_WAIT:
                        if (moved)
                                continue;
                        /* What it made in this run may still go out at once. */
                        if (move(c))
                                continue;
                        if (c->look->phase != INSPECT_DIALLING)
                                wait_for(p, c);
                        arm(p, c);
                        return;
                case INSPECT_DIAL:
                        conn_reach(p, c); /* ends in look_reached or look_refused */
                        return;
                case INSPECT_HANG_UP:
                        if (c->server.fd >= 0)
                                (void)side_write(&c->server, &c->look->upstream);
                        conn_drop_server(c);
                        break;
                case INSPECT_DECIDED:
                        report(p, c);
                        c->look_waits = NO_PHASE; /* idle again is another wait */
                        break;
                case INSPECT_OVER:
                        look_drop(c);
                        conn_linger(p, c);
                        return;
                }
        }
}

void look_begin(struct proxy *p, struct conn *c)
{
        struct inspect *in = slot_take();

        if (!in) {
                conn_refuse(p, c, POLICY_DENY_LIMIT, "too many connections are looked into");
                return;
        }
        world.now_s = unix_s();
        c->look = in;
        c->look_waits = NO_PHASE;
        if (!inspect_init(in, &world, &c->verdict,
                          c->model || c->speak_tls ? INSPECT_TLS_UPSTREAM : INSPECT_TLS)) {
                look_drop(c);
                conn_refuse(p, c, POLICY_DENY_NAME, "no certificate can be made for this name");
                return;
        }
        conn_go(c, CONN_LOOK);
        turn(p, c);
}

void look_event(struct proxy *p, struct conn *c, bool client, uint32_t events)
{
        struct side *s = client ? &c->client : &c->server;

        if (s->armed & EPOLLIN && events & (EPOLLIN | EPOLLHUP | EPOLLERR) &&
            conn_read(s, client ? &c->up_in : &c->down_in) < 0) {
                s->eof = true;
                if (client)
                        inspect_lose(c->look, &world);
        }
        turn(p, c);
}

void look_reached(struct proxy *p, struct conn *c)
{
        conn_go(c, CONN_LOOK);
        inspect_dialled(c->look, &world);
        turn(p, c);
}

void look_refused(struct proxy *p, struct conn *c, enum policy_reason reason, const char *detail)
{
        conn_drop_server(c);
        if (c->state != CONN_LOOK)
                conn_go(c, CONN_LOOK);
        c->look->decision.why = detail;
        inspect_undialled(c->look, &world, reason);
        turn(p, c);
}

void look_late(struct proxy *p, struct conn *c)
{
        inspect_expire(c->look, &world);
        turn(p, c);
}

void look_cut(struct proxy *p, struct conn *c)
{
        if (!c->look)
                return;
        world.policy = conn_policy(p, c);
        world.now_ms = p->now_ms;
        inspect_lose(c->look, &world);
        if (c->look->decided) {
                c->look->decision.why = "cut off";
                report(p, c);
        }
        look_drop(c);
}
