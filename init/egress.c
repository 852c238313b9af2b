/* init/egress.c - starts the proxy, tells it the policy, and locks whoever must use it. */
#include "init/egress.h"

#include "base/io.h"
#include "base/msg.h"
#include "base/wr.h"
#include "init/child.h"
#include "init/policy_text.h"
#include "init/program.h"
#include "init/sig.h"
#include "init/task.h"
#include "init/words.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define ANSWER_MS 10000
#define END_MS 2000
#define PROXY_UID 65001 /* of their own, where they may: nobody's in any image we know */
#define NOTIFY_UID 65002
#define MARK "2588" /* SO_MARK of what the proxy sends, under the netfilter lock */

/* --- which lock ------------------------------------------------------------------------ */

/* What a phase may reach; REPORT nothing: only git and rm run there. */
static enum spec_net mode_of(const struct task *t, enum phase p)
{
        if (p == PHASE_REPORT)
                return NET_OFF;
        return p < PHASE_SEAL ? t->spec.network.setup : t->spec.network.agent;
}

static bool demanded(const struct spec *s, enum lock lock)
{
        static const enum spec_lock words[LOCK_NAMES] = {
                [LOCKED_NETNS] = LOCK_NETNS,   [LOCKED_NETFILTER] = LOCK_NETFILTER,
                [LOCKED_NOTIFY] = LOCK_NOTIFY, [LOCKED_CLOSED] = LOCK_CLOSED,
        };

        return s->network.lock == LOCK_AUTO || s->network.lock == words[lock];
}

/* closed lets nothing through, so it is no way to let something through: a push is. */
static bool suits(const struct task *t, enum lock lock)
{
        return lock != LOCKED_CLOSED || (t->spec.network.agent == NET_OFF &&
                                         t->spec.network.setup != NET_LIMITED &&
                                         !t->spec.output.push.count);
}

static void journal_lock(struct task *t, const struct wr *tried)
{
        char fields[3072];
        struct wr w = wr_of(fields, sizeof(fields));

        wr_fmt(&w, ",\"lock\":\"%s\",\"setup_lock\":\"%s\",\"others\":{", lock_name(t->agent_lock),
               lock_name(t->setup_lock));
        wr_bytes(&w, tried->buf, tried->len);
        wr_str(&w, "}");
        journal_event(&t->journal, "lock", fields, w.len);
}

static enum status none_holds(struct task *t, const char *last, const char *why)
{
        const char *mode = spec_net_name(t->spec.network.agent);

        if (t->spec.network.lock != LOCK_AUTO)
                return task_fail(t, STATUS_LOCK, "network.lock \"%s\" can't be had here: %s", last,
                                 why);
        return task_fail(t, STATUS_LOCK,
                         "network \"%s\" can't be enforced here: no lock holds (`airlock doctor` "
                         "says what each one needs); the last tried, %s: %s", mode, last, why);
}

/* May a child of ours have this uid? A user namespace may not map it. */
static bool may_become(uid_t uid)
{
        pid_t pid = _Fork();

        if (!pid)
                _exit(syscall(SYS_setresgid, uid, uid, uid) ||
                      syscall(SYS_setresuid, uid, uid, uid));
        return pid > 0 && !child_end(pid, END_MS);
}

/*
 * The second time, for the policy that the repository has narrowed: a lock that did for the
 * wider one does for this. Trying netfilter again would find the proxy's sockets, and could
 * not tell them from a stranger's.
 */
static bool still_does(const struct task *t)
{
        return t->egress.proxy && t->agent_lock != LOCKED_NOT &&
               demanded(&t->spec, t->agent_lock) && suits(t, t->agent_lock);
}

enum status egress_choose(struct task *t)
{
        char tried[2560];
        struct wr w = wr_of(tried, sizeof(tried));
        char why[LOCK_WHY] = "";
        enum lock lock, last = LOCKED_NOT;

        if (still_does(t)) {
                t->setup_lock = t->spec.network.setup != NET_FULL ? t->agent_lock : LOCKED_NOT;
                return STATUS_OK;
        }
        for (lock = LOCKED_NETNS; lock < LOCK_NAMES; lock++) {
                if (!demanded(&t->spec, lock) || !suits(t, lock))
                        continue;
                last = lock;
                if (!lock_try(t->programs[PROGRAM_LOCK], lock, why))
                        break;
                wr_fmt(&w, "%s\"%s\":", w.len ? "," : "", lock_name(lock));
                wr_json(&w, why, strlen(why));
        }
        if (lock == LOCK_NAMES)
                return none_holds(t, lock_name(last ? last : LOCKED_CLOSED),
                                  last ? why : "it is enough for \"off\" alone");
        t->agent_lock = lock;
        t->egress.own_uid = may_become(PROXY_UID) && may_become(NOTIFY_UID);
        if (t->spec.network.setup != NET_FULL)
                t->setup_lock = lock;
        journal_lock(t, &w);
        return STATUS_OK;
}

/* --- sockets --------------------------------------------------------------------------- */

/* A listener, or a datagram socket, on loopback; *@port 0: any, and it is filled in. */
static int bind_loopback(int family, int type, uint16_t *port)
{
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } at = { .v4 = { .sin_family = AF_INET, .sin_port = htons(*port),
                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
        socklen_t len = family == AF_INET ? sizeof(at.v4) : sizeof(at.v6);
        int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int one = 1;

        if (fd < 0)
                return -errno;
        if (family == AF_INET6) {
                at.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(*port),
                                               .sin6_addr = IN6ADDR_LOOPBACK_INIT };
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
        }
        if (type == SOCK_DGRAM && setsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
                                             family == AF_INET ? IP_PKTINFO : IPV6_RECVPKTINFO,
                                             &one, sizeof(one)) < 0)
                goto fail;
        if (bind(fd, &at.any, len) < 0 || (type == SOCK_STREAM && listen(fd, 4096) < 0) ||
            getsockname(fd, &at.any, &len) < 0)
                goto fail;
        *port = ntohs(family == AF_INET ? at.v4.sin_port : at.v6.sin6_port);
        return fd;
fail:
        *port = 0;
        close(fd);
        return -errno;
}

static int give_socket(struct task *t, enum listener kind, int fd)
{
        struct msg m = { .type = MSG_LISTENER, .kind = kind };

        return msg_ask(t->egress.control, &m, fd, ANSWER_MS);
}

static int give(struct task *t, enum listener kind, int family, int type, uint16_t *port)
{
        AUTO_CLOSE int fd = bind_loopback(family, type, port);

        return fd < 0 ? fd : give_socket(t, kind, fd);
}

/*
 * One port of both families. Whatever the kernel picks for one may be taken in the other;
 * a container without IPv6 needs no listener for it.
 */
static int give_both(struct task *t, enum listener kind, int type, uint16_t *port)
{
        const uint16_t asked = *port;

        for (unsigned tries = 0;; tries++) {
                AUTO_CLOSE int four = bind_loopback(AF_INET, type, port);
                uint16_t same = *port;
                AUTO_CLOSE int six = four < 0 ? four : bind_loopback(AF_INET6, type, &same);
                int r;

                if (four < 0)
                        return four;
                if (six == -EADDRINUSE && !asked && tries < 16) {
                        *port = 0;
                        continue;
                }
                if (six < 0 && six != -EADDRNOTAVAIL && six != -EAFNOSUPPORT)
                        return six;
                r = give_socket(t, kind, four);
                return r || six < 0 ? r : give_socket(t, kind, six);
        }
}

/* --- the proxy --------------------------------------------------------------------------- */

static int give_policy(struct task *t, enum policy_text_for what, enum phase p)
{
        static LARGE_BUFFER char text[256 * 1024];
        struct wr w = wr_of(text, sizeof(text));
        struct msg m = { .type = MSG_POLICY,
                         .kind = what >= POLICY_TEXT_MODEL ? POLICY_MODEL : 0 };

        policy_text_put(&w, &t->spec, what);
        if (w.full)
                return -E2BIG;
        AUTO_CLOSE int fd = sealed_file("policy", text, w.len);
        if (fd < 0)
                return fd;
        memcpy(m.text, phase_name(p), strlen(phase_name(p)) + 1);
        return msg_ask(t->egress.control, &m, fd, ANSWER_MS);
}

/* Does the policy look into requests? Only then do clients have to believe us. */
static bool looks_inside(const struct spec *s)
{
        if (s->network.methods.items)
                return true;
        for (size_t i = 0; i < s->network.rule_count; i++) {
                const struct spec_rule *r = &s->network.rules[i];

                if (r->way > WAY_MODEL || (r->way == WAY_MODEL && s->agent.builtin))
                        continue; /* its client needs no certificate */
                if (r->methods.items || r->paths.items || r->git != GIT_UNSET || r->inject_header)
                        return true;
        }
        return false;
}

static NORETURN void become_proxy(struct task *t, int control)
{
        const char *v[24] = { "airlock-proxy" };
        struct words a = { .v = v, .cap = COUNT(v), .n = 1 };

        words_number(&a, "--control", (uint64_t)control);
        words_number(&a, "--journal", (uint64_t)t->journal.fd);
        words_number(&a, "--start-ms", t->journal.start_ms);
        if (t->egress.ca) {
                words_number(&a, "--ca-out-fd", (uint64_t)t->egress.ca);
                fcntl(t->egress.ca, F_SETFD, 0);
        }
        words_option(&a, "--ca-bundle", t->spec.network.ca_file);
        if (t->egress.own_uid) {
                words_number(&a, "--uid", PROXY_UID);
                words_number(&a, "--gid", PROXY_UID);
        }
        if (t->agent_lock == LOCKED_NETFILTER)
                words_option(&a, "--mark", MARK);
        fcntl(control, F_SETFD, 0);
        fcntl(t->journal.fd, F_SETFD, 0);
        dup2(STDERR_FILENO, STDOUT_FILENO);
        setsid();
        sig_child_restore();
        syscall(SYS_execveat, t->programs[PROGRAM_PROXY], "", v, environ, AT_EMPTY_PATH);
        _exit(STATUS_NOT_FOUND);
}

static int run_proxy(struct task *t)
{
        int ends[2];

        if (looks_inside(&t->spec)) {
                t->egress.ca = memfd_create("ca", MFD_CLOEXEC);
                if (t->egress.ca < 0)
                        return -errno;
        }
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        t->egress.proxy = _Fork();
        if (!t->egress.proxy)
                become_proxy(t, ends[1]);
        close(ends[1]);
        if (t->egress.proxy < 0) {
                t->egress.proxy = 0;
                close(ends[0]);
                return -errno;
        }
        stop_spare(t->egress.proxy);
        t->egress.control = ends[0];
        return 0;
}

/* --- the netfilter lock's rules -------------------------------------------------------------- */

/*
 * @off: nothing leaves, but for what the proxy sends for the built-in loop and, in the report,
 * for the push; nobody is led to the proxy then.
 */
static enum status apply_rules(struct task *t, bool off)
{
        char redirect[8], dns[8], why[LOCK_WHY];
        struct wr r = wr_of(redirect, sizeof(redirect) - 1);
        struct wr d = wr_of(dns, sizeof(dns) - 1);
        /*
         * --shared: lock_try() has looked for others, when we were alone. By now the proxy's
         * sockets are there, and without CAP_SYS_PTRACE they look like somebody else's.
         */
        const char *argv[] = { "airlock-lock", "--apply", "netfilter", "--mark", MARK, "--shared",
                               "--lent", "--redirect-port", redirect, "--dns-port", dns, NULL,
                               NULL, NULL };
        /*
         * We never close it: whoever does, once rules were taken away by it, waits until the
         * last packet has left them. After the seal nobody has a right to say anything by it.
         */
        int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
        const char **more = argv + COUNT(argv) - 3;
        const char *server = t->spec.agent.exec_server;

        if (off && !t->spec.agent.builtin && !t->spec.output.push.count)
                *more++ = "--off";
        if (server && *server == 'w') /* its clients get their answers */
                *more = "--inbound";
        wr_u64(&r, off ? 0 : t->egress.redirect);
        wr_cstr(&r);
        wr_u64(&d, off ? 0 : t->egress.dns);
        wr_cstr(&d);
        if (lock_run(t->programs[PROGRAM_LOCK], (char *const *)(uintptr_t)argv, netlink, why) < 0)
                return task_fail(t, STATUS_LOCK, "lock netfilter: %s", why);
        t->egress.rules = true;
        return STATUS_OK;
}

/* The doors that the rules lead to. */
static int open_doors(struct task *t)
{
        int r = give_both(t, LISTEN_REDIRECTED, SOCK_STREAM, &t->egress.redirect);

        if (!r)
                r = give_both(t, LISTEN_DNS_UDP, SOCK_DGRAM, &t->egress.dns);
        if (!r)
                r = give_both(t, LISTEN_DNS_TCP, SOCK_STREAM, &t->egress.dns);
        return r;
}

/* What setup's programs, and git before them, find the proxy by, where no lock leads there. */
static const char proxy_names[][12] = { "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY",
                                        "no_proxy", "NO_PROXY" };

static void name_proxy(struct task *t)
{
        static const char none[] = "localhost,127.0.0.1,::1";
        char url[48];
        struct wr w = wr_of(url, sizeof(url) - 1);

        wr_fmt(&w, "http://127.0.0.1:%u", t->egress.door);
        wr_cstr(&w);
        for (size_t i = 0; i < COUNT(proxy_names); i++)
                env_set(&t->env, proxy_names[i], i < 4 ? url : none);
}

static enum status failed(struct task *t, const char *what, int r)
{
        return task_fail(t, STATUS_LOCK, "%s: %s", what, strerror(-r));
}

/* Does somebody of ours go by it, whatever the agent may? */
static bool is_ours(const struct task *t)
{
        return t->spec.agent.builtin || t->spec.output.push.count;
}

enum status egress_start(struct task *t)
{
        int r;

        if (mode_of(t, PHASE_SETUP) == NET_OFF && mode_of(t, PHASE_WORK) == NET_OFF && !is_ours(t))
                return STATUS_OK;
        r = run_proxy(t);
        if (!r)
                r = give_policy(t, POLICY_TEXT_PROVISION, PHASE_PROVISION);
        if (!r && t->spec.agent.builtin)
                r = give_policy(t, POLICY_TEXT_MODEL, PHASE_PROVISION);
        if (!r)
                r = give_both(t, LISTEN_PROXY, SOCK_STREAM, &t->egress.door);
        if (!r && t->agent_lock == LOCKED_NOTIFY)
                r = give(t, LISTEN_NOTIFIED, AF_INET, SOCK_STREAM, &t->egress.redirect);
        if (!r && t->agent_lock == LOCKED_NETFILTER)
                r = open_doors(t);
        if (r < 0)
                return failed(t, "start airlock-proxy", r);
        if (mode_of(t, PHASE_SETUP) != NET_OFF)
                name_proxy(t);
        return t->agent_lock == LOCKED_NETFILTER ? apply_rules(t, false) : STATUS_OK;
}

/* airlock-trust prints the variables that lead clients to the certificate. */
static enum status take_variables(struct task *t, int fd)
{
        char text[8192];
        ssize_t n = pread(fd, text, sizeof(text), 0);

        if (n <= 0 || (size_t)n == sizeof(text) || env_add_lines(&t->env, text, (size_t)n))
                return task_fail(t, STATUS_PROVISION, "airlock-trust named no variables");
        return STATUS_OK;
}

enum status egress_trust(struct task *t)
{
        char dir[96];
        struct wr d = wr_of(dir, sizeof(dir) - 1);
        char *argv[] = { (char[]){ "airlock-trust" }, (char[]){ "--dir" }, dir,
                         (char[]){ "--store" }, NULL };
        AUTO_CLOSE int out = memfd_create("variables", MFD_CLOEXEC);
        struct watch w = { .what = "airlock-trust", .argv = argv, .in = t->egress.ca, .out = out,
                           .program = t->programs[PROGRAM_TRUST], .new_session = true,
                           .timeout_s = 60, .confine = &t->setup_confine, .env = &t->env };
        int status = 0;

        if (!t->egress.proxy || !t->egress.ca)
                return STATUS_OK;
        wr_fmt(&d, "%s/trust", t->state);
        wr_cstr(&d);
        if ((mkdirat(t->state_fd, "trust", 0755) < 0 && errno != EEXIST) || lseek(t->egress.ca, 0, SEEK_SET) < 0)
                return task_fail(t, STATUS_PROVISION, "%s: %s", dir, strerror(errno));
        if (watch(t, &w, &status) != WATCH_EXITED || status)
                return task_fail(t, STATUS_PROVISION, "the proxy's certificate can't be put where "
                                 "clients look (airlock-trust)");
        return take_variables(t, out);
}

enum status egress_setup(struct task *t)
{
        int r = t->egress.proxy ? give_policy(t, POLICY_TEXT_SETUP, PHASE_SETUP) : 0;

        return r < 0 ? failed(t, "give airlock-proxy setup's policy", r) : STATUS_OK;
}

bool egress_lost(struct task *t)
{
        struct pollfd p = { .fd = t->egress.control };

        if (t->egress.proxy && poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR))
                t->egress.lost = true;
        return t->egress.lost;
}

void egress_end(struct task *t)
{
        if (!t->egress.proxy)
                return;
        close(t->egress.control);
        t->egress.control = -1;
        child_end(t->egress.proxy, END_MS);
        stop_spare_no_more(t->egress.proxy);
        t->egress.proxy = 0;
}

void egress_reaped(struct task *t, pid_t pid, int wait_status)
{
        if (pid == t->egress.proxy && pid) {
                t->egress.lost = true;
                stop_spare_no_more(pid); /* the number may become another's */
        }
        if (pid != t->egress.notify || !pid)
                return;
        t->egress.notify = 0;
        /* 0: the last process under its lock is gone. */
        t->egress.lost |= wait_status != 0 && t->phase == PHASE_WORK;
}

/* A channel of its own to the proxy, or -1 where nothing may leave. */
int egress_channel(struct task *t, unsigned kind, int *channel)
{
        struct msg m = { .type = MSG_CHANNEL, .kind = kind };
        int ends[2], r;

        *channel = -1;
        /*
         * What a rule of the agent's injects is handed over in a phase without a network too,
         * and the loop's way to its model does not depend on one.
         */
        if (!t->egress.proxy || (!kind && mode_of(t, t->phase) == NET_OFF))
                return 0;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        r = msg_ask(t->egress.control, &m, ends[1], ANSWER_MS);
        close(ends[1]);
        if (r < 0)
                close(ends[0]);
        else
                *channel = ends[0];
        return r;
}

int egress_only(struct task *t, enum policy_text_for what, int *channel)
{
        int r = give_policy(t, what, PHASE_REPORT);

        return r < 0 ? r : egress_channel(t, CHANNEL_MODEL, channel);
}

static NORETURN void become_notifier(struct task *t, const struct confine *c, int listener,
                                     int proxy)
{
        char text[8][16];
        const uint64_t numbers[] = { (uint64_t)listener, (uint64_t)proxy, t->egress.redirect,
                                     NOTIFY_UID, c->set_ids ? c->uid : getuid(),
                                     c->set_ids ? c->gid : getgid(), c->keep_caps,
                                     t->egress.door };
        const char *argv[24] = { "airlock-notify", "--listener", text[0] };
        size_t n = 3;

        for (size_t i = 0; i < COUNT(numbers); i++) {
                struct wr w = wr_of(text[i], sizeof(text[i]) - 1);

                wr_u64(&w, numbers[i]);
                wr_cstr(&w);
        }
        fcntl(listener, F_SETFD, 0);
        if (proxy >= 0) {
                const char *const way[] = { "--proxy", text[1], "--redirect-port", text[2],
                                             "--http-port", text[7] };

                memcpy(argv + n, way, sizeof(way));
                n += COUNT(way);
                fcntl(proxy, F_SETFD, 0);
        } else {
                argv[n++] = "--mode";
                argv[n++] = "off";
        }
        if (t->egress.own_uid) {
                const char *const ids[] = { "--uid",      text[3], "--gid", text[3],
                                            "--task-uid", text[4],
                                            "--task-gid", text[5] };

                memcpy(argv + n, ids, sizeof(ids));
                n += COUNT(ids);
        }
        if (c->keep_caps) {
                argv[n++] = "--task-caps";
                argv[n++] = text[6];
        }
        argv[n] = NULL;
        dup2(STDERR_FILENO, STDOUT_FILENO);
        setsid();
        sig_child_restore();
        syscall(SYS_execveat, t->programs[PROGRAM_NOTIFY], "", argv, environ, AT_EMPTY_PATH);
        _exit(STATUS_NOT_FOUND);
}

static int start_notifier(struct task *t, const struct confine *c, struct egress_way *way)
{
        AUTO_CLOSE int proxy = -1;
        int ends[2];
        int r = egress_channel(t, 0, &proxy);

        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        t->egress.notify = _Fork();
        if (!t->egress.notify)
                become_notifier(t, c, ends[1], proxy);
        close(ends[1]);
        if (t->egress.notify < 0) {
                t->egress.notify = 0;
                close(ends[0]);
                return -errno;
        }
        way->notify = ends[0];
        return 0;
}

int egress_way(struct task *t, enum lock lock, const struct confine *c, struct egress_way *way)
{
        *way = (struct egress_way){ .channel = -1, .notify = -1, .own_uid = t->egress.own_uid };
        if (lock == LOCKED_NETNS)
                return egress_channel(t, 0, &way->channel);
        if (lock == LOCKED_NOTIFY)
                return start_notifier(t, c, way);
        return 0;
}

/* --- the seal ---------------------------------------------------------------------------- */

enum status egress_seal(struct task *t)
{
        int r = 0;

        if (mode_of(t, PHASE_WORK) == NET_OFF) {
                for (size_t i = 0; i < COUNT(proxy_names) && t->egress.proxy; i++)
                        env_unset(&t->env, proxy_names[i]);
                t->egress.door = 0;
                if (is_ours(t)) /* it stays for our sake: nobody else gets to it */
                        r = give_policy(t, POLICY_TEXT_AGENT, PHASE_WORK);
                else
                        egress_end(t);
                if (r < 0)
                        return failed(t, "close airlock-proxy to the agent", r);
                return t->agent_lock == LOCKED_NETFILTER ? apply_rules(t, true) : STATUS_OK;
        }
        if (egress_lost(t))
                return task_fail(t, STATUS_LOCK, "airlock-proxy has ended by itself");
        r = give_policy(t, POLICY_TEXT_AGENT, PHASE_WORK);
        return r < 0 ? failed(t, "give airlock-proxy the agent's policy", r) : STATUS_OK;
}

/* Each try is a line, `ok NAME …` or `LEAK NAME …`; the journal has them all. */
static void journal_tries(struct task *t, int fd)
{
        char text[4096];
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

        text[n > 0 ? n : 0] = '\0';
        for (char *line = text, *end; *line; line = end) {
                end = line + strcspn(line, "\n");
                if (*end)
                        *end++ = '\0';
                journal_string(&t->journal, "try", "result", line);
        }
}

enum status egress_prove(struct task *t)
{
        char *argv[] = { (char[]){ "airlock-lock" }, (char[]){ "--probe" },
                         (char *)(uintptr_t)spec_net_name(mode_of(t, PHASE_WORK)),
                         NULL };
        AUTO_CLOSE int out = memfd_create("tries", MFD_CLOEXEC);
        struct watch w = {
                .what = "the probe", .argv = argv, .program = t->programs[PROGRAM_LOCK], .cwd = t->dir,
                .in = -1, .out = out, .new_session = true, .timeout_s = 30, .lock = t->agent_lock,
                .confine = &t->agent_confine, .env = &t->env,
        };
        enum watch_end end;
        int status = 0;

        if (out < 0)
                return failed(t, "try the lock", -errno);
        end = watch(t, &w, &status);
        journal_tries(t, out);
        if (end == WATCH_EXITED && !status)
                return STATUS_OK;
        if (end == WATCH_STOPPED)
                return task_fail(t, STATUS_KILLED, "stopped from outside during the proof");
        return task_fail(t, STATUS_LOCK,
                         "lock %s does not hold: the probe found a way out "
                         "(events.ndjson, \"try\")",
                         lock_name(t->agent_lock));
}
