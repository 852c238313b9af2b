/* netfilter/netfilter.c - tries the forms of the netfilter lock, best first. */
#include "netfilter/netfilter.h"

#include "netfilter/rules.h"
#include "netfilter/xt.h"

#include <errno.h>
#include <sys/socket.h>

static const struct {
        struct nft_form form;
        const char *how;
} forms[] = {
        { { 0 }, "nf_tables" },
        { { .split = true }, "nf_tables, a table for each family" },
        { { .no_fib = true }, "nf_tables, own addresses listed" },
        { { .split = true, .no_fib = true },
          "nf_tables, a table for each family, own addresses listed" },
};
static const struct {
        struct nft_form form;
        const char *how;
} filters[] = {
        { { .no_nat = true }, "nf_tables, without redirection" },
        { { .no_nat = true, .no_fib = true },
          "nf_tables, without redirection, own addresses listed" },
};

/* Without the family there is nothing to close, and often no tables for it either. */
static bool has_ipv6(void)
{
        AUTO_CLOSE int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return fd >= 0 || errno != EAFNOSUPPORT;
}

/* Errors after which another form would fail in the same way. */
static bool is_final(int r)
{
        return r == -EPERM || r == -EACCES || r == -EINVAL || r == -ETIMEDOUT;
}

static int try_nft(const struct nft_plan *p, struct nft_form form)
{
        form.no_v6 = form.split && !has_ipv6();
        return nft_apply(p, &form);
}

static const char *why_not(int r)
{
        switch (-r) {
        case EPERM:
        case EACCES:
                return "needs CAP_NET_ADMIN over its network namespace (docker, podman: "
                       "--cap-add NET_ADMIN; Kubernetes: securityContext.capabilities.add)";
        case ESTALE:
                return "the kernel accepted the rules and does not have them";
        case ETIMEDOUT:
                return "the kernel did not answer in time";
        case EFBIG:
        case EBADMSG:
                return "an ip_tables table of somebody else's can't be kept";
        default:
                return "the kernel has neither nf_tables nor ip_tables with what the rules need";
        }
}

int netfilter_apply(const struct nft_plan *p, const char **how)
{
        int r, first = 0;

        *how = rules_wrong(p);
        if (*how)
                return -EINVAL;
        for (size_t i = 0; i < COUNT(forms); i++) {
                *how = forms[i].how;
                r = try_nft(p, forms[i].form);
                if (!r)
                        return 0;
                first = first ? first : r;
                if (is_final(r))
                        break;
        }
        /* No capability for the one is none for the other. */
        if (!is_final(first) || first == -EINVAL) {
                *how = "ip_tables";
                r = xt_apply(p);
                if (!r)
                        return 0;
                for (size_t i = 0; r != 1 && i < COUNT(filters); i++) {
                        *how = filters[i].how;
                        if (!try_nft(p, filters[i].form))
                                return !p->off && (p->redirect_port || p->dns_port);
                }
                if (r == 1) {
                        *how = "ip_tables, without redirection";
                        return 1;
                }
                first = r == -EFBIG || r == -EBADMSG ? r : first;
        }
        *how = why_not(first);
        return first;
}

int netfilter_remove(const char **why)
{
        int by_nft = nft_remove(), by_xt = xt_remove();
        int r = by_nft < 0 && by_nft != -EPROTONOSUPPORT && by_nft != -EAFNOSUPPORT &&
                                by_nft != -EOPNOTSUPP
                        ? by_nft
                        : by_xt;

        if (r < 0)
                *why = why_not(r);
        return r;
}
