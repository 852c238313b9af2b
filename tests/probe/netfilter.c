/*
 * tests/probe/netfilter.c - the netfilter lock by hand, for test_netfilter.py.
 *
 * Usage: probe_netfilter [form…] apply|verify|remove|shared|nothing [name=number…]
 *
 * Forms: any (the program's own choice, the default), inet, split, nofib, nonat, xt. What the
 * function says is the exit status: 0, 1, or 2 with the errno's name on stdout.
 */
#include "base/wr.h"
#include "netfilter/netfilter.h"
#include "netfilter/shared.h"
#include "netfilter/xt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct nft_plan plan;
static struct nft_form form;
static bool by_nft, by_xt;

static bool take_number(const char *word)
{
        static const struct {
                const char *name;
                size_t len;
        } names[] = { { "mark=", 5 }, { "dns=", 4 }, { "redirect=", 9 } };
        unsigned long n;

        for (unsigned i = 0; i < COUNT(names); i++) {
                if (strncmp(word, names[i].name, names[i].len) != 0)
                        continue;
                n = strtoul(word + names[i].len, NULL, 0);
                if (i == 0)
                        plan.mark = (uint32_t)n;
                else if (i == 1)
                        plan.dns_port = (uint16_t)n;
                else
                        plan.redirect_port = (uint16_t)n;
                return true;
        }
        return false;
}

static bool take_word(const char *word)
{
        const struct {
                const char *name;
                bool *flag;
        } flags[] = {
                { "off", &plan.off },       { "inbound", &plan.inbound },
                { "root", &plan.root_resolves },
                { "split", &form.split },   { "nofib", &form.no_fib },
                { "nonat", &form.no_nat },  { "nov6", &form.no_v6 },
                { "inet", &by_nft },        { "xt", &by_xt },
        };

        for (unsigned i = 0; i < COUNT(flags); i++) {
                if (!strcmp(word, flags[i].name)) {
                        *flags[i].flag = true;
                        by_nft |= flags[i].flag == &form.split || flags[i].flag == &form.no_fib ||
                                  flags[i].flag == &form.no_nat;
                        return true;
                }
        }
        return take_number(word);
}

static int carry_out(const char *what, const char **how)
{
        *how = "";
        if (!strcmp(what, "apply"))
                return by_xt    ? xt_apply(&plan)
                       : by_nft ? nft_apply(&plan, &form)
                                : netfilter_apply(&plan, how);
        if (!strcmp(what, "verify"))
                return nft_verify(&plan, &form);
        if (!strcmp(what, "remove"))
                return by_xt ? xt_remove() : by_nft ? nft_remove() : netfilter_remove(how);
        if (!strcmp(what, "shared"))
                return shared_netns(how);
        return strcmp(what, "nothing") ? -EINVAL : 0;
}

int main(int argc, char **argv)
{
        const char *what = "", *how;
        char line[512];
        struct wr w = wr_of(line, sizeof(line));
        int r;

        for (int i = 1; i < argc; i++) {
                if (!take_word(argv[i]))
                        what = argv[i];
        }
        r = carry_out(what, &how);
        if (r < 0)
                wr_fmt(&w, "%s", strerror(-r));
        wr_fmt(&w, "%s%s\n", r < 0 && *how ? ": " : "", how);
        if (write(1, w.buf, w.len) < 0)
                return 3;
        return r < 0 ? 2 : r;
}
