/* agent/exec_options.c - flags as codex exec-server has them, and a few of our own. */
#include "agent/exec_options.h"

#include "base/io.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static const char usage[] =
        "usage: airlock exec-server [OPTION]...\n"
        "\n"
        "Runs commands and serves files for a remote agent, in the protocol of\n"
        "codex exec-server: CODEX_EXEC_SERVER_URL=ws://... points a Codex client here.\n"
        "\n"
        "  --listen URL          ws://IP:PORT (default ws://127.0.0.1:0), unix:PATH (WebSocket\n"
        "                        on a socket in the file system), or stdio\n"
        "  --ws-auth capability-token\n"
        "                        clients bring a bearer token: --ws-token-file FILE holds it,\n"
        "                        or --ws-token-sha256 HEX is its digest\n"
        "  --ws-auth signed-bearer-token\n"
        "                        clients bring a JWT (HS256): --ws-shared-secret-file FILE,\n"
        "                        --ws-issuer NAME, --ws-audience NAME,\n"
        "                        --ws-max-clock-skew-seconds N (30)\n"
        "  --insecure-no-auth    serve other addresses than loopback without any of this\n"
        "  --exit-on-stdin-close end when stdin ends (WebSocket)\n"
        "  --idle-exit SECONDS   end when no client was there for so long; status 76 when none\n"
        "                        ever came\n"
        "  --keep SECONDS        how long a client whose connection broke may come back and find\n"
        "                        its processes, and what a finished one wrote can be read (80)\n"
        "  --concurrent-requests N\n"
        "                        taken for compatibility: slow calls never block others here\n"
        "  --help, --version\n"
        "\n"
        "The real address is printed on stdout, one line. SIGTERM and SIGINT end the server\n"
        "and everything it started. Exit status: 0, 1 could not start, 2 wrong usage, 76 idle.\n";

static int wrong(const char *option, const char *what)
{
        log_line(LOG_ERROR, "%s: %s; `airlock exec-server --help` lists the options", option, what);
        return -STATUS_USAGE;
}

static bool number(const char *text, uint64_t max, uint64_t *n)
{
        uint64_t value = 0;

        if (!*text || strlen(text) > 9)
                return false;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return false;
                value = value * 10 + (uint64_t)(*text - '0');
        }
        *n = value;
        return value <= max;
}

static bool address(struct exec_options *o, const char *text)
{
        const char *colon = strrchr(text, ':');
        uint8_t binary[16];
        uint64_t port;
        size_t n = colon ? (size_t)(colon - text) : 0;

        if (!n || !number(colon + 1, 65535, &port))
                return false;
        o->ip6 = text[0] == '[';
        if (o->ip6) {
                if (text[n - 1] != ']' || n < 3)
                        return false;
                text++;
                n -= 2;
        }
        if (n >= sizeof(o->host))
                return false;
        memcpy(o->host, text, n);
        o->host[n] = '\0';
        o->port = (uint16_t)port;
        return inet_pton(o->ip6 ? AF_INET6 : AF_INET, o->host, binary) == 1;
}

static int take_listen(struct exec_options *o, const char *url)
{
        if (!strcmp(url, "stdio") || !strcmp(url, "stdio://")) {
                o->kind = LISTEN_STDIO;
                return 0;
        }
        if (!strncmp(url, "unix:", 5) && url[5]) {
                o->kind = LISTEN_UNIX;
                o->path = url + 5;
                return 0;
        }
        o->kind = LISTEN_TCP;
        if (strncmp(url, "ws://", 5) != 0) {
                log_line(LOG_ERROR,
                         "unsupported --listen URL `%s`; expected `ws://IP:PORT` or `stdio`", url);
                return -1;
        }
        if (!address(o, url + 5)) {
                log_line(LOG_ERROR,
                         "invalid websocket --listen URL `%s`; expected `ws://IP:PORT`", url);
                return -1;
        }
        return 0;
}

static bool is_loopback(const struct exec_options *o)
{
        return o->ip6 ? !strcmp(o->host, "::1") : !strncmp(o->host, "127.", 4);
}

/* A file's contents without white space around them. */
static int read_secret(char *out, const char *option, const char *path, size_t *len)
{
        ssize_t n = read_file(AT_FDCWD, path, out, SECRET_MAX);
        size_t start = 0;

        if (n < 0) {
                log_errno(LOG_ERROR, (int)-n, "%s %s", option, path);
                return -1;
        }
        while (n && strchr(" \t\r\n", out[n - 1]))
                n--;
        while (start < (size_t)n && strchr(" \t\r\n", out[start]))
                start++;
        *len = (size_t)n - start;
        memmove(out, out + start, *len);
        return 0;
}

#define DIGEST_DIGITS ((size_t)2 * br_sha256_SIZE)

static bool hex_digest(uint8_t out[br_sha256_SIZE], const char *hex)
{
        static const char digits[] = "0123456789abcdef";

        if (strlen(hex) != DIGEST_DIGITS)
                return false;
        for (size_t i = 0; i < DIGEST_DIGITS; i++) {
                const char *at = strchr(digits, hex[i]);

                if (!at && hex[i] >= 'A' && hex[i] <= 'F')
                        at = strchr(digits, hex[i] + 32);
                if (!at)
                        return false;
                out[i / 2] = (uint8_t)(out[i / 2] << 4 | (at - digits));
        }
        return true;
}

/* What the command line said, before it makes sense together. */
struct said {
        const char *auth, *token_file, *token_hash, *secret_file, *issuer, *audience, *skew;
};

static int check_token(struct exec_options *o, const struct said *s)
{
        br_sha256_context digest;
        size_t len;

        if (!s->token_file == !s->token_hash)
                return wrong("--ws-auth capability-token",
                             "takes one of --ws-token-file and --ws-token-sha256");
        if (s->secret_file || s->issuer || s->audience || s->skew)
                return wrong("--ws-auth capability-token",
                             "--ws-shared-secret-file, --ws-issuer, --ws-audience and "
                             "--ws-max-clock-skew-seconds belong to signed-bearer-token");
        if (s->token_hash)
                return hex_digest(o->auth.token_hash, s->token_hash)
                               ? 0
                               : wrong("--ws-token-sha256", "not 64 hex digits");
        if (read_secret(o->secret, "--ws-token-file", s->token_file, &len) < 0)
                return -1;
        if (!len) {
                log_line(LOG_ERROR, "--ws-token-file %s: empty", s->token_file);
                return -1;
        }
        br_sha256_init(&digest);
        br_sha256_update(&digest, o->secret, len);
        br_sha256_out(&digest, o->auth.token_hash);
        explicit_bzero(&digest, sizeof(digest));
        explicit_bzero(o->secret, sizeof(o->secret));
        return 0;
}

static int check_jwt(struct exec_options *o, const struct said *s)
{
        uint64_t skew = 30;
        size_t len;

        if (!s->secret_file)
                return wrong("--ws-auth signed-bearer-token", "needs --ws-shared-secret-file");
        if (s->token_file || s->token_hash)
                return wrong("--ws-auth signed-bearer-token",
                             "--ws-token-file and --ws-token-sha256 belong to capability-token");
        if (s->skew && !number(s->skew, INT32_MAX, &skew))
                return wrong("--ws-max-clock-skew-seconds", "not a number");
        if (read_secret(o->secret, "--ws-shared-secret-file", s->secret_file, &len) < 0)
                return -1;
        if (len < 32) {
                log_line(LOG_ERROR, "--ws-shared-secret-file %s: shorter than 32 bytes",
                         s->secret_file);
                return -1;
        }
        o->auth.jwt = (struct jwt_rule){ o->secret, len, s->issuer, s->audience, (int64_t)skew };
        return 0;
}

static int check(struct exec_options *o, const struct said *s)
{
        bool any = s->auth || s->token_file || s->token_hash || s->secret_file || s->issuer ||
                   s->audience || s->skew;

        o->key_path = s->token_file ? s->token_file : s->secret_file;
        if (o->idle_s && o->kind == LISTEN_STDIO)
                return wrong("--idle-exit", "stdio has one client, and ends with it");
        if (any && o->kind == LISTEN_STDIO)
                return wrong("--ws-auth", "a stdio listener has no clients to tell apart");
        if (any && !s->auth)
                return wrong("--ws-auth", "missing, though others of its options are there");
        if (s->auth && !strcmp(s->auth, "capability-token")) {
                o->auth.auth = AUTH_TOKEN;
                return check_token(o, s);
        }
        if (s->auth && !strcmp(s->auth, "signed-bearer-token")) {
                o->auth.auth = AUTH_JWT;
                return check_jwt(o, s);
        }
        if (s->auth)
                return wrong("--ws-auth", "neither capability-token nor signed-bearer-token");
        if (o->kind == LISTEN_TCP && !is_loopback(o) && !o->insecure) {
                log_line(LOG_ERROR,
                         "--listen ws://%s%s%s:%u: whoever reaches this address could run commands; "
                         "give --ws-auth, or --insecure-no-auth",
                         o->ip6 ? "[" : "", o->host, o->ip6 ? "]" : "", o->port);
                return -1;
        }
        return 0;
}

static const char **where(struct said *s, const char *option)
{
        const struct {
                const char *option;
                const char **at;
        } all[] = {
                { "--ws-auth", &s->auth },
                { "--ws-token-file", &s->token_file },
                { "--ws-token-sha256", &s->token_hash },
                { "--ws-shared-secret-file", &s->secret_file },
                { "--ws-issuer", &s->issuer },
                { "--ws-audience", &s->audience },
                { "--ws-max-clock-skew-seconds", &s->skew },
        };

        for (size_t i = 0; i < COUNT(all); i++)
                if (!strcmp(option, all[i].option))
                        return all[i].at;
        return NULL;
}

static int take(struct exec_options *o, struct said *s, const char *option, const char *value)
{
        const char **at = where(s, option);
        uint64_t n;

        if (at) {
                *at = value;
                return 0;
        }
        if (!strcmp(option, "--listen"))
                return take_listen(o, value);
        if (!strcmp(option, "--idle-exit")) {
                if (!number(value, INT32_MAX / 1000, &n) || !n)
                        return wrong(option, "not a number of seconds");
                o->idle_s = (unsigned)n;
                return 0;
        }
        if (!strcmp(option, "--keep")) {
                if (!number(value, KEEP_MAX, &n) || !n)
                        return wrong(option, "not a number of seconds, 1 to 86400");
                o->keep_s = (unsigned)n;
                return 0;
        }
        /* These two are airlock run's, and no business of others. */
        if (!strcmp(option, "--journal-fd") || !strcmp(option, "--porch-fd")) {
                if (!number(value, INT32_MAX, &n))
                        return wrong(option, "not a number");
                *(option[2] == 'j' ? &o->journal : &o->porch) = (int)n;
                return 0;
        }
        if (!strcmp(option, "--concurrent-requests"))
                return number(value, INT32_MAX, &n) && n ? 0 : wrong(option, "not a number above 0");
        return wrong(option, "no such option");
}

static int say(const char *text)
{
        return write_full(STDOUT_FILENO, text, strlen(text)) < 0 ? -1 : 1;
}

int exec_options(struct exec_options *o, int argc, char **argv)
{
        struct said s = { 0 };

        *o = (struct exec_options){ .kind = LISTEN_TCP, .host = "127.0.0.1", .keep_s = KEEP_S,
                                    .journal = -1, .porch = -1 };
        for (int i = 1; i < argc; i++) {
                char option[64] = "";
                const char *equals = strchr(argv[i], '=');
                const char *value = equals ? equals + 1 : i + 1 < argc ? argv[i + 1] : NULL;
                size_t n = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
                int r;

                if (n < sizeof(option))
                        memcpy(option, argv[i], n);
                if (!strcmp(option, "--help") || !strcmp(option, "-h"))
                        return say(usage);
                if (!strcmp(option, "--version") || !strcmp(option, "-V"))
                        return say("airlock version " AIRLOCK_VERSION "\n");
                if (!strcmp(option, "--exit-on-stdin-close")) {
                        o->exit_on_stdin_close = true;
                        continue;
                }
                if (!strcmp(option, "--insecure-no-auth")) {
                        o->insecure = true;
                        continue;
                }
                if (option[0] != '-')
                        return wrong(argv[i], "not an option");
                if (!value)
                        return wrong(argv[i], "no value, or no such option");
                r = take(o, &s, option, value);
                if (r < 0)
                        return r;
                i += !equals;
        }
        return check(o, &s);
}
