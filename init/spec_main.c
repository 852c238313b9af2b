/*
 * init/spec_main.c - the main of airlock-spec: JSON in, a checked spec out.
 *
 *   airlock-spec run [OPTIONS] [SPEC|-]   what `airlock run` is first: reads the operator's
 *                                         spec, then becomes airlock-run, or airlock-box
 *                                         where we are not PID 1 or --box is given; with
 *                                         --resume the earlier turn's results as well
 *   airlock-spec narrow IMAGE-FD          PID 1's child, with no right and no network: reads
 *                                         a repository's .airlock.json on stdin, and writes
 *                                         the records of init/repo_spec.h to stdout
 *
 * So no JSON is parsed by a process that lives on. And what only a person asks for is here,
 * so that PID 1 does not carry its texts: argv[0] is "check", "doctor", or "help", with the
 * command that the help is for as argv[1].
 */
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/command.h"
#include "init/program.h"
#include "init/repo_spec.h"
#include "init/resume.h"
#include "init/run_options.h"
#include "init/serve.h"
#include "init/sig.h"
#include "init/spec_image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* What was read as the spec is nobody's input any more. */
static void replace_stdin(void)
{
        AUTO_CLOSE int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        if (null >= 0)
                dup2(null, STDIN_FILENO);
}

static int run(const struct run_options *o)
{
        char number[16];
        char mask[24];
        struct wr n = wr_of(number, sizeof(number) - 1);
        struct wr m = wr_of(mask, sizeof(mask) - 1);
        const char *argv[16] = { "airlock", "--inherited-mask", mask, "--spec-fd", number };
        size_t argc = 5;
        struct spec spec;
        const char *wrong;
        int fd, status = spec_load(o->spec, &spec);

        if (status)
                return status;
        wrong = spec_model(&spec);
        if (!wrong)
                wrong = spec_pull(&spec);
        if (!wrong)
                wrong = spec_injected(&spec);
        if (wrong) {
                log_line(LOG_ERROR, "%s: %s", o->spec, wrong);
                return STATUS_SPEC;
        }
        status = o->resume ? resume_load(&spec, o->resume) : 0;
        if (!status && o->resume)
                status = resume_keep(&spec, o->out ? o->out : spec.output.dir);
        if (status)
                return status;
        fd = serve_command(&spec) ? spec_image_make(&spec) : -E2BIG;
        if (fd < 0)
                die_errno(STATUS_PROVISION, -fd, "hand on the spec");
        wr_u64(&n, (uint64_t)fd);
        wr_cstr(&n);
        wr_u64(&m, o->inherited_mask);
        wr_cstr(&m);
        if (o->box) {
                argv[argc++] = "--box";
                argv[argc++] = o->box;
        }
        if (o->out) {
                argv[argc++] = "--out";
                argv[argc++] = o->out;
        }
        if (o->quiet)
                argv[argc++] = "--quiet";
        argv[argc] = o->spec;
        if (!strcmp(o->spec, "-"))
                replace_stdin();
        return program_exec(getpid() == 1 && !o->box ? "airlock-run" : "airlock-box",
                            (char **)(uintptr_t)argv, SIG_ALL);
}

/* --- a repository's own spec ------------------------------------------------------------- */

static void put_record(struct wr *w, const char *prefix, const char *name, const char *value)
{
        wr_str(w, prefix);
        wr_bytes(w, name, strlen(name) + 1);
        wr_bytes(w, value, strlen(value) + 1);
}

static void put_number(struct wr *w, const char *key, unsigned n)
{
        char text[16];
        struct wr t = wr_of(text, sizeof(text) - 1);

        wr_u64(&t, n);
        put_record(w, "", key, wr_cstr(&t));
}

/* The spec after the merge; of its variables and denied hosts what the operator had not. */
static void put_spec(struct wr *w, const struct spec *s, size_t variables, size_t denied)
{
        for (unsigned i = 0; i < RUNTIME_COUNT; i++) {
                if (s->runtimes[i])
                        put_record(w, "runtime.", spec_runtime_name(i), s->runtimes[i]);
        }
        for (size_t i = variables; i < s->env.count; i++)
                put_record(w, "env.", s->env.items[i].name, s->env.items[i].value);
        if (s->setup.script)
                put_record(w, "", "setup.script", s->setup.script);
        put_number(w, "setup.timeout", s->setup.timeout_s);
        if (s->setup.auto_given)
                put_number(w, "setup.auto", s->setup.auto_setup);
        if (s->maintenance.script)
                put_record(w, "", "maintenance", s->maintenance.script);
        put_number(w, "network", s->network.agent);
        for (size_t i = denied; i < s->network.deny.count; i++)
                put_record(w, "", "deny", s->network.deny.items[i]);
}

static void put_error(struct wr *w, const struct spec_error *e)
{
        char text[400];
        struct wr t = wr_of(text, sizeof(text) - 1);

        wr_str(&t, ".airlock.json:");
        if (e->line)
                wr_fmt(&t, "%u:%u:", e->line, e->column);
        wr_fmt(&t, " %s", e->text);
        put_record(w, "", "error", wr_cstr(&t));
}

/* One of the variables after the operator's @from that is not a repository's to set? */
static bool names_reserved(const struct spec *s, size_t from, struct spec_error *error)
{
        struct wr e = wr_of(error->text, sizeof(error->text) - 1);

        for (size_t i = from; i < s->env.count; i++) {
                if (!env_is_reserved(s->env.items[i].name))
                        continue;
                wr_fmt(&e, "env.%s: only the operator's spec may set it", s->env.items[i].name);
                wr_cstr(&e);
                return true;
        }
        return false;
}

static int narrow(int image)
{
        static char json[SPEC_MAX + 1];
        static char records[REPO_SPEC_RECORDS];
        struct wr w = wr_of(records, sizeof(records));
        struct spec_error error = { 0 };
        struct spec spec;
        size_t variables, denied;
        ssize_t n;

        alarm(10);
        n = read_full(STDIN_FILENO, json, sizeof(json));
        if (n < 0 || spec_image_open(image, &spec) < 0)
                return STATUS_PROVISION;
        variables = spec.env.count;
        denied = spec.network.deny.count;
        if (spec_narrow(&spec, json, (size_t)n, &error) < 0 ||
            names_reserved(&spec, variables, &error))
                put_error(&w, &error);
        else
                put_spec(&w, &spec, variables, denied);
        if (w.full || write_full(STDOUT_FILENO, records, w.len) < 0)
                return STATUS_PROVISION;
        return STATUS_OK;
}

int main(int argc, char **argv)
{
        struct run_options o;
        int status;

        confine_relro();
        if (!argc)
                return STATUS_USAGE;
        if (!strcmp(argv[0], "check"))
                return command_check(argc, argv);
        if (!strcmp(argv[0], "doctor"))
                return command_doctor(argc, argv);
        if (!strcmp(argv[0], "help"))
                return help_print(argc > 1 ? argv[1] : NULL);
        if (argc > 1 && !strcmp(argv[1], "narrow"))
                return argc > 2 ? narrow((int)run_number(argv[2])) : STATUS_USAGE;
        status = run_options_parse(&o, argc, argv);
        if (status)
                return status;
        sig_inherited = o.inherited_mask;
        return run(&o);
}
