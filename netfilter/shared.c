/*
 * netfilter/shared.c - looks for signs of others in this network namespace.
 *
 * Four kinds of evidence: the host's kernel threads beside us in its namespace; devices that
 * only a host has; packet filter rules that are neither ours nor those for Docker's
 * resolver; sockets that no process of this container holds.
 */
#include "netfilter/shared.h"

#include "base/io.h"
#include "netfilter/nl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define DUMP_MS 2000
#define SOCKETS 4096      /* a fresh container has a handful */
#define ETHERNET 1        /* ARPHRD_ETHER of <net/if_arp.h> */
#define PASSES 3          /* a socket may change hands while we look */

static LARGE_BUFFER uint32_t answers[NL_REPLY_MAX / 4];

static bool is_str(struct rd value, const char *s)
{
        size_t len = strlen(s) + 1;
        const uint8_t *b = rd_left(&value) == len ? rd_bytes(&value, len) : NULL;

        return b && !memcmp(b, s, len);
}

static bool begins(struct rd value, const char *s)
{
        size_t len = strlen(s);
        const uint8_t *b = rd_left(&value) > len ? rd_bytes(&value, len) : NULL;

        return b && !memcmp(b, s, len);
}

/* --- the host's processes ------------------------------------------------------------------- */

static bool same_namespace(const char *a, const char *b)
{
        struct stat one, two;

        return !stat(a, &one) && !stat(b, &two) && one.st_ino == two.st_ino &&
               one.st_dev == two.st_dev;
}

static bool with_the_host(void)
{
        char name[32];
        ssize_t n = read_file(AT_FDCWD, "/proc/2/comm", name, sizeof(name));

        return n > 0 && !strcmp(name, "kthreadd\n") &&
               same_namespace("/proc/1/ns/net", "/proc/self/ns/net");
}

/* --- devices -------------------------------------------------------------------------------- */

enum device { DEVICE_VIRTUAL, DEVICE_PHYSICAL, DEVICE_BRIDGE };

/* A physical device is an Ethernet one that no driver of virtual devices has made. */
static enum device read_device(struct rd *body)
{
        const uint8_t *b = rd_bytes(body, sizeof(struct ifinfomsg));
        enum device is = DEVICE_PHYSICAL;
        struct ifinfomsg head;
        struct rd value, kind;
        uint16_t type, inner;

        if (!b)
                return DEVICE_VIRTUAL;
        memcpy(&head, b, sizeof(head));
        if (head.ifi_type != ETHERNET)
                return DEVICE_VIRTUAL;
        while (nl_attribute(body, &type, &value)) {
                while (type == IFLA_LINKINFO && nl_attribute(&value, &inner, &kind)) {
                        if (inner == IFLA_INFO_KIND)
                                is = is_str(kind, "bridge") ? DEVICE_BRIDGE : DEVICE_VIRTUAL;
                }
        }
        return is;
}

static int find_devices(const char **why)
{
        struct ifinfomsg all = { .ifi_family = AF_UNSPEC };
        uint32_t request[16];
        struct nl n = nl_of(request, sizeof(request));
        struct nl_dump d;
        struct rd body;
        uint16_t type;
        int r;
        AUTO_CLOSE int fd = nl_open(NETLINK_ROUTE);

        if (fd < 0)
                return fd;
        nl_message(&n, RTM_GETLINK, NLM_F_DUMP, &all, sizeof(all));
        r = nl_dump_open(&d, fd, &n, answers, sizeof(answers), DUMP_MS);
        while (!r && (r = nl_dump_next(&d, &type, &body)) > 0) {
                enum device is = type == RTM_NEWLINK ? read_device(&body) : DEVICE_VIRTUAL;

                r = is != DEVICE_VIRTUAL;
                if (r) {
                        *why = is == DEVICE_BRIDGE ? "a bridge is in it, as on a host"
                                                   : "a physical device is in it";
                        return 1;
                }
        }
        return r;
}

/* --- rules ---------------------------------------------------------------------------------- */

/*
 * Docker's chains for 127.0.0.11 hang from the chains that iptables makes for every
 * table; those by themselves say nothing.
 */
static bool is_foreign_chain(struct rd *body)
{
        static const char *const usual[] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT",
                                             "POSTROUTING" };
        bool known = false;
        struct rd value;
        uint16_t type;

        rd_bytes(body, sizeof(struct nfgenmsg));
        while (nl_attribute(body, &type, &value)) {
                if (type == NFTA_CHAIN_TABLE)
                        known |= is_str(value, "airlock");
                if (type != NFTA_CHAIN_NAME)
                        continue;
                known |= begins(value, "DOCKER_");
                for (size_t i = 0; i < COUNT(usual); i++)
                        known |= is_str(value, usual[i]);
        }
        return !known;
}

static int find_rules(const char **why)
{
        struct nfgenmsg all = { .version = NFNETLINK_V0 };
        uint32_t request[16];
        struct nl n = nl_of(request, sizeof(request));
        struct nl_dump d;
        struct rd body;
        uint16_t type;
        AUTO_CLOSE int fd = nl_open(NETLINK_NETFILTER);

        if (fd < 0)
                return 0; /* no netfilter, no rules */
        nl_message(&n, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_DUMP, &all,
                   sizeof(all));
        /* Who may not look may not write either, and hears so from nft_apply(). */
        if (nl_dump_open(&d, fd, &n, answers, sizeof(answers), DUMP_MS) < 0)
                return 0;
        while (nl_dump_next(&d, &type, &body) > 0) {
                if (!is_foreign_chain(&body))
                        continue;
                *why = "somebody else's packet filter is in it, a service mesh's perhaps";
                return 1;
        }
        return 0;
}

/* --- sockets -------------------------------------------------------------------------------- */

struct seen {
        uint64_t inode;
        bool held;
};

static struct {
        struct seen at[SOCKETS];
        size_t count;
        bool full;
} sockets LARGE_BUFFER;

/* The next word of a line, cut off @line. */
static struct rd word_of(struct rd *line)
{
        const uint8_t *from;

        while (rd_left(line) && *line->at == ' ')
                line->at++;
        from = line->at;
        while (rd_left(line) && *line->at != ' ')
                line->at++;
        return rd_of(from, (size_t)(line->at - from));
}

static bool ends(struct rd word, const char *with)
{
        size_t len = strlen(with);

        return rd_left(&word) >= len && !memcmp(word.end - len, with, len);
}

/* Digits, and nothing behind them. 0 for anything else: no socket has that inode. */
static uint64_t number_of(const char *digits, size_t len)
{
        uint64_t n = 0;

        for (size_t i = 0; i < len; i++) {
                if (digits[i] < '0' || digits[i] > '9' || n > UINT64_MAX / 10 - 10)
                        return 0;
                n = n * 10 + (uint64_t)(digits[i] - '0');
        }
        return n;
}

/*
 * `sl local remote st tx:rx tr:when retrnsmt uid timeout inode`, addresses as hex in the
 * byte order of the machine. dockerd answers on 127.0.0.11 from inside the container's
 * namespace, and asks port 53 of others for it. What waits out TIME_WAIT has inode 0.
 */
static void read_line(struct rd line)
{
        struct rd local, remote, inode;
        uint64_t n;

        word_of(&line);
        local = word_of(&line);
        remote = word_of(&line);
        for (unsigned i = 0; i < 6; i++)
                word_of(&line);
        inode = word_of(&line);
        n = number_of((const char *)inode.at, rd_left(&inode));
        if (!n || begins(local, "0B00007F:") || ends(remote, ":0035"))
                return;
        if (sockets.count == SOCKETS) {
                sockets.full = true;
                return;
        }
        sockets.at[sockets.count++] = (struct seen){ .inode = n };
}

/* A family that the kernel does not have has no file. */
static int read_table(const char *path)
{
        char buf[8192];
        size_t len = 0;
        bool head = true;
        AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        for (;;) {
                ssize_t n = read(fd, buf + len, sizeof(buf) - len);
                char *newline;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (!n)
                        return 0;
                len += (size_t)n;
                while ((newline = memchr(buf, '\n', len))) {
                        size_t used = (size_t)(newline - buf) + 1;

                        if (!head)
                                read_line(rd_of(buf, used - 1));
                        head = false;
                        len -= used;
                        memmove(buf, newline + 1, len);
                }
                if (len == sizeof(buf))
                        return -EBADMSG;
        }
}

/* Calls @visit for each entry of the directory whose name is a number. */
static void each_number(int dir, void (*visit)(int dir, const char *name))
{
        struct entry {
                uint64_t inode;
                int64_t next;
                unsigned short length;
                unsigned char type;
                char name[];
        };
        _Alignas(struct entry) char buf[2048];
        long n;

        while ((n = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
                for (long at = 0; at < n;) {
                        const struct entry *e = (const void *)(buf + at);

                        if (e->name[0] >= '0' && e->name[0] <= '9')
                                visit(dir, e->name);
                        at += e->length;
                }
        }
}

static void visit_descriptor(int dir, const char *name)
{
        static const char prefix[] = "socket:[";
        const size_t skip = sizeof(prefix) - 1;
        char to[40];
        ssize_t n = readlinkat(dir, name, to, sizeof(to));
        uint64_t inode;

        if (n < (ssize_t)sizeof(prefix) || memcmp(to, prefix, skip) != 0)
                return;
        inode = number_of(to + skip, (size_t)n - skip - 1);
        for (size_t i = 0; i < sockets.count; i++)
                sockets.at[i].held |= sockets.at[i].inode == inode;
}

static void visit_process(int proc, const char *name)
{
        AUTO_CLOSE int process = openat(proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        AUTO_CLOSE int fds = process < 0 ? -1
                                         : openat(process, "fd",
                                                  O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fds >= 0)
                each_number(fds, visit_descriptor);
}

/* 1 when a socket is nobody's that we can see. */
static int count_strangers(void)
{
        static const char *const tables[] = { "/proc/net/tcp", "/proc/net/tcp6",
                                              "/proc/net/udp", "/proc/net/udp6",
                                              "/proc/net/raw", "/proc/net/raw6" };
        int r = 0;

        sockets.count = 0;
        sockets.full = false;
        for (size_t i = 0; !r && i < COUNT(tables); i++)
                r = read_table(tables[i]);
        if (r < 0)
                return r;
        AUTO_CLOSE int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (proc < 0)
                return -errno;
        each_number(proc, visit_process);
        r = sockets.full;
        for (size_t i = 0; i < sockets.count; i++)
                r |= !sockets.at[i].held;
        return r;
}

static int find_sockets(const char **why)
{
        const struct timespec moment = { .tv_nsec = 2000000 };
        int r = 0;

        for (unsigned pass = 0; pass < PASSES; pass++) {
                if (pass)
                        nanosleep(&moment, NULL);
                r = count_strangers();
                if (r <= 0)
                        return r;
        }
        *why = sockets.full ? "more sockets are in it than a fresh container has"
                            : "a socket in it belongs to no process of this container";
        return r;
}

int shared_netns(const char **why)
{
        int r;

        *why = "it is the host's";
        if (with_the_host())
                return 1;
        r = find_devices(why);
        if (!r)
                r = find_rules(why);
        r = r ? r : find_sockets(why);
        if (!r)
                *why = "";
        return r;
}
