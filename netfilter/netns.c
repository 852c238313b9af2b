/* netfilter/netns.c - a network namespace of the command's own. */
#include "netfilter/netns.h"

#include "netfilter/idmap.h"
#include "netfilter/nft.h"
#include "netfilter/route.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Stays outside, writes our maps when we ask, and ends. */
static NORETURN void help(int channel, pid_t pid)
{
        char byte;

        if (read(channel, &byte, 1) == 1)
                idmap_answer(channel, pid);
        _exit(0);
}

static pid_t fork_helper(int channel[2])
{
        pid_t self = getpid(), helper;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0)
                return -errno;
        helper = _Fork();
        if (!helper) {
                close(channel[0]);
                help(channel[1], self);
        }
        close(channel[1]);
        if (helper < 0) {
                helper = -errno;
                close(channel[0]);
        }
        return helper;
}

/* The ids as they were outside, or at least our own. */
static int map_ids(struct netns *n, int helper, uid_t uid, gid_t gid)
{
        n->all_ids = !idmap_ask(helper);
        return n->all_ids ? 0 : idmap_single(uid, gid);
}

static int leave(struct netns *n, int helper, const char **stage)
{
        int flags = CLONE_NEWNET | (n->mounts ? CLONE_NEWNS : 0);
        uid_t uid = geteuid();
        gid_t gid = getegid();

        *stage = "leave the network";
        if (unshare(CLONE_NEWUSER | flags) < 0) {
                int err = errno;

                /* Not allowed here; whoever may do it without needs no map. */
                return unshare(flags) < 0 ? -err : 0;
        }
        n->own_users = true;
        *stage = "map the ids";
        return map_ids(n, helper, uid, gid);
}

static int leave_with_helper(struct netns *n, const char **stage)
{
        int channel[2], r;
        pid_t helper;

        if (n->helper >= 0)
                return leave(n, n->helper, stage);
        *stage = "start a helper";
        helper = fork_helper(channel);
        if (helper < 0)
                return (int)helper;
        r = leave(n, channel[0], stage);
        close(channel[0]); /* ends one that was not asked */
        while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
                ;
        return r;
}

/* IPv6 may be missing or switched off: then it leads nowhere. */
static int route_both(int (*route)(int family))
{
        int r = route(AF_INET);

        return !r && route(AF_INET6) < 0 ? 0 : r;
}

/*
 * Every connection to the proxy: by rules, which leave all ports to the command's own
 * servers; where the kernel has none, by making every address local.
 */
static int lead_to_proxy(struct inside *in, const char **stage)
{
        /* No packet of ours is marked: those that are could reach a dead end. */
        struct nft_plan plan = { .mark = 1, .dns_port = INSIDE_DNS_PORT,
                                 .redirect_port = inside_redirect_port(in) };
        struct nft_form form = { 0 };
        int r;

        in->redirected = !in->no_rules && !nft_apply(&plan, &form);
        *stage = in->redirected ? "route everything" : "make every address local";
        r = route_both(in->redirected ? route_all_out : route_all_local);
        return r < 0 ? r : inside_listen(in, stage);
}

int netns_enter(struct netns *n, const char **stage)
{
        struct route_own own;
        int r;

        route_find_own(&own);
        r = leave_with_helper(n, stage);
        if (r < 0)
                return r;
        *stage = "keep our mounts to ourselves";
        if (n->mounts && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
                return -errno;
        *stage = "set up the loopback device";
        r = route_loopback_up();
        if (!r)
                r = route_add_own(&own);
        if (r < 0 || !n->inside)
                return r;
        return lead_to_proxy(n->inside, stage);
}
