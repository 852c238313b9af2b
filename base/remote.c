/* base/remote.c - see remote.h. */
#include "base/remote.h"

#include "base/digits.h"

#include <string.h>
#include <strings.h>

const char *remote_status_str(enum remote_status s)
{
        switch (s) {
        case REMOTE_OK:
                return "fine";
        case REMOTE_SCHEME:
                return "must use ws:// or wss://";
        case REMOTE_HOST:
                return "has no valid host and port";
        case REMOTE_LONG:
                return "is too long";
        }
        return "?";
}

/* Bytes that end a line of HTTP, or that no URL has, never reach the wire. */
static bool is_plain(const char *text, const char *not_these)
{
        for (; *text; text++)
                if (*text <= ' ' || *text > '~' || strchr(not_these, *text))
                        return false;
        return true;
}

/* HOST[:PORT] between @at and @end. */
static bool read_host(struct remote *r, const char *at, const char *end)
{
        const char *colon;
        uint64_t port = r->port;

        if (*at == '[') {
                at++;
                colon = memchr(at, ']', (size_t)(end - at));
                if (!colon)
                        return false;
                memcpy(r->host, at, (size_t)(colon - at));
                colon++;
        } else {
                colon = memchr(at, ':', (size_t)(end - at));
                colon = colon ? colon : end;
                memcpy(r->host, at, (size_t)(colon - at));
        }
        if (colon != end &&
            (*colon++ != ':' || !digits_take(&colon, 65535, &port) || colon != end || !port))
                return false;
        r->port = (uint16_t)port;
        return r->host[0] && is_plain(r->host, "@\"\\<>%");
}

enum remote_status remote_parse(struct remote *r, const char *url)
{
        bool tls = !strncmp(url, "wss://", 6);
        const char *at, *end;

        *r = (struct remote){ 0 };
        if (!tls && strncmp(url, "ws://", 5) != 0)
                return REMOTE_SCHEME;
        at = url + (tls ? 6 : 5);
        end = at + strcspn(at, "/?#");
        if ((size_t)(end - at) >= sizeof(r->host) || strlen(end) + 2 > sizeof(r->path))
                return REMOTE_LONG;
        *r = (struct remote){ .tls = tls, .port = tls ? 443 : 80, .path = "/" };
        if (!read_host(r, at, end) || !is_plain(end, "#")) {
                *r = (struct remote){ 0 };
                return REMOTE_HOST;
        }
        memcpy(r->path + (*end != '/'), end, strlen(end));
        return REMOTE_OK;
}

const char *const remote_near[] = { "127.0.0.0/8",    "10.0.0.0/8",    "172.16.0.0/12",
                                    "192.168.0.0/16", "100.64.0.0/10", "::1", "fc00::/7", NULL };

bool remote_is_name(const char *host)
{
        return !strchr(host, ':') && host[strspn(host, "0123456789.")];
}

/* --- one entry -------------------------------------------------------------------------- */

static bool is_space(char c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

const char *remote_trim(const char *text, size_t *len)
{
        while (is_space(*text))
                text++;
        *len = strlen(text);
        while (*len && is_space(text[*len - 1]))
                --*len;
        return text;
}

static bool is_id(const char *id)
{
        for (; *id; id++)
                if (!((*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z') ||
                      (*id >= '0' && *id <= '9') || *id == '-' || *id == '_'))
                        return false;
        return true;
}

/* What is wrong with an id, behind its name; NULL: nothing. */
static const char *id_wrong(const char *id)
{
        size_t len;

        if (remote_trim(id, &len) != id || len != strlen(id))
                return "must not contain surrounding whitespace";
        if (!strcmp(id, "local") || !strcasecmp(id, "none"))
                return "is reserved";
        if (len > REMOTE_ID_MAX)
                return "cannot be longer than 64 characters";
        return is_id(id) ? NULL : "must contain only ASCII letters, numbers, '-' or '_'";
}

static bool url_wrong(struct wr *w, const char *url)
{
        char plain[REMOTE_URL_MAX + 256] = "";
        enum remote_status s = REMOTE_LONG;
        struct remote r;
        size_t len;

        url = remote_trim(url, &len);
        if (!len) {
                wr_str(w, "environment url cannot be empty");
                return true;
        }
        if (len < sizeof(plain)) {
                memcpy(plain, url, len);
                s = remote_parse(&r, plain);
        }
        if (s != REMOTE_OK)
                wr_fmt(w, "environment url `%.*s` %s", len < 200 ? (int)len : 200, url,
                       remote_status_str(s));
        return s != REMOTE_OK;
}

bool remote_entry_wrong(struct wr *w, const struct remote_entry *e)
{
        const char *why;
        size_t len = 1;

        if (!*e->id) {
                wr_str(w, "environment id cannot be empty");
                return true;
        }
        why = id_wrong(e->id);
        if (why) {
                wr_fmt(w, "environment id `%s` %s", e->id, why);
                return true;
        }
        if (!e->url == !e->program)
                why = "must set exactly one of url or program";
        else if (e->url && (e->args || e->env || e->cwd))
                why = "args, env, and cwd require program";
        else if (e->program && e->token)
                why = "auth_bearer_token requires url";
        else if (e->program && e->connect)
                why = "connect_timeout_sec requires url";
        if (!why && e->program)
                remote_trim(e->program, &len);
        if (!len)
                why = "program cannot be empty";
        if (why)
                wr_fmt(w, "environment `%s` %s", e->id, why);
        return why || (e->url && url_wrong(w, e->url));
}
