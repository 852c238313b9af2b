/* netfilter/proxy_options.c - reads the command line, writes the policy it means. */
#include "netfilter/proxy_options.h"

#include "base/digits.h"
#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static const char usage[] =
        "usage: airlock proxy [OPTION]...\n"
        "\n"
        "A proxy that lets out what a policy names and nothing else. Give its address to\n"
        "programs as http_proxy, https_proxy and all_proxy (HTTP and SOCKS5, one port).\n"
        "\n"
        "  --listen ADDR:PORT      also unix:PATH; may be given again (127.0.0.1:3128)\n"
        "  --dns ADDR:PORT         answer names there, over UDP and TCP\n"
        "  --net off|limited|full  nothing; what is allowed below (default); any public host\n"
        "  --preset P              none (default), common-dependencies or all\n"
        "  --allow HOST            and its subdomains; *.HOST: its subdomains; an address, a CIDR\n"
        "  --deny HOST             wins over every allow\n"
        "  --methods M,...         for every allowed host (GET,HEAD,OPTIONS)\n"
        "  --rules FILE            more lines of policy: rule host=... ports=... paths=...\n"
        "  --upstream http://H:P   the proxy to go through\n"
        "  --journal FILE          append one JSON line for each decision\n"
        "  --learn                 let any public host through; at the end (Ctrl-C) print\n"
        "                          the list that would have been needed\n"
        "  --resolv FILE           name servers (/etc/resolv.conf)\n"
        "  --hosts FILE            names that need no server (/etc/hosts)\n"
        "  --ca-bundle FILE        certificates that a server may have (may be given again)\n"
        "  --secrets FILE          NAME=VALUE lines that rules may inject\n"
        "  --placeholders FILE     where NAME=PLACEHOLDER lines go: what clients get instead\n"
        "  --ca-out FILE           where the certificate goes that clients have to trust\n"
        "  --mark N                SO_MARK of everything that goes out\n"
        "  --uid N --gid N         become that user\n"
        "  --help, --version\n"
        "\n"
        "PID 1 starts it as: airlock-proxy --control FD [--journal FD] [--start-ms N]\n"
        "[--ca-out-fd FD] and sends policy and listeners.\n";

static int wrong(const char *option, const char *what)
{
        log_line(LOG_ERROR, "%s: %s; `airlock proxy --help` lists the options", option, what);
        return -EINVAL;
}

static void put_word(struct proxy_options *o, const char *key, const char *value)
{
        wr_fmt(&o->policy, "%s ", key);
        wr_percent(&o->policy, value, strlen(value), "/*?:,.-_~@[]");
        wr_char(&o->policy, '\n');
}

static int put_rules(struct proxy_options *o, const char *path)
{
        ssize_t n = read_file(AT_FDCWD, path, o->policy.buf + o->policy.len,
                              o->policy.cap - o->policy.len);

        if (n < 0) {
                log_errno(LOG_ERROR, (int)-n, "--rules %s", path);
                return -EINVAL;
        }
        o->policy.len += (size_t)n;
        wr_char(&o->policy, '\n');
        return 0;
}

static int add(const char **list, size_t *count, size_t max, const char *option,
               const char *value)
{
        if (*count == max)
                return wrong(option, "too many of them");
        list[(*count)++] = value;
        return 0;
}

static int take_number(struct proxy_options *o, const char *option, const char *value)
{
        uint64_t n;

        if (!digits_parse(value, !strcmp(option, "--start-ms") ? UINT64_MAX : INT32_MAX, &n))
                return wrong(option, "not a number");
        if (!strcmp(option, "--control")) {
                o->control = (int)n;
        } else if (!strcmp(option, "--mark")) {
                o->mark = (uint32_t)n;
        } else if (!strcmp(option, "--start-ms")) {
                o->start_ms = n;
        } else if (!strcmp(option, "--ca-out-fd")) {
                o->ca_out_fd = (int)n;
        } else {
                if (!o->set_ids) { /* one alone means both */
                        o->uid = (uid_t)n;
                        o->gid = (gid_t)n;
                }
                o->set_ids = true;
                if (!strcmp(option, "--uid"))
                        o->uid = (uid_t)n;
                else
                        o->gid = (gid_t)n;
        }
        return 0;
}

/* Options that are one line of policy. */
static bool take_policy(struct proxy_options *o, const char *option, const char *value)
{
        static const char *const words[][2] = {
                { "--net", "mode" },     { "--preset", "preset" },     { "--allow", "allow" },
                { "--deny", "deny" },    { "--methods", "methods" },   { "--upstream", "upstream" },
        };

        for (size_t i = 0; i < COUNT(words); i++)
                if (!strcmp(option, words[i][0])) {
                        put_word(o, words[i][1], value);
                        return true;
                }
        return false;
}

static int take(struct proxy_options *o, const char *option, const char *value)
{
        static const char *const numbers[] = { "--control", "--mark",      "--start-ms",
                                               "--uid",     "--ca-out-fd", "--gid" };

        for (size_t i = 0; i < COUNT(numbers); i++)
                if (!strcmp(option, numbers[i]))
                        return take_number(o, option, value);
        if (take_policy(o, option, value))
                return 0;
        if (!strcmp(option, "--rules"))
                return put_rules(o, value);
        if (!strcmp(option, "--listen"))
                return add(o->listen, &o->listen_count, OPTIONS_LISTENERS, option, value);
        if (!strcmp(option, "--dns"))
                return add(o->dns, &o->dns_count, OPTIONS_LISTENERS, option, value);
        if (!strcmp(option, "--ca-bundle"))
                return add(o->bundles, &o->bundle_count, OPTIONS_BUNDLES, option, value);
        if (!strcmp(option, "--journal"))
                o->journal = value;
        else if (!strcmp(option, "--resolv"))
                o->resolv = value;
        else if (!strcmp(option, "--hosts"))
                o->hosts = value;
        else if (!strcmp(option, "--secrets"))
                o->secrets = value;
        else if (!strcmp(option, "--placeholders"))
                o->placeholders = value;
        else if (!strcmp(option, "--ca-out"))
                o->ca_out = value;
        else
                return wrong(option, "no such option");
        return 0;
}

static int check(struct proxy_options *o, bool mode)
{
        if (o->policy.full)
                return wrong("--rules", "the policy is too long");
        if (o->control >= 0 && (o->policy.len || o->secrets || o->placeholders || o->learn ||
                                o->listen_count || o->dns_count))
                return wrong("--control", "policy and listeners come through it");
        if (o->control < 0 && !mode)
                wr_str(&o->policy, o->learn ? "mode full\n" : "mode limited\n");
        if (!o->listen_count && !o->dns_count)
                o->listen[o->listen_count++] = "127.0.0.1:3128";
        return 0;
}

static int say(const char *text)
{
        return write_full(STDOUT_FILENO, text, strlen(text)) < 0 ? -EINVAL : 1;
}

int proxy_options(struct proxy_options *o, int argc, char **argv)
{
        bool mode = false;

        o->control = -1;
        o->ca_out_fd = -1;
        o->resolv = "/etc/resolv.conf";
        o->hosts = "/etc/hosts";
        for (int i = 1; i < argc; i++) {
                const char *option = argv[i];
                int r;

                if (!strcmp(option, "--help") || !strcmp(option, "-h"))
                        return say(usage);
                if (!strcmp(option, "--version"))
                        return say("airlock " AIRLOCK_VERSION "\n");
                if (!strcmp(option, "--learn")) {
                        o->learn = true;
                        continue;
                }
                if (option[0] != '-')
                        return wrong(option, "not an option");
                if (i + 1 == argc)
                        return wrong(option, "no value, or no such option");
                mode |= !strcmp(option, "--net");
                r = take(o, option, argv[++i]);
                if (r < 0)
                        return r;
        }
        return check(o, mode);
}
