/*
 * netfilter/notify.c - the main of airlock-notify, and its loop.
 *
 *   airlock-notify --listener FD [--proxy FD --redirect-port P] [--mode on|off]
 *                  [--unix pidns|task] [--uid U --gid G --task-uid U --task-gid G]
 *                  [--task-caps N]
 *
 * FD of --listener is the seccomp listener, or the SOCK_SEQPACKET channel over which
 * notify_enter() sends it. --proxy is a channel of airlock-proxy on which it takes CONNECT
 * and LISTENER. --mode off lets nothing out, with or without a proxy.
 *
 * Its real and saved user are --uid, so that the agent can't signal it; its effective one is
 * the agent's, so that the agent's memory may be read and a unix server sees the agent's user.
 * Without --uid it has the agent's ids: then it can take sockets out of the agent, which is
 * faster, and a Landlock scope around the agent must keep signals away. In both cases it
 * is not dumpable, its own filter knows thirty calls, and it holds no capability but
 * --task-caps: the kernel shows a process's memory to nobody who may less than that process,
 * and a setup session of root's has some.
 *
 * When it dies every watched call fails with ENOSYS. It exits 0 when the last process of the
 * lock is gone, and with STATUS_LOCK when the proxy is: PID 1 takes that for the end of the
 * task.
 */
#include "netfilter/notify.h"

#include "base/confine.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <filter.h> /* generated: notifier_filter */

/* Newer than Debian 12's headers: Linux 6.6. */
#define NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define NOTIF_SYNC_WAKE_UP 1UL

#define SPARE_FDS 256 /* pairs' ends, pending connects and what one call opens */

static struct notifier self LARGE_BUFFER;

/* --- options ----------------------------------------------------------------------------- */

struct ids {
        bool own, task;
        unsigned uid, gid, task_uid, task_gid, task_caps;
};

static unsigned number(const char *name, const char *text)
{
        uint64_t n = 0;
        const char *p = text;

        for (; *p >= '0' && *p <= '9' && n < UINT32_MAX; p++)
                n = n * 10 + (uint64_t)(*p - '0');
        if (*p || p == text || n >= UINT32_MAX)
                die(STATUS_USAGE, "%s: expected a number, not %s", name, text);
        return (unsigned)n;
}

static bool one_of(const char *name, const char *text, const char *no, const char *yes)
{
        if (strcmp(text, no) != 0 && strcmp(text, yes) != 0)
                die(STATUS_USAGE, "%s: expected %s or %s, not %s", name, no, yes, text);
        return !strcmp(text, yes);
}

static void read_option(struct notifier *n, struct ids *ids, const char *name, const char *value)
{
        const struct {
                const char *name;
                unsigned *to;
                bool *set;
        } id[] = {
                { "--uid", &ids->uid, &ids->own },
                { "--gid", &ids->gid, &ids->own },
                { "--task-uid", &ids->task_uid, &ids->task },
                { "--task-gid", &ids->task_gid, &ids->task },
        };

        for (size_t i = 0; i < COUNT(id); i++) {
                if (!strcmp(name, id[i].name)) {
                        *id[i].to = number(name, value);
                        *id[i].set = true;
                        return;
                }
        }
        if (!strcmp(name, "--listener"))
                n->listener = (int)number(name, value);
        else if (!strcmp(name, "--task-caps"))
                ids->task_caps = number(name, value);
        else if (!strcmp(name, "--proxy"))
                n->proxy = (int)number(name, value);
        else if (!strcmp(name, "--redirect-port"))
                n->redirect_port = (uint16_t)number(name, value);
        else if (!strcmp(name, "--http-port"))
                n->http_port = (uint16_t)number(name, value);
        else if (!strcmp(name, "--mode"))
                n->off = one_of(name, value, "on", "off");
        else if (!strcmp(name, "--unix"))
                n->task_only = one_of(name, value, "pidns", "task");
        else
                die(STATUS_USAGE, "unknown option %s", name);
}

static void read_options(struct notifier *n, struct ids *ids, char **argv)
{
        *ids = (struct ids){ .uid = getuid(), .gid = getgid(), .task_uid = geteuid(),
                             .task_gid = getegid() };
        n->listener = n->proxy = -1;
        for (char **a = argv + 1; *a; a += 2) {
                if (!a[1])
                        die(STATUS_USAGE, "%s: expected a value", *a);
                read_option(n, ids, a[0], a[1]);
        }
        if (n->listener < 0)
                die(STATUS_USAGE, "--listener is missing");
        if (!n->off && (n->proxy < 0 || !n->redirect_port))
                die(STATUS_USAGE, "--proxy or --redirect-port is missing");
        if (ids->own && !ids->task)
                die(STATUS_USAGE, "--uid without --task-uid");
}

/* --- start ------------------------------------------------------------------------------- */

/* The calls of notify_enter() wait for this. */
static void receive_listener(struct notifier *n)
{
        struct msg m;
        struct stat st;
        int channel = n->listener, r;

        if (fstat(channel, &st) < 0)
                die_errno(STATUS_LOCK, errno, "--listener");
        if (!S_ISSOCK(st.st_mode))
                return;
        r = msg_receive(channel, &m, &n->listener);
        if (r == -EPIPE)
                _exit(STATUS_OK); /* whoever wanted to enter did not */
        if (r < 0 || m.type != MSG_LISTENER || n->listener < 0)
                die_errno(STATUS_LOCK, r < 0 ? -r : EPROTO, "receive the listener");
        close(channel);
}

static void change_ids(const struct ids *ids)
{
        gid_t group = ids->task_gid;

        if (ids->own) {
                if (syscall(SYS_setgroups, 1, &group) < 0 ||
                    syscall(SYS_setresgid, ids->gid, ids->task_gid, ids->gid) < 0 ||
                    syscall(SYS_setresuid, ids->uid, ids->task_uid, ids->uid) < 0)
                        die_errno(STATUS_LOCK, errno, "change the user");
                return;
        }
        /* Root's groups would open doors to a task that is somebody else. */
        if (ids->task && (ids->task_uid != getuid() || ids->task_gid != getgid()) &&
            (syscall(SYS_setgroups, 1, &group) < 0 ||
             syscall(SYS_setresgid, group, group, group) < 0 ||
             syscall(SYS_setresuid, ids->task_uid, ids->task_uid, ids->task_uid) < 0))
                die_errno(STATUS_LOCK, errno, "change the user");
}

/* One way only. After it nothing can be opened but the agent's files, and nothing started. */
static void confine(const struct ids *ids)
{
        const struct confine few = { .keep_caps = ids->task_caps, .no_new_privs = true };
        const struct sock_fprog program = { COUNT(notifier_filter), (struct sock_filter *)(
                                                    uintptr_t)notifier_filter };
        const struct rlimit none = { 0, 0 };
        const char *stage = "";
        int r;

        change_ids(ids);
        r = confine_apply(&few, &stage);
        if (r < 0)
                die_errno(STATUS_LOCK, -r, "%s", stage);
        setrlimit(RLIMIT_CORE, &none);
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                die_errno(STATUS_LOCK, errno, "hide the memory");
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
                die_errno(STATUS_LOCK, errno, "load the filter");
}

/* As many sockets are held as there may be descriptors. */
static void size_tables(struct notifier *n)
{
        struct rlimit files = { 1024, 1024 };

        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        notes_init(&n->held, files.rlim_max > NOTES_MAX + PENDING_MAX + SPARE_FDS
                                     ? NOTES_MAX
                                     : (size_t)files.rlim_max / 2);
        notes_init(&n->udp, NOTES_MAX);
        notes_init(&n->bound, NOTES_MAX);
        notes_init(&n->inside, NOTES_MAX);
}

static void open_all(struct notifier *n)
{
        static const struct timeval patience = { .tv_sec = ASK_MS / 1000 };
        int r = agent_init();

        if (r < 0)
                die_errno(STATUS_LOCK, -r, "open /proc");
        r = notify_route_open(n);
        if (r < 0)
                die_errno(STATUS_LOCK, -r, "open a route socket");
        r = notify_find_others(n);
        if (r < 0)
                die_errno(STATUS_LOCK, -r, "read who listens, in /proc/net/tcp");
        if (n->proxy >= 0)
                setsockopt(n->proxy, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        n->diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
        notify_own_address(n);
}

/* --- the loop ---------------------------------------------------------------------------- */

/* False: the caller is gone, or was sent back. */
static bool answer(const struct notifier *n, uint64_t id, int r)
{
        struct seccomp_notif_resp resp = { .id = id };

        if (r == CALL_CONTINUE)
                resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        else
                resp.error = r;
        if (!ioctl(n->listener, (int)SECCOMP_IOCTL_NOTIF_SEND, &resp))
                return true;
        if (errno != ENOENT)
                die_errno(STATUS_LOCK, errno, "answer a call");
        return false;
}

static bool is_lost(const struct lost *l, const struct call *c)
{
        return l->tid == c->agent.tid && l->fd == c->arg[0] && l->at == c->arg[1];
}

/* What was done for a caller that never heard of it is what it hears now. */
static int found_again(struct notifier *n, const struct call *c, int r)
{
        for (size_t i = 0; r == -EISCONN && i < LOST_MAX; i++) {
                if (!is_lost(&n->lost[i], c))
                        continue;
                n->lost[i].tid = 0;
                return n->lost[i].r;
        }
        return r;
}

static void lose(struct notifier *n, const struct call *c, int r)
{
        if (c->nr != SYS_connect || (r && r != -EINPROGRESS))
                return;
        n->lost[n->lost_next] = (struct lost){ c->agent.tid, c->arg[0], c->arg[1], r };
        n->lost_next = (n->lost_next + 1) % LOST_MAX;
}

static void take_call(struct notifier *n)
{
        static _Alignas(struct seccomp_notif) char buf[512]; /* newer kernels may say more */
        const struct seccomp_notif *got = (const void *)buf;
        struct call c = { .file = -1 };
        int r;

        memset(buf, 0, sizeof(buf));
        if (ioctl(n->listener, (int)SECCOMP_IOCTL_NOTIF_RECV, buf) < 0) {
                if (errno == ENOENT || errno == EINTR)
                        return; /* the caller was killed just now */
                die_errno(STATUS_LOCK, errno, "receive a call");
        }
        c.agent = (struct agent){ n->listener, got->id, (pid_t)got->pid, -1 };
        c.nr = got->data.nr;
        memcpy(c.arg, got->data.args, sizeof(c.arg));
        r = found_again(n, &c, notify_call(n, &c));
        if (r != CALL_ANSWERED && !answer(n, got->id, r))
                lose(n, &c, r);
        agent_done(&c.agent);
        if (c.file >= 0)
                close(c.file);
}

static void end_pending(struct notifier *n, size_t i)
{
        struct pending *p = &n->pending[i];

        close(p->fd);
        if (p->file >= 0)
                close(p->file);
        *p = n->pending[--n->pending_count];
}

/* Connects that wait: a unix one asks again, a TCP one when the other side has decided. */
static void go_on(struct notifier *n, const struct pollfd *polled, bool idle)
{
        for (size_t i = n->pending_count; i-- > 0;) {
                struct pending *p = &n->pending[i];
                int r = p->retry || polled[i].revents ? notify_pending(p) : CALL_CONTINUE;

                if (r == CALL_CONTINUE && (!idle || agent_waits(&p->agent)))
                        continue;
                if (r != CALL_CONTINUE)
                        answer(n, p->agent.id, r);
                end_pending(n, i);
        }
}

static size_t fill(const struct notifier *n, struct pollfd *p)
{
        size_t count = 2;

        p[0] = (struct pollfd){ .fd = n->listener, .events = POLLIN };
        p[1] = (struct pollfd){ .fd = n->proxy };
        for (size_t i = 0; i < n->pending_count; i++)
                p[count++] = (struct pollfd){ .fd = n->pending[i].retry ? -1 : n->pending[i].fd,
                                              .events = POLLOUT };
        for (size_t i = 0; i < REFUSERS_MAX; i++) {
                if (n->refusers[i])
                        p[count++] = (struct pollfd){ .fd = n->refusers[i], .events = POLLIN };
        }
        return count;
}

static void refuse_questions(struct notifier *n, const struct pollfd *p, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                for (size_t at = 0; p[i].revents && at < REFUSERS_MAX; at++) {
                        if (n->refusers[at] == p[i].fd)
                                notify_udp_refuse(n, at);
                }
        }
}

/* One round: what was ready is done, the newest call last. False: nobody is left to ask. */
static bool round_of(struct notifier *n)
{
        static struct pollfd p[2 + PENDING_MAX + REFUSERS_MAX] LARGE_BUFFER;
        static const struct timespec soon = { 0, 2000000 }, later = { 1, 0 };
        size_t pending = n->pending_count, count = fill(n, p);
        bool retry = false;
        int ready;

        for (size_t i = 0; i < pending; i++)
                retry |= n->pending[i].retry;
        ready = ppoll(p, count, retry ? &soon : pending ? &later : NULL, NULL);
        if (ready < 0 && errno == EINTR)
                return true;
        if (ready < 0)
                die_errno(STATUS_LOCK, errno, "wait for calls");
        if (p[1].revents)
                die(STATUS_LOCK, "the proxy is gone");
        refuse_questions(n, p + 2 + pending, count - 2 - pending);
        if (pending)
                go_on(n, p + 2, !ready);
        if (p[0].revents & POLLIN)
                take_call(n);
        return !(p[0].revents & (POLLHUP | POLLERR | POLLNVAL));
}

int main(int argc, char **argv)
{
        struct seccomp_notif_sizes sizes;
        struct ids ids;

        confine_relro();
        log_role("notify");
        log_patience(200);
        if (argc < 2)
                die(STATUS_USAGE, "--listener is missing");
        read_options(&self, &ids, argv);
        if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0 ||
            sizes.seccomp_notif > 512 || sizes.seccomp_notif_resp > 512)
                die_errno(STATUS_LOCK, errno, "seccomp notifications");
        size_tables(&self);
        open_all(&self);
        receive_listener(&self);
        /* The caller goes on on our processor: Linux 6.6 and later, a fifth faster. */
        ioctl(self.listener, (int)NOTIF_SET_FLAGS, NOTIF_SYNC_WAKE_UP);
        confine(&ids);
        while (round_of(&self))
                ;
        return STATUS_OK;
}
