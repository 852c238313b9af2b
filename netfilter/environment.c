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

static bool named(const char *variable, const char *name)
{
        size_t len = strlen(name);

        return !strncmp(variable, name, len) && variable[len] == '=';
}

static bool ours(const char *variable)
{
        for (size_t i = 0; i < COUNT(with_port); i++) {
                if (named(variable, with_port[i]))
                        return true;
        }
        return named(variable, without[0]) || named(variable, without[1]);
}

char *const *environment_with_proxy(uint16_t port)
{
        struct wr w = wr_of(text, sizeof(text));
        size_t n = 0;

        if (!port)
                return environ;
        for (size_t i = 0; i < COUNT(with_port); i++) {
                variables[n++] = text + w.len;
                wr_fmt(&w, "%s=http://127.0.0.1:%u%c", with_port[i], port, '\0');
        }
        for (size_t i = 0; i < COUNT(without); i++) {
                variables[n++] = text + w.len;
                wr_fmt(&w, "%s=" NOT_THROUGH_US "%c", without[i], '\0');
        }
        for (char **e = environ; *e; e++) {
                if (ours(*e))
                        continue;
                if (n == VARIABLES_MAX - 1)
                        return NULL;
                variables[n++] = *e;
        }
        variables[n] = NULL;
        return w.full ? NULL : variables;
}
