/*
 * netfilter/proxy.c - airlock-proxy: the only process that reaches the network.
 *
 * One thread and one epoll. It opens what it needs, becomes a role that may open nothing
 * more (no capabilities but SO_MARK's, no new files, programs or processes), then obeys
 * its control channel until that ends. If it dies nothing gets out: the locks lead
 * every connection to listeners that only it has.
 */
#include "base/clock.h"
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "netfilter/conn.h"
#include "netfilter/look.h"
#include "netfilter/names.h"
#include "netfilter/proxy_options.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <filter.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

#define EVENTS 64
#define TEXT_MAX ((size_t)64 * 1024) /* of resolv.conf and of hosts */
#define OTHER_FDS 128        /* epoll, channels, resolver, warm pipes */

static struct proxy the_proxy LARGE_BUFFER;
static char policy_text[POLICY_TEXT_MAX] LARGE_BUFFER;
static char resolv_text[TEXT_MAX] LARGE_BUFFER;
static char hosts_text[TEXT_MAX] LARGE_BUFFER;

/* ---- events ---- */

/* A request that waits in a buffer gets no event of its own, nor does an end that was read. */
static void settle(struct proxy *p, struct conn *c, uint32_t gen)
{
        if (c->gen == gen && c->state == CONN_HEAD && (buf_len(c->up_in) || c->client.eof))
                exchange_pump(p, c);
}

static void client_turn(struct proxy *p, struct conn *c)
{
        switch (c->state) {
        case CONN_GREET:
                door_greet(p, c);
                break;
        case CONN_SOCKS:
                door_socks(p, c);
                break;
        case CONN_HEAD:
        case CONN_EXCHANGE:
                exchange_pump(p, c);
                break;
        case CONN_PEEK:
                door_peek(p, c);
                break;
        case CONN_RESOLVE:
        case CONN_DIAL:
        case CONN_PARENT:
                conn_arm_client(p, c);
                break;
        case CONN_LINGER:
                conn_linger_event(p, c);
                break;
        case CONN_DNS:
                answer_tcp(p, c);
                break;
        case CONN_TUNNEL:
        case CONN_LOOK:
        case CONN_FREE:
        case CONN_STATES:
                break;
        }
}

static void client_event(struct proxy *p, struct conn *c, uint32_t events)
{
        uint32_t gen = c->gen;
        ssize_t n = 0;

        if (conn_lost(p, c, &c->client, events))
                return;
        if (c->state == CONN_TUNNEL) {
                tunnel_event(p, c, true, events);
                return;
        }
        if (c->state == CONN_LOOK) {
                look_event(p, c, true, events);
                return;
        }
        if (c->client.armed & EPOLLIN && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                n = conn_read(&c->client, &c->up_in);
        if (n == -ENOBUFS) {
                conn_refuse(p, c, POLICY_DENY_LIMIT, "no buffer is free");
        } else if (n < 0) {
                if (c->state == CONN_EXCHANGE)
                        conn_report(p, c, POLICY_ALLOWED, "the client left");
                conn_reset(p, c);
        } else {
                client_turn(p, c);
        }
        settle(p, c, gen);
}

static void server_event(struct proxy *p, struct conn *c, uint32_t events)
{
        uint32_t gen = c->gen;
        ssize_t n = 0;

        if (c->state == CONN_DIAL)
                conn_dial_event(p, c);
        else if (c->state == CONN_PARENT)
                conn_parent_event(p, c);
        else if (conn_lost(p, c, &c->server, events))
                return;
        else if (c->state == CONN_TUNNEL)
                tunnel_event(p, c, false, events);
        else if (c->state == CONN_LOOK)
                look_event(p, c, false, events);
        else if (c->state == CONN_HEAD)
                conn_drop_server(c); /* an idle connection that speaks or ends */
        else if (c->state == CONN_EXCHANGE) {
                if (c->server.armed & EPOLLIN && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                        n = conn_read(&c->server, &c->down_in);
                if (n < 0) /* what came before is still worth something */
                        c->server.eof = true;
                exchange_pump(p, c);
        }
        settle(p, c, gen);
}

static void resolver_done(struct resolve_waiter *w, const struct resolved *r)
{
        struct proxy *p = &the_proxy;
        size_t offset = (uintptr_t)w - (uintptr_t)p->conns;
        struct conn *c = &p->conns[offset / sizeof(struct conn)];
        uint32_t gen = c->gen;

        conn_resolved(p, c, r);
        settle(p, c, gen);
}

static void dispatch(struct proxy *p, const struct epoll_event *e)
{
        struct ev_ref ref = ev_ref_of(e->data.u64);

        switch ((enum ev_kind)ref.kind) {
        case EV_CLIENT:
        case EV_SERVER: {
                struct conn *c = &p->conns[ref.slot % CONN_COUNT];

                if (c->gen != ref.gen || c->state == CONN_FREE)
                        return; /* closed earlier in this batch */
                if (ref.kind == EV_CLIENT)
                        client_event(p, c, e->events);
                else if (c->server.fd >= 0)
                        server_event(p, c, e->events);
                return;
        }
        case EV_LISTENER:
                listen_event(p, ref, e->events);
                return;
        case EV_CHANNEL:
                control_event(p, ref);
                return;
        case EV_RESOLVER:
                resolve_event(ref, p->now_ms);
                return;
        case EV_SIGNAL:
                p->ended = true;
                return;
        }
}

/* ---- deadlines ---- */

static void late(struct proxy *p, struct conn *c)
{
        switch (c->state) {
        case CONN_DIAL:
                conn_dial_late(p, c);
                return;
        case CONN_PARENT:
                conn_refuse(p, c, POLICY_DENY_UPSTREAM, "upstream proxy: no answer");
                return;
        case CONN_HEAD:
                if (!buf_len(c->up_in)) {
                        conn_close(p, c); /* idle */
                        return;
                }
                conn_refuse(p, c, POLICY_DENY_LIMIT, "the request's head did not come in time");
                return;
        case CONN_PEEK:
                conn_refuse(p, c, POLICY_DENY_LIMIT, "the first bytes did not come in time");
                return;
        case CONN_EXCHANGE:
                conn_refuse(p, c, POLICY_DENY_UPSTREAM, "nothing moved for ten minutes");
                return;
        case CONN_LOOK:
                look_late(p, c);
                return;
        case CONN_TUNNEL:
        case CONN_LINGER:
        case CONN_GREET:
        case CONN_SOCKS:
        case CONN_DNS:
        case CONN_RESOLVE:
                conn_close(p, c);
                return;
        case CONN_FREE:
        case CONN_STATES:
                return;
        }
}

static void all_late(struct proxy *p)
{
        for (size_t i = 0; i < WAIT_COUNT; i++) {
                struct ev_timer *t;

                while ((t = ev_due(&p->waits[i], p->now_ms))) {
                        size_t offset = (uintptr_t)t - (uintptr_t)p->conns;
                        struct conn *c = &p->conns[offset / sizeof(struct conn)];
                        uint32_t gen = c->gen;

                        late(p, c);
                        settle(p, c, gen);
                }
        }
}

static int wait_ms(struct proxy *p)
{
        int ms = -1;

        for (size_t i = 0; i < WAIT_COUNT; i++)
                ms = ev_wait_ms(&p->waits[i], p->now_ms, ms);
        if (!p->accepting && p->conn_count < p->conn_limit && (ms < 0 || ms > ACCEPT_RETRY_MS))
                ms = ACCEPT_RETRY_MS;
        ms = resolve_tick(p->now_ms, ms);
        return journal_tick(p->now_ms, ms);
}

static void serve(struct proxy *p)
{
        struct epoll_event events[EVENTS];

        while (!p->ended) {
                int n;

                n = epoll_wait(p->ev, events, EVENTS, wait_ms(p));
                p->now_ms = now_ms();
                for (int i = 0; i < n; i++)
                        dispatch(p, &events[i]);
                all_late(p);
                if (!p->accepting && p->conn_count < p->conn_limit && p->now_ms >= p->retry_ms)
                        listen_accepting(p, true);
        }
}

/* ---- start ---- */

static void read_text(const char *path, char *buf)
{
        ssize_t n = read_file(AT_FDCWD, path, buf, TEXT_MAX);

        if (n < 0) {
                buf[0] = '\0';
                if (n != -ENOENT)
                        log_errno(LOG_WARN, (int)-n, "%s", path);
        }
}

static int descriptor(const char *text)
{
        int n = 0;

        if (!*text || strlen(text) > 6)
                return -1;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return -1;
                n = n * 10 + (*text - '0');
        }
        return n;
}

static void open_journal(const struct proxy_options *o, uint64_t start_ms)
{
        int fd = -1;

        if (o->journal && o->control >= 0) {
                fd = descriptor(o->journal);
                if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                        die(STATUS_USAGE, "--journal %s: not a descriptor", o->journal);
        } else if (o->journal) {
                fd = open(o->journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
                if (fd < 0)
                        die_errno(STATUS_OUTPUT, errno, "--journal %s", o->journal);
        }
        journal_open(fd, start_ms, o->control >= 0 ? JOURNAL_MAX : UINT64_MAX);
}

static void open_listener(struct proxy *p, int fd, enum listener kind, const char *what)
{
        char line[128];
        struct wr w = wr_of(line, sizeof(line) - 1);
        struct endpoint at;

        if (fd < 0)
                die_errno(STATUS_PROVISION, -fd, "%s", what);
        wr_str(&w, what);
        if (sock_local(fd, &at) == 0 && at.address.family) {
                w.len = 0;
                endpoint_put(&w, &at);
        }
        int r = listen_add(p, fd, kind);

        if (r < 0)
                die_errno(STATUS_PROVISION, -r, "%s", what);
        log_line(LOG_INFO, kind == LISTEN_PROXY ? "listening on %s" : "answering names on %s",
                 wr_cstr(&w));
}

static void open_listeners(struct proxy *p, const struct proxy_options *o)
{
        struct endpoint e;

        for (size_t i = 0; i < o->listen_count; i++) {
                const char *at = o->listen[i];

                if (!strncmp(at, "unix:", 5))
                        open_listener(p, sock_listen_unix(at + 5), LISTEN_PROXY, at);
                else if (endpoint_parse(&e, at))
                        open_listener(p, sock_listen(&e), LISTEN_PROXY, at);
                else
                        die(STATUS_USAGE, "--listen %s: not ADDR:PORT or unix:PATH", at);
        }
        for (size_t i = 0; i < o->dns_count; i++) {
                if (!endpoint_parse(&e, o->dns[i]))
                        die(STATUS_USAGE, "--dns %s: not ADDR:PORT", o->dns[i]);
                int udp = sock_bind_udp(&e);

                /* Port 0 is any, but the same for both. */
                if (udp >= 0 && sock_local(udp, &e) < 0)
                        die(STATUS_PROVISION, "--dns %s: no address", o->dns[i]);
                open_listener(p, udp, LISTEN_DNS_UDP, o->dns[i]);
                open_listener(p, sock_listen(&e), LISTEN_DNS_TCP, o->dns[i]);
        }
}

static void open_signals(struct proxy *p)
{
        struct ev_ref ref = { .kind = EV_SIGNAL };
        sigset_t set;
        int fd;

        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_SETMASK, &set, NULL);
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fd < 0 || ev_add(p->ev, fd, EPOLLIN, ref) < 0)
                die_errno(STATUS_PROVISION, errno, "watch for signals");
}

/* As many connections as descriptors allow: two sockets and a pipe each at the worst. */
static void set_limits(struct proxy *p)
{
        struct rlimit none = { 0 }, files;

        setrlimit(RLIMIT_CORE, &none);
        p->conn_limit = CONN_COUNT;
        if (getrlimit(RLIMIT_NOFILE, &files) < 0)
                return;
        files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &files);
        if (files.rlim_cur < OTHER_FDS + 4 * (rlim_t)CONN_COUNT) {
                p->conn_limit = files.rlim_cur > OTHER_FDS + 64
                                        ? (uint32_t)(files.rlim_cur - OTHER_FDS) / 4
                                        : 16;
        }
}

/* The capability that SO_MARK needs: CAP_NET_RAW does since Linux 5.17. */
static uint64_t mark_caps(const struct proxy_options *o)
{
        static const unsigned wanted[] = { CAP_NET_RAW, CAP_NET_ADMIN };

        sock_mark(o->mark);
        for (size_t i = 0; o->mark && i < COUNT(wanted); i++) {
                AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                uint64_t cap = UINT64_C(1) << wanted[i];

                if (confine_permitted() & cap &&
                    setsockopt(fd, SOL_SOCKET, SO_MARK, &o->mark, sizeof(o->mark)) == 0)
                        return cap;
        }
        if (o->mark)
                die(STATUS_LOCK, "SO_MARK needs CAP_NET_RAW or CAP_NET_ADMIN");
        return 0;
}

/* A change of user empties the effective set; what is permitted is meant to be used. */
static int raise_caps(void)
{
        struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2];

        if (syscall(SYS_capget, &head, data) < 0)
                return -errno;
        data[0].effective = data[0].permitted;
        data[1].effective = data[1].permitted;
        return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static void become_role(const struct proxy_options *o)
{
        struct confine c = { .set_ids = o->set_ids, .uid = o->uid, .gid = o->gid,
                             .keep_caps = mark_caps(o), .no_new_privs = true };
        struct sock_fprog filter = { COUNT(proxy_filter),
                                     (struct sock_filter *)(uintptr_t)proxy_filter };
        const char *stage;
        int r;

        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
                die_errno(STATUS_LOCK, errno, "keep capabilities");
        r = confine_apply(&c, &stage);
        if (r < 0)
                die_errno(STATUS_LOCK, -r, "%s", stage);
        r = raise_caps();
        if (r < 0)
                die_errno(STATUS_LOCK, -r, "raise capabilities");
        /* After the change of user, which sets it again. */
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                die_errno(STATUS_LOCK, errno, "become undumpable");
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
                die_errno(STATUS_LOCK, errno, "seccomp filter");
}

static void open_control(struct proxy *p, const struct proxy_options *o)
{
        int r;

        if (fcntl(o->control, F_SETFD, FD_CLOEXEC) < 0)
                die(STATUS_USAGE, "--control %d: not a descriptor", o->control);
        r = sock_nonblocking(o->control);
        if (r == 0)
                r = control_add(p, o->control, CHANNEL_OF_CONTROL);
        if (r < 0)
                die_errno(STATUS_PROVISION, -r, "control channel");
}

static void own_policy(struct proxy *p, const struct proxy_options *o)
{
        struct policy_error e = { 0 };

        if (control_policy(p, o->policy.buf, o->policy.len, o->learn ? "learn" : "proxy", &e) < 0)
                die(STATUS_USAGE, "policy, line %u: %s (lines: options in order, then --rules)",
                    e.line, e.expected);
}

static void must(int r, const char *what)
{
        if (r < 0)
                die_errno(STATUS_PROVISION, -r, "%s", what);
}

int main(int argc, char **argv)
{
        struct proxy *p = &the_proxy;
        struct proxy_options o = { .policy = wr_of(policy_text, sizeof(policy_text)) };
        static struct resolv conf LARGE_BUFFER;
        int r;

        confine_relro();
        log_role("proxy");
        r = proxy_options(&o, argc, argv);
        if (r)
                return r > 0 ? STATUS_OK : STATUS_USAGE;
        p->now_ms = now_ms();
        p->accepting = true;
        set_limits(p);
        p->ev = ev_open();
        must(p->ev, "epoll");
        must(pool_open(), "buffers");
        must(conn_open_table(p), "table of connections");
        must(control_open(p), "policy tables");
        look_open(&o);
        names_init();
        open_signals(p);
        open_journal(&o, o.start_ms ? o.start_ms : p->now_ms);
        read_text(o.resolv, resolv_text);
        read_text(o.hosts, hosts_text);
        resolv_parse(&conf, resolv_text);
        resolve_open(p->ev, EV_RESOLVER, &conf, hosts_text, o.mark != 0, resolver_done);
        answer_open(&conf);
        if (o.control >= 0) {
                log_patience(100);
                open_control(p, &o);
        } else {
                own_policy(p, &o);
                if (o.secrets)
                        must(control_secrets_file(o.secrets, o.placeholders), o.secrets);
                open_listeners(p, &o);
        }
        become_role(&o);
        serve(p);
        conn_reset_all(p);
        journal_flush();
        journal_totals(p->now_ms);
        if (o.learn)
                journal_propose(STDOUT_FILENO);
        return STATUS_OK;
}
