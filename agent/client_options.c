/* agent/client_options.c - what `airlock exec-client` was told. */
#include "agent/client_options.h"

#include "base/digits.h"
#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
        "usage: airlock exec-client [OPTION]... URL -- COMMAND [ARGUMENT]...\n"
        "\n"
        "Runs one command on an exec-server, airlock's or Codex's, as if it ran here: stdin,\n"
        "stdout, stderr and the exit status are passed. A connection that breaks is made\n"
        "again, and the command never notices.\n"
        "\n"
        "  URL                ws://HOST:PORT, wss://HOST:PORT or unix:PATH; without it\n"
        "                     $CODEX_EXEC_SERVER_URL. wss:// goes through an airlock-proxy of\n"
        "                     our own, which checks the server's name and certificate\n"
        "  --via COMMAND      instead of a URL: a shell command that is the server on its\n"
        "                     stdin and stdout, e.g. 'ssh box airlock exec-server --listen stdio'\n"
        "  --token-file FILE  a bearer token for the server\n"
        "  --ca-bundle FILE   more certificates that a wss:// server may have\n"
        "  --upstream URL     the proxy to go through to it, http://[NAME:PASSWORD@]HOST:PORT;\n"
        "                     else $https_proxy, but for $no_proxy's hosts\n"
        "  --cwd DIR          run the command there (the server's own directory)\n"
        "  --env NAME=VALUE   set a variable; --env NAME takes its value from here\n"
        "  --clean-env        nothing of the server's environment but what --env says\n"
        "  --pty              on a terminal of its own (24 rows, 80 columns)\n"
        "  -n, --no-stdin     the command's stdin is empty\n"
        "  --wait SECONDS     how long to try when the server is not there yet (0)\n"
        "  --help, --version\n"
        "\n"
        "SIGINT interrupts the command, the second one and SIGTERM kill it. Exit status: the\n"
        "command's; 126 and 127 it could not be started; 75 no connection; 2 wrong usage.\n"
        "A server that can't end a command's stdin (Codex's) gets all of ours first, at most\n"
        "16 MiB, and needs sh and head there.\n";

static int wrong(const char *option, const char *what)
{
        log_line(LOG_ERROR, "%s: %s; `airlock exec-client --help` lists the options", option,
                 what);
        return -STATUS_USAGE;
}

static int say(const char *text)
{
        return write_full(STDOUT_FILENO, text, strlen(text)) < 0 ? -STATUS_OUTPUT : 1;
}

static int read_token(struct client_options *o, const char *path)
{
        ssize_t n = read_file(AT_FDCWD, path, o->token, sizeof(o->token));
        size_t start = strspn(o->token, " \t\r\n");

        if (n < 0) {
                log_errno(LOG_ERROR, (int)-n, "--token-file %s", path);
                return -STATUS_USAGE;
        }
        while (n && strchr(" \t\r\n", o->token[n - 1]))
                o->token[--n] = '\0';
        memmove(o->token, o->token + start, strlen(o->token + start) + 1);
        if (!o->token[0])
                return wrong("--token-file", "the file is empty");
        for (const char *c = o->token; *c; c++)
                if (*c <= ' ' || *c > '~')
                        return wrong("--token-file", "a token has no such bytes");
        return 0;
}

static int add_env(struct client_options *o, const char *value)
{
        const char *found;
        struct wr w;
        size_t room;

        if (!*value || *value == '=')
                return wrong("--env", "NAME=VALUE, or NAME");
        if (o->env_count == CLIENT_ENV_MAX)
                return wrong("--env", "more than 256 of them");
        if (!strchr(value, '=')) {
                found = getenv(value);
                if (!found)
                        return 0;
                room = strlen(value) + strlen(found) + 2;
                w = wr_of(take_memory(room), room); /* for as long as we live */
                wr_fmt(&w, "%s=%s", value, found);
                value = wr_cstr(&w);
        }
        o->env[o->env_count++] = value;
        return 0;
}

/* Both forms of an option with a value. *@at moves behind what was taken; NULL: not @name. */
static const char *value_of(const char *name, int argc, char **argv, int *at)
{
        size_t n = strlen(name);

        if (!argv[*at] || strncmp(argv[*at], name, n) != 0)
                return NULL;
        if (argv[*at][n] == '=')
                return argv[*at] + n + 1;
        if (argv[*at][n] || *at + 1 >= argc)
                return NULL;
        return argv[++*at];
}

struct said {
        const char *via, *token_file;
        uint64_t wait_s;
};

/* 1: it was an option with a value; 0: it is none. */
static int take_value(struct client_options *o, struct said *s, int argc, char **argv, int *at)
{
        const char *v;
        int r;

        if ((v = value_of("--via", argc, argv, at))) {
                s->via = v;
        } else if ((v = value_of("--token-file", argc, argv, at))) {
                s->token_file = v;
        } else if ((v = value_of("--ca-bundle", argc, argv, at))) {
                o->ca_bundle = v;
        } else if ((v = value_of("--upstream", argc, argv, at))) {
                o->upstream = v;
        } else if ((v = value_of("--cwd", argc, argv, at))) {
                if (*v != '/')
                        return wrong("--cwd", "an absolute path");
                o->cwd = v;
        } else if ((v = value_of("--env", argc, argv, at))) {
                r = add_env(o, v);
                if (r < 0)
                        return r;
        } else if ((v = value_of("--wait", argc, argv, at))) {
                if (!digits_parse(v, 86400, &s->wait_s))
                        return wrong("--wait", "a number of seconds");
        } else {
                return 0;
        }
        return 1;
}

static bool take_flag(struct client_options *o, const char *word)
{
        if (!strcmp(word, "--pty"))
                o->pty = true;
        else if (!strcmp(word, "--clean-env"))
                o->clean_env = true;
        else if (!strcmp(word, "--no-stdin") || !strcmp(word, "-n"))
                o->no_stdin = true;
        else
                return false;
        return true;
}

static int check(struct client_options *o, const struct said *s)
{
        enum remote_status u;
        int r;

        if (!o->argv || !o->argv[0])
                return wrong("--", "the command is missing behind it");
        if (s->via && o->url)
                return wrong("--via", "there is a URL too");
        if (!s->via && !o->url)
                o->url = getenv("CODEX_EXEC_SERVER_URL");
        if (s->via) {
                o->url = s->via;
                o->via[0] = "/bin/sh";
                o->via[1] = "-c";
                o->via[2] = s->via;
                o->target = (struct client_target){ .transport = CLIENT_COMMAND,
                                                    .argv = o->via };
                if (s->token_file)
                        return wrong("--token-file", "a command is asked for no token");
                return 0;
        }
        if (!o->url || !*o->url)
                return wrong("URL", "missing");
        u = client_url(&o->target, o->url);
        if (u != REMOTE_OK) {
                log_line(LOG_ERROR, "URL `%s` %s", o->url, remote_status_str(u));
                return -STATUS_USAGE;
        }
        if (!o->target.at.tls && (o->ca_bundle || o->upstream))
                return wrong(o->ca_bundle ? "--ca-bundle" : "--upstream", "the URL is not wss://");
        if (s->token_file) {
                r = read_token(o, s->token_file);
                if (r < 0)
                        return r;
                o->target.token = o->token;
        }
        return 0;
}

int client_options(struct client_options *o, int argc, char **argv)
{
        struct said s = { 0 };
        int i, r;

        for (i = 1; i < argc; i++) {
                if (!strcmp(argv[i], "--"))
                        break;
                if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
                        return say(usage);
                if (!strcmp(argv[i], "--version") || !strcmp(argv[i], "-V"))
                        return say("airlock version " AIRLOCK_VERSION "\n");
                if (take_flag(o, argv[i]))
                        continue;
                r = take_value(o, &s, argc, argv, &i);
                if (r < 0)
                        return r;
                if (r)
                        continue;
                if (argv[i][0] == '-')
                        return wrong(argv[i], "no such option, or no value");
                if (o->url)
                        return wrong(argv[i], "a second URL; the command stands behind --");
                o->url = argv[i];
        }
        if (i < argc)
                o->argv = (const char *const *)argv + i + 1;
        r = check(o, &s);
        o->target.patience_ms = (uint32_t)s.wait_s * 1000;
        return r;
}
