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
        char program[20]; /* that does it when there is no @run */
        bool own_help;    /* and has its own --help; airlock-spec has the other texts */
};

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
        { "init", command_init, "", false },
        { "run", run, "", false },
        { "check", NULL, "airlock-spec", false },
        { "doctor", NULL, "airlock-spec", false },
        { "sandbox", NULL, "airlock-lock", false },
        { "secret", NULL, "airlock-unseal", true },
        { "proxy", NULL, "airlock-proxy", false },
        { "exec-server", NULL, "airlock-exec", true },
        { "exec-client", NULL, "airlock-agent", true },
        { "cache", NULL, "airlock-cache", false },
        { "agent", NULL, "airlock-agent", true },
        { "report", NULL, "airlock-report", true },
};

static const struct command *find_command(const char *name)
{
        for (size_t i = 0; i < COUNT(commands); i++)
                if (!strcmp(name, commands[i].name))
                        return &commands[i];
        return NULL;
}

int help_show(const char *command)
{
        char *argv[] = { (char[]){ "help" }, (char *)(uintptr_t)command, NULL };
        char *own[] = { argv[1], (char[]){ "--help" }, NULL };
        const struct command *c = command ? find_command(command) : NULL;

        return c && c->own_help ? program_exec(c->program, own, sig_inherited)
                                : program_exec("airlock-spec", argv, sig_inherited);
}

int help_version(void)
{
        static const char text[] = "airlock version " AIRLOCK_VERSION "\n";

        return write_full(STDOUT_FILENO, text, sizeof(text) - 1) < 0 ? STATUS_OUTPUT : STATUS_OK;
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

static bool is_help_option(const char *word)
{
        return !strcmp(word, "--help") || !strcmp(word, "-h");
}

static bool asks_version(const char *word)
{
        static const char *const words[] = { "--version", "-V", "version", NULL };

        return is_any(word, words);
}

static int run_command(const struct command *c, int argc, char **argv)
{
        if (argc > 1 && is_help_option(argv[1]))
                return help_show(c->name);
        return c->run ? c->run(argc, argv) : program_exec(c->program, argv, sig_inherited);
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
        if (is_help_option(argv[1]) || !strcmp(argv[1], "help"))
                return help_show(argc > 2 ? argv[2] : NULL);
        if (asks_version(argv[1]))
                return help_version();
        if (argv[1][0] == '-' || getpid() == 1)
                return command_init(argc, argv);
        return unknown(argv[1]);
}
