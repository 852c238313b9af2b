/*
 * init/main.c - which command is meant.
 *
 * The first word decides. Started as PID 1, or under the name an engine gives its
 * --init-path, anything that is no command of ours is a program to be the init of.
 */
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/command.h"
#include "init/program.h"
#include "init/sig.h"

#include <string.h>

#define RUN_ARGS 16 /* more than `airlock run` has options */

struct command {
        char name[12]; /* in place: nothing to relocate */
        int (*run)(int argc, char **argv);
};

static int not_here(int argc, char **argv)
{
        (void)argc;
        log_line(LOG_INFO, "%s: not in this build", argv[0]);
        return STATUS_USAGE;
}

static int explain(int argc, char **argv)
{
        (void)argc;
        return program_exec("airlock-spec", argv, sig_inherited);
}

static int sandbox(int argc, char **argv)
{
        (void)argc;
        return program_exec("airlock-lock", argv, sig_inherited);
}

static int secret(int argc, char **argv)
{
        (void)argc;
        return program_exec("airlock-secret", argv, sig_inherited);
}

static int proxy(int argc, char **argv)
{
        (void)argc;
        return program_exec("airlock-proxy", argv, sig_inherited);
}

static int cache(int argc, char **argv)
{
        (void)argc;
        return program_exec("airlock-cache", argv, sig_inherited);
}

static int exec_server(int argc, char **argv)
{
        (void)argc;
        return program_exec("airlock-exec", argv, sig_inherited);
}

static int exec_client(int argc, char **argv)
{
        (void)argc;
        return program_exec("airlock-exec-client", argv, sig_inherited);
}

/*
 * A task's PID 1 is a program of its own, so that a plain init stays small. Signals stay
 * blocked across the exec: what arrives meanwhile is not lost, and the mask we were
 * started with goes along.
 */
static int run(int argc, char **argv)
{
        char mask[24];
        struct wr w = wr_of(mask, sizeof(mask) - 1);
        char *args[RUN_ARGS + 4] = { argv[0], (char[]){ "--inherited-mask" }, mask };

        wr_u64(&w, sig_inherited);
        wr_cstr(&w);
        if (argc > RUN_ARGS) {
                log_line(LOG_ERROR, "run: too many arguments (try 'airlock run --help')");
                return STATUS_USAGE;
        }
        for (int i = 1; i < argc; i++)
                args[i + 2] = argv[i];
        return program_exec("airlock-spec", args, SIG_ALL);
}

static const struct command commands[] = {
        { "init", command_init },   { "run", run },             { "check", explain },
        { "doctor", explain },      { "sandbox", sandbox },     { "secret", secret },
        { "proxy", proxy },         { "exec-server", exec_server },
        { "exec-client", exec_client }, { "agent", not_here },
        { "cache", cache },         { "report", not_here },
};

int help_show(const char *command)
{
        char *argv[] = { (char[]){ "help" }, (char *)(uintptr_t)command, NULL };
        char *own[] = { (char[]){ "secret" }, (char[]){ "--help" }, NULL };

        if (command && !strcmp(command, "secret"))
                return secret(2, own);
        return program_exec("airlock-spec", argv, sig_inherited);
}

int help_version(void)
{
        static const char text[] = "airlock version " AIRLOCK_VERSION "\n";

        return write_full(STDOUT_FILENO, text, sizeof(text) - 1) < 0 ? STATUS_OUTPUT : STATUS_OK;
}

static const struct command *find_command(const char *name)
{
        for (size_t i = 0; i < COUNT(commands); i++)
                if (!strcmp(name, commands[i].name))
                        return &commands[i];
        return NULL;
}

static bool is_any(const char *word, const char *const *list)
{
        for (; *list; list++)
                if (!strcmp(word, *list))
                        return true;
        return false;
}

/* `docker run --init`, Podman's, and the inits that we can stand in for. */
static bool named_as_init(const char *argv0)
{
        static const char *const names[] = { "docker-init", "podman-init", "tini",
                                             "tini-static", "catatonit",   NULL };
        const char *slash = strrchr(argv0, '/');

        return is_any(slash ? slash + 1 : argv0, names);
}

static bool asks_help(const char *word)
{
        static const char *const words[] = { "--help", "-h", "help", NULL };

        return is_any(word, words);
}

static bool asks_version(const char *word)
{
        static const char *const words[] = { "--version", "-V", "version", NULL };

        return is_any(word, words);
}

/* Those whose programs explain themselves. */
static bool has_own_help(const struct command *c)
{
        return c->run == secret || c->run == exec_server || c->run == exec_client;
}

static int run_command(const struct command *c, int argc, char **argv)
{
        if (argc > 1 && c->run != not_here && !has_own_help(c) &&
            (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
                return help_show(c->name);
        return c->run(argc, argv);
}

static int unknown(const char *word)
{
        log_line(LOG_INFO,
                 "%s: unknown command; `airlock init -- %s` runs it as a program, "
                 "`airlock --help` lists the commands",
                 word, word);
        return STATUS_USAGE;
}

int main(int argc, char **argv)
{
        const struct command *c;

        confine_relro();
        if (argc && named_as_init(argv[0]))
                return command_init(argc, argv);
        if (argc < 2) {
                log_line(LOG_INFO, "no command; `airlock --help` lists them");
                return STATUS_USAGE;
        }
        c = find_command(argv[1]);
        if (c)
                return run_command(c, argc - 1, argv + 1);
        if (asks_help(argv[1]))
                return help_show(argc > 2 ? argv[2] : NULL);
        if (asks_version(argv[1]))
                return help_version();
        if (argv[1][0] == '-' || getpid() == 1)
                return command_init(argc, argv);
        return unknown(argv[1]);
}
