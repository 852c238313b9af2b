/*
 * netfilter/notify_diag.c - lists the unix sockets of this network namespace by their names.
 *
 * A socket of a mounted directory, a container engine's say, was made in another network
 * namespace and is not on the list.
 */
#include "netfilter/notify.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>

struct list {
        struct nlmsghdr head;
        struct unix_diag_req request;
};

static int ask(int fd, const struct unix_name *name)
{
        struct list q = {
                .head = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
                .request = { .sdiag_family = AF_UNIX, .udiag_states = ~0U,
                             .udiag_show = name->text ? UDIAG_SHOW_NAME : UDIAG_SHOW_VFS },
        };

        return send(fd, &q, sizeof(q), 0) < 0 ? -errno : 0;
}

/* The kernel's st_dev is 12 bits of major and 20 of minor here, as in unix_diag(7). */
static uint64_t device_of(uint32_t kernel)
{
        uint64_t major = kernel >> 20, minor = kernel & 0xfffff;

        return (minor & 0xff) | (major & 0xfff) << 8 | (minor & ~UINT64_C(0xff)) << 12 |
               (major & ~UINT64_C(0xfff)) << 32;
}

static bool is_named(const struct rtattr *a, const struct unix_name *name)
{
        const char *text = RTA_DATA(a);
        struct unix_diag_vfs file;

        if (name->text)
                return a->rta_type == UNIX_DIAG_NAME && RTA_PAYLOAD(a) == name->len + 1 &&
                       !text[0] && !memcmp(text + 1, name->text, name->len);
        if (a->rta_type != UNIX_DIAG_VFS || RTA_PAYLOAD(a) < sizeof(file))
                return false;
        memcpy(&file, text, sizeof(file));
        return file.udiag_vfs_ino == (uint32_t)name->inode &&
               device_of(file.udiag_vfs_dev) == name->device;
}

/* One message of the list: its socket's inode when that has the name, else 0. */
static uint64_t match(const struct nlmsghdr *h, const struct unix_name *name)
{
        const struct unix_diag_msg *m = NLMSG_DATA(h);
        size_t left;

        if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
                return 0;
        left = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));
        for (const struct rtattr *a = (const struct rtattr *)(m + 1); RTA_OK(a, left);
             a = RTA_NEXT(a, left)) {
                if (is_named(a, name))
                        return m->udiag_ino;
        }
        return 0;
}

/* The whole list is read, also past what we look for: the next question starts clean. */
int notify_diag_find(struct notifier *n, const struct unix_name *name, uint64_t *inode)
{
        static _Alignas(struct nlmsghdr) char buf[32768] LARGE_BUFFER;
        int r = ask(n->diag, name);

        *inode = 0;
        while (!r) {
                ssize_t got = recv(n->diag, buf, sizeof(buf), 0);
                size_t left = got > 0 ? (size_t)got : 0;

                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return got ? -errno : -EPROTO;
                for (const struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, left);
                     h = NLMSG_NEXT(h, left)) {
                        if (h->nlmsg_type == NLMSG_DONE)
                                return 0;
                        if (h->nlmsg_type == NLMSG_ERROR)
                                return -EPROTO;
                        if (!*inode)
                                *inode = match(h, name);
                }
        }
        return r;
}
