/* netfilter/rules_main.c - the netfilter lock's command lines. */
#include "netfilter/rules_main.h"

#include "base/digits.h"
#include "base/log.h"
#include "netfilter/mounts.h"
#include "netfilter/netfilter.h"
#include "netfilter/nl.h"
#include "netfilter/shared.h"
#include "netfilter/unlock.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sched.h>
#include <string.h>

#define ACK_MS 5000
#define FAMILY_INET 1

struct rules_options {
        struct nft_plan plan;
        bool shared;
};

static bool set_flag(struct rules_options *o, const char *name)
{
        const struct {
                const char *name;
                bool *flag;
        } flags[] = {
                { "--off", &o->plan.off },
                { "--inbound", &o->plan.inbound },
                { "--root-resolves", &o->plan.root_resolves },
                { "--lent", &o->plan.lent },
                { "--shared", &o->shared },
        };

        for (size_t i = 0; i < COUNT(flags); i++) {
                if (!strcmp(name, flags[i].name)) {
                        *flags[i].flag = true;
                        return true;
                }
        }
        return false;
}

static bool set_value(struct rules_options *o, const char *name, const char *value)
{
        uint64_t n;

        if (!strcmp(name, "--mark") && digits_parse(value, UINT32_MAX, &n))
                o->plan.mark = (uint32_t)n;
        else if (!strcmp(name, "--dns-port") && digits_parse(value, UINT16_MAX, &n))
                o->plan.dns_port = (uint16_t)n;
        else if (!strcmp(name, "--redirect-port") && digits_parse(value, UINT16_MAX, &n))
                o->plan.redirect_port = (uint16_t)n;
        else
                /* Loopback needs no rule: the port only makes the call complete. */
                return !strcmp(name, "--http-port") && digits_parse(value, UINT16_MAX, &n);
        return true;
}

static enum status apply(const struct rules_options *o)
{
        const char *why = "";
        int r = o->shared ? 0 : shared_netns(&why);

        if (r) {
                log_line(LOG_ERROR, "lock netfilter: this network is shared: %s",
                         r > 0 ? why : strerror(-r));
                return STATUS_LOCK;
        }
        r = netfilter_apply(&o->plan, &why);
        if (r < 0) {
                log_line(LOG_ERROR, "lock netfilter: %s: %s", strerror(-r), why);
                return STATUS_LOCK;
        }
        if (r)
                log_line(LOG_WARN, "lock netfilter: only programs that know the proxy reach it");
        return STATUS_OK;
}

static enum status take_away(void)
{
        const char *why = "";
        int r = netfilter_remove(&why);

        if (r < 0)
                log_line(LOG_ERROR, "lock netfilter: %s: %s", strerror(-r), why);
        return r < 0 ? STATUS_LOCK : STATUS_OK;
}

int rules_main(char **argv)
{
        struct rules_options o = { 0 };
        bool removing = !strcmp(argv[0], "--remove");

        if (!argv[1] || strcmp(argv[1], "netfilter") != 0) {
                log_line(LOG_ERROR, "%s: only netfilter has rules", argv[0]);
                return STATUS_USAGE;
        }
        for (argv += 2; *argv; argv++) {
                if (set_flag(&o, argv[0]))
                        continue;
                if (removing || !argv[1] || !set_value(&o, argv[0], argv[1])) {
                        log_line(LOG_ERROR, "not an option, or not its value: %s", argv[0]);
                        return STATUS_USAGE;
                }
                argv++;
        }
        return (int)(removing ? take_away() : apply(&o));
}

static void bracket(struct nl *n, uint16_t type)
{
        struct nfgenmsg head = { .version = NFNETLINK_V0 };
        const uint8_t subsystem[2] = { 0, NFNL_SUBSYS_NFTABLES };

        memcpy(&head.res_id, subsystem, sizeof(subsystem));
        nl_message(n, type, 0, &head, sizeof(head));
}

static void table(struct nl *n, unsigned type, uint16_t flags)
{
        struct nfgenmsg head = { .nfgen_family = FAMILY_INET, .version = NFNETLINK_V0 };

        nl_message(n, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, &head, sizeof(head));
        nl_put_str(n, NFTA_TABLE_NAME, "airlock-try");
}

/* A socket of others that we may not cover, or NULL. Leaves this process's mounts behind. */
static const char *in_reach(void)
{
        static LARGE_BUFFER char paths[MOUNTS_PATHS_MAX];
        struct mounts m = { .paths = paths };

        if (mounts_find(&m) < 0)
                return "more sockets than it can count";
        return mounts_wanted(&m) && unshare(CLONE_NEWNS) < 0 ? mounts_reachable(&m) : NULL;
}

/* Our own table may be there and in force: it is left alone. */
int rules_try(void)
{
        static uint32_t batch[128];
        struct nl n = nl_of(batch, sizeof(batch));
        AUTO_CLOSE int fd = nl_open(NETLINK_NETFILTER);
        int r = fd < 0 ? fd : 0;
        const char *why = "", *uncovered;

        uncovered = in_reach();
        if (uncovered) {
                log_line(LOG_ERROR, "netfilter does not hold here: it can't cover %s, which leads "
                         "out, without CAP_SYS_ADMIN", uncovered);
                return STATUS_LOCK;
        }
        bracket(&n, NFNL_MSG_BATCH_BEGIN);
        table(&n, NFT_MSG_NEWTABLE, NLM_F_CREATE);
        table(&n, NFT_MSG_DELTABLE, 0);
        nl_ask(&n);
        bracket(&n, NFNL_MSG_BATCH_END);
        if (!r)
                r = nl_transact(fd, &n, ACK_MS);
        if (r < 0)
                log_errno(LOG_ERROR, -r, "netfilter does not hold here: make a table: it %s",
                          unlock_hint(LOCK_NETFILTER));
        else if (shared_netns(&why) > 0)
                log_line(LOG_ERROR, "netfilter does not hold here: this network is shared: %s",
                         why);
        else
                return STATUS_OK;
        return STATUS_LOCK;
}
