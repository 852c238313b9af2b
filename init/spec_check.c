/* init/spec_check.c - the kinds of string that a spec holds. */
#include "init/spec_check.h"

#include "base/digits.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_alnum(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_line(const char *s)
{
        if (!*s)
                return false;
        for (; *s; s++) {
                if ((unsigned char)*s < 0x20 || *s == 0x7f)
                        return false;
        }
        return true;
}

static bool starts(const char *s, const char *with)
{
        return !strncmp(s, with, strlen(with));
}

/* All of @s, at least one byte: ASCII letters, digits and bytes of @more. */
static bool only(const char *s, const char *more)
{
        if (!*s)
                return false;
        for (; *s; s++) {
                if (!is_alnum(*s) && !strchr(more, *s))
                        return false;
        }
        return true;
}

static bool is_name(const char *s)
{
        return only(s, "_") && !(*s >= '0' && *s <= '9');
}

static bool is_path(const char *s)
{
        if (*s != '/' || !is_line(s))
                return false;
        while (*s) {
                size_t n = strcspn(s + 1, "/");

                if ((!n && s[1]) || (n == 1 && s[1] == '.') ||
                    (n == 2 && s[1] == '.' && s[2] == '.'))
                        return false;
                s += n + 1;
                if (*s == '/' && !s[1]) /* a slash at the end */
                        return false;
        }
        return true;
}

/* `ext::` and other helpers of git run commands; a leading dash is an option. */
static bool is_url(const char *s)
{
        static const char schemes[][9] = { "https://", "http://", "ssh://", "git://", "file://" };
        size_t len = strlen(s);
        const char *colon = strchr(s, ':');

        if (!is_line(s) || *s == '-' || text_find(s, "::") || text_find(s, "@-"))
                return false;
        for (size_t i = 0; i < COUNT(schemes); i++) {
                if (starts(s, schemes[i])) {
                        char first = s[strlen(schemes[i])];

                        return first && first != '-'; /* ssh would take -o… as its option */
                }
        }
        if (text_find(s, "://"))
                return false;
        if (*s == '/')
                return true;
        if (colon) /* user@host:path */
                return colon != s && colon[1] && !memchr(s, '/', (size_t)(colon - s));
        return len > 7 && !strcmp(s + len - 7, ".bundle");
}

/* git-check-ref-format(1), for a branch, a tag or a commit. */
static bool is_ref(const char *s)
{
        size_t len = strlen(s);

        if (!is_line(s) || *s == '-' || *s == '/' || *s == '.' || strpbrk(s, " ~^:?*[\\") ||
            text_find(s, "..") || text_find(s, "//") || text_find(s, "@{") || text_find(s, "/.") ||
            text_find(s, ".lock/") || !strcmp(s, "@"))
                return false;
        if (s[len - 1] == '/' || s[len - 1] == '.')
                return false;
        return len < 5 || strcmp(s + len - 5, ".lock") != 0;
}

/* A range of addresses: 10.0.0.0/8. airlock-proxy wants no bit behind the prefix. */
static bool is_range(const char *s, const char *slash)
{
        char address[64];
        struct in6_addr any;
        bool six = strchr(s, ':');
        unsigned bits = 0;
        const char *p = slash + 1;

        if ((size_t)(slash - s) >= sizeof(address) || !*p || strlen(p) > 3)
                return false;
        memcpy(address, s, (size_t)(slash - s));
        address[slash - s] = '\0';
        for (; *p >= '0' && *p <= '9'; p++)
                bits = bits * 10 + (unsigned)(*p - '0');
        return !*p && bits <= (six ? 128U : 32U) &&
               inet_pton(six ? AF_INET6 : AF_INET, address, &any) == 1;
}

/* A host name, *.name, an IP address, or a range of them. */
static bool is_host(const char *s)
{
        const char *slash = strchr(s, '/');
        struct in6_addr six;
        size_t len;

        if (slash)
                return is_range(s, slash);
        if (strchr(s, ':'))
                return inet_pton(AF_INET6, s, &six) == 1;
        if (starts(s, "*."))
                s += 2;
        len = strlen(s);
        if (len > 253)
                return false;
        do {
                size_t n = strcspn(s, ".");

                if (!n || n > 63 || *s == '-' || s[n - 1] == '-')
                        return false;
                for (size_t i = 0; i < n; i++) {
                        if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '_')
                                return false;
                }
                s += n;
                if (!*s)
                        return true;
                s++;
        } while (true);
}

static bool is_method(const char *s)
{
        return only(s, "-") && strlen(s) <= 32 &&
               !strpbrk(s, "abcdefghijklmnopqrstuvwxyz0123456789") && *s != '-';
}

static bool is_sha256(const char *s)
{
        return strlen(s) == 64 && strspn(s, "0123456789abcdefABCDEF") == 64;
}

static bool is_id(const char *s, size_t n)
{
        return n && n <= 9 && strspn(s, "0123456789") >= n;
}

static bool is_user(const char *s)
{
        size_t digits = strspn(s, "0123456789");

        if (digits && s[digits] == ':')
                return is_id(s, digits) && is_id(s + digits + 1, strlen(s + digits + 1));
        if (digits && !s[digits])
                return is_id(s, digits);
        return only(s, "_.-") && !digits && *s != '-' && *s != '.' && strlen(s) <= 32;
}

/* An address of the @scheme, with something behind it. */
static bool is_at(const char *s, const char *scheme)
{
        return is_line(s) && !strchr(s, ' ') && starts(s, scheme) && s[strlen(scheme)];
}

/* IPv4:PORT or [IPv6]:PORT. */
static bool is_endpoint(const char *s)
{
        const char *colon = strrchr(s, ':');
        size_t len = colon ? (size_t)(colon - s) : 0;
        bool six = *s == '[';
        char address[64] = "";
        struct in6_addr any;
        uint64_t port;

        if (len < 3 || len >= sizeof(address) || (six && s[len - 1] != ']'))
                return false;
        memcpy(address, s + six, len - (six ? 2 : 0));
        return inet_pton(six ? AF_INET6 : AF_INET, address, &any) == 1 &&
               digits_parse(colon + 1, UINT16_MAX, &port) && colon[1] != '0';
}

static bool is_server(const char *s)
{
        if (starts(s, "unix:"))
                return is_path(s + 5) && strlen(s + 5) <= SERVER_PATH_MAX;
        return !strcmp(s, "stdio") || (starts(s, "ws://") && is_endpoint(s + 5));
}

bool spec_is_private(const char *server)
{
        return !starts(server, "ws://") || starts(server, "ws://127.") ||
               starts(server, "ws://[::1]:");
}

/* One line in which every ${ begins a ${NAME}. */
static bool is_references(const char *s)
{
        if (!is_line(s))
                return false;
        while ((s = text_find(s, "${"))) {
                s += 2;
                if (starts(s, "base64:")) { /* ${base64:TEXT:NAME}: TEXT:value, encoded */
                        s += 7;
                        s += strcspn(s, ":}");
                        if (*s++ != ':')
                                return false;
                }
                if (*s >= '0' && *s <= '9')
                        return false;
                for (; *s != '}'; s++) {
                        if (!is_alnum(*s) && *s != '_')
                                return false;
                }
                if (s[-1] == '{')
                        return false;
        }
        return true;
}

const char *spec_check(enum spec_rule_of of, const char *s)
{
        switch (of) {
        case OF_TEXT:
                return NULL;
        case OF_LINE:
                return is_line(s) ? NULL : "one line of text";
        case OF_URL:
                return is_url(s) ? NULL
                                 : "https://, http://, ssh://, git://, file://, USER@HOST:PATH, "
                                   "an absolute path or a .bundle";
        case OF_REF:
                return is_ref(s) ? NULL : "a branch, a tag or a commit";
        case OF_PATH:
                return is_path(s) ? NULL : "an absolute path without empty, . or .. parts";
        case OF_NAME:
                return is_name(s) ? NULL : "a variable's name, [A-Za-z_][A-Za-z0-9_]*";
        case OF_HOST:
                return is_host(s) ? NULL : "a host name, *.NAME, an IP address or a range of them";
        case OF_METHOD:
                return is_method(s) ? NULL : "an HTTP method in capitals";
        case OF_SHA256:
                return is_sha256(s) ? NULL : "64 hex digits";
        case OF_USER:
                return is_user(s) ? NULL : "NAME, UID or UID:GID";
        case OF_VERSION:
                return only(s, ".-+_") ? NULL : "a version like 3.12";
        case OF_HTTP:
                return is_at(s, "http://") || is_at(s, "https://") ? NULL
                                                                   : "an http:// or https:// URL";
        case OF_SERVER:
                return is_server(s) ? NULL : "ws://IP:PORT, unix:/PATH or stdio";
        case OF_TOKEN:
                return only(s, "!#$%&'*+-.^_`|~") ? NULL : "the name of an HTTP header";
        case OF_REFERENCES:
                return is_references(s) ? NULL : "one line of text, secrets in it as ${NAME} or ${base64:TEXT:NAME}";
        }
        return NULL;
}
