/* agent/loop_options.c - see loop_options.h; the flags that codex exec has mean the same. */
#include "agent/loop_options.h"

#include "base/digits.h"
#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROMPT_MAX (4U << 20)

static const char usage[] =
        "usage: airlock agent [OPTION]... [PROMPT]\n"
        "\n"
        "Asks a model to do what PROMPT says in the git repository around it, runs the commands\n"
        "it wants, sealed, and gives them back until it has an answer. Without PROMPT, or with\n"
        "-, it is read from stdin; what stdin holds beside a PROMPT comes behind it.\n"
        "\n"
        "  --base-url URL         the model's server, an OpenAI-compatible one: https://HOST/v1\n"
        "  -m, --model NAME\n"
        "  --wire auto|responses|chat\n"
        "                         which API it speaks; auto tries the first (default)\n"
        "  --key-env NAME         the variable that holds its key (OPENAI_API_KEY); airlock-proxy\n"
        "                         alone gets it, and sends it over verified TLS only\n"
        "  --ca-bundle FILE       more certificates that the server may have\n"
        "  --upstream URL         the proxy to go through, http://[NAME:PASSWORD@]HOST:PORT; else\n"
        "                         $https_proxy and $http_proxy, but for $no_proxy's hosts\n"
        "  --effort LEVEL         of reasoning models: minimal, low, medium, high\n"
        "  --images               the model takes images: offer view_image\n"
        "  --shell-tool           offer shell instead of exec_command\n"
        "  -s, --sandbox read-only|workspace-write|danger-full-access\n"
        "                         what commands may write (workspace-write); none but the last\n"
        "                         gives them a network\n"
        "  -C, --cd DIR           work there\n"
        "  --skip-git-repo-check  DIR need not be in a git repository\n"
        "  --json                 events as JSON lines on stdout, as codex exec has them\n"
        "  -o, --output-last-message FILE\n"
        "                         the answer goes there as well\n"
        "  --environments FILE|{JSON}\n"
        "                         where commands run: JSON, the meaning of Codex's\n"
        "                         environments.toml; else $CODEX_EXEC_SERVER_URL: ws[s]://...,\n"
        "                         none\n"
        "  --output-schema FILE   the answer has to be JSON that fits this schema\n"
        "  --save FILE            keep the conversation there\n"
        "  --resume FILE          go on with the conversation that was kept\n"
        "  --context-window N     tokens of the model's context: cut the conversation before\n"
        "  --max-requests N       end after so many requests\n"
        "  --max-tokens N         end when so many tokens were used\n"
        "  --timeout SECONDS      end after that time\n"
        "  --retries N            tries after a failure that may pass (5)\n"
        "  --color auto|always|never\n"
        "  --no-assess            do not ask the model what it thinks of risky commands\n"
        "  -q, --quiet            no progress on stderr\n"
        "  -h, --help, -V, --version\n"
        "\n"
        "Exit status: 0 done; 1 failed; 2 usage; 5 a limit was reached; 6 the model can't be\n"
        "reached; 7 it refused the key; 8 no quota; 9 rate limit; 10 the conversation is too\n"
        "long; 11 the answer was cut off or is not what was asked for; 12 no exec-server;\n"
        "128+n ended by signal n.\n";

static int wrong(const char *option, const char *what)
{
        log_line(LOG_ERROR, "%s: %s; `airlock agent --help` lists the options", option, what);
        return -STATUS_USAGE;
}

static int take_word(const char *option, const char *value, const char *const *words, unsigned *n)
{
        for (*n = 0; words[*n]; (*n)++)
                if (!strcmp(words[*n], value))
                        return 0;
        return wrong(option, "no such value");
}

static int take_number(const char *option, const char *value, uint64_t max, uint64_t *n)
{
        return digits_parse(value, max, n) ? 0 : wrong(option, "not a number, or too large");
}

static const char **text_of(struct loop_options *o, const char *option)
{
        const struct {
                const char *name;
                const char **at;
        } all[] = {
                { "--base-url", &o->base_url },     { "--model", &o->model },
                { "-m", &o->model },                { "--key-env", &o->key_env },
                { "--ca-bundle", &o->ca_bundle },   { "--upstream", &o->upstream },
                { "--effort", &o->effort },         { "--cd", &o->cd },
                { "-C", &o->cd },                   { "--output-schema", &o->schema },
                { "-o", &o->last_message },         { "--output-last-message", &o->last_message },
                { "--save", &o->save },             { "--resume", &o->resume },
                { "--environments", &o->environments },
        };

        for (size_t i = 0; i < COUNT(all); i++)
                if (!strcmp(all[i].name, option))
                        return all[i].at;
        return NULL;
}

static uint32_t *number_of(struct loop_options *o, const char *option)
{
        if (!strcmp(option, "--context-window"))
                return &o->context_window;
        if (!strcmp(option, "--max-requests"))
                return &o->max_requests;
        if (!strcmp(option, "--timeout"))
                return &o->timeout_s;
        return !strcmp(option, "--retries") ? &o->retries : NULL;
}

static int take_value(struct loop_options *o, const char *option, const char *value)
{
        static const char *const wires[] = { "auto", "responses", "chat", NULL };
        static const char *const colors[] = { "auto", "always", "never", NULL };
        static const char *const sandboxes[] = { "read-only", "workspace-write",
                                                 "danger-full-access", NULL };
        const char **text = text_of(o, option);
        uint32_t *number = number_of(o, option);
        unsigned word = 0;
        uint64_t n = 0;
        int r;

        if (text) {
                *text = value;
                return *value ? 0 : wrong(option, "empty");
        }
        if (number) {
                r = take_number(option, value, 1000000000, &n);
                *number = (uint32_t)n;
                return r;
        }
        if (!strcmp(option, "--max-tokens"))
                return take_number(option, value, UINT32_MAX * UINT64_C(1000), &o->max_tokens);
        if (!strcmp(option, "--wire")) {
                r = take_word(option, value, wires, &word);
                o->wire = word;
        } else if (!strcmp(option, "--color")) {
                r = take_word(option, value, colors, &word);
                o->color = word;
        } else if (!strcmp(option, "--sandbox") || !strcmp(option, "-s")) {
                r = take_word(option, value, sandboxes, &word);
                o->sandbox = word;
        } else {
                return wrong(option, "no such option");
        }
        return r;
}

static bool *flag_of(struct loop_options *o, const char *option)
{
        const struct {
                const char *name;
                bool *at;
        } all[] = {
                { "--json", &o->json },     { "--experimental-json", &o->json },
                { "--quiet", &o->quiet },   { "-q", &o->quiet },
                { "--no-assess", &o->no_assess },
                { "--images", &o->images }, { "--shell-tool", &o->classic_shell },
                { "--skip-git-repo-check", &o->no_git_needed },
        };

        for (size_t i = 0; i < COUNT(all); i++)
                if (!strcmp(all[i].name, option))
                        return all[i].at;
        return NULL;
}

/* --- the prompt ---------------------------------------------------------------------------------------- */

static int read_stdin(struct buf *b)
{
        for (;;) {
                ssize_t n = read_full(STDIN_FILENO, buf_room(b, 65536), 65536);

                if (n < 0)
                        return (int)n;
                buf_added(b, (size_t)n);
                if (b->len > PROMPT_MAX)
                        return -EFBIG;
                if (n < 65536)
                        return 0;
        }
}

static int take_prompt(struct loop_options *o, const char *given)
{
        bool only = !given || !strcmp(given, "-");
        struct buf in = { 0 };
        int r = 0;

        if (o->task) {
                const char *text = given ? given : getenv("AIRLOCK_PROMPT");

                buf_str(&o->prompt, text ? text : "");
        } else {
                if (only || !isatty(STDIN_FILENO))
                        r = read_stdin(&in);
                if (!only)
                        buf_str(&o->prompt, given);
                if (!only && in.len)
                        buf_str(&o->prompt, "\n\n<stdin>\n");
                buf_put(&o->prompt, buf_at(&in), in.len);
                if (!only && in.len)
                        buf_str(&o->prompt, "\n</stdin>");
                buf_free(&in);
        }
        buf_put(&o->prompt, "", 1);
        if (r < 0)
                return wrong("PROMPT", strerror(-r));
        return o->prompt.len > 1 ? 0 : wrong("PROMPT", "empty");
}

/* AIRLOCK_LOOP=EXEC:CHANNEL:EVENTS:SAVE:RESUME:COMMIT, from PID 1; RESUME 0: a first turn. */
static int take_task(struct loop_options *o)
{
        int *const fds[] = { &o->exec_fd, &o->channel, &o->events_fd, &o->save_fd, &o->resume_fd };
        const char *at = getenv("AIRLOCK_LOOP");

        if (!at)
                return 0;
        for (size_t i = 0; i < COUNT(fds); i++) {
                uint64_t n;

                if (!digits_take(&at, INT32_MAX, &n) || *at++ != ':')
                        return wrong("AIRLOCK_LOOP", "not what PID 1 says");
                *fds[i] = (int)n;
        }
        o->task = true;
        if (o->resume_fd)
                o->resume = "the earlier turn's conversation";
        o->last_message = getenv("AIRLOCK_ANSWER");
        o->commit = *at ? at : NULL;
        o->sandbox = LOOP_FULL_ACCESS; /* the container is the sandbox */
        return 0;
}

static int check(const struct loop_options *o)
{
        if (!o->base_url)
                return wrong("--base-url", "missing: where is the model?");
        if (!o->model)
                return wrong("--model", "missing");
        return 0;
}

static int say(const char *text)
{
        return write_full(STDOUT_FILENO, text, strlen(text)) < 0 ? -STATUS_OUTPUT : 1;
}

int loop_options(struct loop_options *o, int argc, char **argv)
{
        const char *prompt = NULL;
        bool only_prompt = false;
        int r;

        *o = (struct loop_options){ .sandbox = LOOP_WORKSPACE_WRITE, .retries = 5,
                                    .key_env = "OPENAI_API_KEY", .exec_fd = -1, .channel = -1, .events_fd = -1,
                                    .save_fd = -1, .resume_fd = -1 };
        r = take_task(o);
        for (int i = 1; i < argc && !r; i++) {
                const char *equals = argv[i][0] == '-' && argv[i][1] == '-' ? strchr(argv[i], '=')
                                                                            : NULL;
                size_t n = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
                char option[40] = "";
                bool *flag;

                if (only_prompt || argv[i][0] != '-' || !argv[i][1]) {
                        if (prompt)
                                return wrong(argv[i], "a second prompt");
                        prompt = argv[i];
                        continue;
                }
                if (!strcmp(argv[i], "--")) {
                        only_prompt = true;
                        continue;
                }
                if (n < sizeof(option))
                        memcpy(option, argv[i], n);
                if (!strcmp(option, "--help") || !strcmp(option, "-h"))
                        return say(usage);
                if (!strcmp(option, "--version") || !strcmp(option, "-V"))
                        return say("airlock version " AIRLOCK_VERSION "\n");
                flag = equals ? NULL : flag_of(o, option);
                if (flag) {
                        *flag = true;
                        continue;
                }
                if (!equals && i + 1 == argc)
                        return wrong(argv[i], "no value, or no such option");
                r = take_value(o, option, equals ? equals + 1 : argv[++i]);
        }
        if (!r)
                r = check(o);
        return r ? r : take_prompt(o, prompt);
}
