/* netfilter/environment.c - the proxy's variables. */
#include "netfilter/environment.h"

#include "base/wr.h"

#include <string.h>

#define VARIABLES_MAX 8192
#define TEXT_MAX 1024

/*
 * ALL_PROXY speaks HTTP too: the same door takes SOCKS5, but a client without SOCKS
 * support (httpx) gives up on the scheme, also for requests that would not use it.
 */
static const char with_port[][12] = {
        "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
};
static const char without[][12] = { "no_proxy", "NO_PROXY" };

#define NOT_THROUGH_US "localhost,127.0.0.1,::1,[::1],127.0.0.0/8"

static LARGE_BUFFER char *variables[VARIABLES_MAX];
static char text[TEXT_MAX];

static size_t count;
static size_t own; /* the first of them are ours, and win over environ's */

/* Do the two set the same variable? */
static bool same_name(const char *a, const char *b)
{
        size_t len = strcspn(a, "=");

        return !strncmp(a, b, len) && b[len] == '=';
}

static bool add(char *variable)
{
        if (count == VARIABLES_MAX - 1)
                return false;
        variables[count++] = variable;
        return true;
}

static bool add_proxy(struct wr *w, const char *name, uint16_t port)
{
        char *at = text + w->len;

        if (port)
                wr_fmt(w, "%s=http://127.0.0.1:%u%c", name, port, '\0');
        else
                wr_fmt(w, "%s=" NOT_THROUGH_US "%c", name, '\0');
        return !w->full && add(at);
}

static bool add_proxies(uint16_t port)
{
        struct wr w = wr_of(text, sizeof(text));
        bool ok = true;

        for (size_t i = 0; i < COUNT(with_port); i++)
                ok &= add_proxy(&w, with_port[i], port);
        for (size_t i = 0; i < COUNT(without); i++)
                ok &= add_proxy(&w, without[i], 0);
        return ok;
}

static bool is_ours(const char *variable)
{
        for (size_t i = 0; i < own; i++) {
                if (same_name(variables[i], variable))
                        return true;
        }
        return false;
}

char *const *environment_with(uint16_t port, char *more)
{
        bool ok = true;

        count = 0;
        if (port)
                ok = add_proxies(port);
        for (char *p = more; p && *p; p += strlen(p) + 1)
                ok &= add(p);
        own = count;
        if (!own)
                return environ;
        for (char **e = environ; *e && ok; e++) {
                if (!is_ours(*e))
                        ok = add(*e);
        }
        variables[count] = NULL;
        return ok ? variables : NULL;
}
