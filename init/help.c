/* init/help.c - what `airlock CMD --help` prints. */
#include "base/io.h"
#include "base/log.h"
#include "init/command.h"

#include <string.h>

static const char general[] =
        "usage: airlock COMMAND [ARGUMENTS]\n"
        "       airlock [--] PROGRAM [ARGUMENTS]      as PID 1: the same as airlock init\n"
        "\n"
        "PID 1 for a container in which a coding agent works.\n"
        "\n"
        "  run [SPEC]     the whole task: check out, set up, seal, let the agent work, report\n"
        "  init           a plain init around one program, with tini's options\n"
        "  check SPEC     validate a task spec and print its plan\n"
        "  doctor         what this container allows, and what would unlock more\n"
        "  sandbox        one command under the seal, outside a task\n"
        "  proxy          the egress proxy by itself\n"
        "  secret         make keys; seal and open secrets, as files of the age format\n"
        "  cache          the cached states; why a spec hits or misses\n"
        "  agent          ask a model, run what it wants, sealed, until it has an answer\n"
        "  exec-server    run commands and serve files for a remote agent\n"
        "  exec-client    run one command on such a server\n"
        "  report OUT     a task's results as one page, OUT/report.html\n"
        "\n"
        "airlock COMMAND --help has the options; airlock(1) has the task spec.\n"
        "\n"
        "Exit status: the agent's own when it ran, and\n"
        "  2      the command line is wrong\n"
        "  70     provision failed: checkout, mounts, runtimes\n"
        "  71     the setup script failed\n"
        "  72     setup wrote a secret where the agent could read it\n"
        "  73     the network policy can't be enforced or proved here\n"
        "  74     the results can't be written, or the push was refused\n"
        "  75     network or quota: try the same task again\n"
        "  76     the agent ran into its time limit\n"
        "  77     the engine or the operator stopped the task\n"
        "  78     the task spec is wrong\n"
        "  126    the program was found and can't be run\n"
        "  127    the program was not found\n"
        "  128+n  the program died of signal n\n";

static const char run[] =
        "usage: airlock run [OPTIONS] [SPEC|-]\n"
        "\n"
        "Runs the task of SPEC, a JSON file; - reads it from stdin. /airlock/task.json is\n"
        "the default. As PID 1 the container is the box; elsewhere give --box.\n"
        "\n"
        "  --box DIR   run in namespaces of our own with DIR as the root file system, which\n"
        "              is read and never changed; / is the host's own\n"
        "  --out DIR   the results go here, whatever output.dir says\n"
        "  --resume OUT\n"
        "              a follow-up: go on from the results in OUT, with a new prompt; the files\n"
        "              are as that turn left them, the conversation goes on, and the diff is\n"
        "              still that to the first turn's start. OUT may be output.dir: then that\n"
        "              turn's results are kept in OUT/turn-N\n"
        "  -q, --quiet no line for each step: warnings, failures and the end\n"
        "  --help      this text\n"
        "\n"
        "Results: events.ndjson answer.md changes.diff result.json setup.log agent.log; of the\n"
        "built-in loop agent.jsonl conversation.jsonl; of a follow-up since-last.diff; with\n"
        "output.pull_request branch.bundle.\n"
        "Exit status: the agent's own, or one of 70 to 78: see airlock --help.\n";

static const char init[] =
        "usage: airlock init [OPTIONS] [--] PROGRAM [ARGUMENTS]\n"
        "\n"
        "Starts PROGRAM, forwards signals to it, reaps whoever is orphaned, and ends with\n"
        "PROGRAM's exit status once nobody is left. The options are tini's.\n"
        "\n"
        "  -s           be a subreaper when not PID 1\n"
        "  -p SIGNAL    get SIGNAL when the parent dies\n"
        "  -v           say more; may be repeated\n"
        "  -w           warn about each orphan that was reaped\n"
        "  -g           signals go to PROGRAM's process group\n"
        "  -e STATUS    turn this exit status (0 to 255) into 0; may be repeated\n"
        "  -t SECONDS   from TERM to KILL for whoever is left at the end\n"
        "  -l           the licence\n"
        "  -h, --help   this text\n"
        "  --version    the version\n"
        "\n"
        "Exit status: PROGRAM's, 128+n when signal n killed it, 126 when it can't be run,\n"
        "127 when it was not found, 2 for a wrong command line.\n";

static const char check[] =
        "usage: airlock check [--repo DIR] [--resume OUT] SPEC|-\n"
        "\n"
        "Reads the task spec, prints what a run would do, phase by phase, and says what\n"
        "this build or this container can't do of it. Starts nothing and changes nothing.\n"
        "\n"
        "  --repo DIR  a checkout of the repository: what automatic setup would run for it\n"
        "  --resume OUT\n"
        "              as for run: can SPEC follow the turn whose results are in OUT?\n"
        "  --help      this text\n"
        "\n"
        "Exit status: 0 the spec is right, though the plan may say `it can't be run` or\n"
        "`lock none holds here`; 78 the spec is wrong, and a line SPEC:LINE:COLUMN says\n"
        "where.\n";

static const char doctor[] =
        "usage: airlock doctor\n"
        "\n"
        "Tries what a task would need here and prints a line for each: `ok` or `no`, what,\n"
        "what was found, and what would unlock it. Changes nothing.\n"
        "\n"
        "  --help      this text\n"
        "\n"
        "Exit status: 0 a task with its network off could run here; 73 it could not.\n";

static const char sandbox[] =
        "usage: airlock sandbox [OPTIONS] [--] COMMAND [ARGUMENTS]\n"
        "\n"
        "Runs COMMAND under the strongest lock that holds here: as root or as a plain user, in\n"
        "a container or not. It starts no command when none does.\n"
        "\n"
        "  --net MODE         off (the default), limited to what --allow names, or full: any\n"
        "                     public host; always through airlock's proxy\n"
        "  --allow PATTERN    a host, *.HOST or an address; may be repeated, as may --deny\n"
        "  --deny PATTERN     never this one\n"
        "  --preset NAME      none, common-dependencies or all\n"
        "  --methods LIST     GET,HEAD,OPTIONS and the like; any when not given\n"
        "  --rule WORDS       host=PATTERN [ports=…] [methods=…] [paths=…] and so on\n"
        "  --journal FILE     a line for each decision of the proxy's\n"
        "  --fs POLICY        workspace-write (the default): files are written below the working\n"
        "                     directory, but not in its .git, and in temporary folders;\n"
        "                     read-only; or full: wherever the user may\n"
        "  --root DIR         a folder that workspace-write may write too; may be repeated\n"
        "  --lock LOCK        netns, notify or closed, and no other\n"
        "  --prove            try every way out first, as COMMAND would\n"
        "  -v, --verbose      name the lock\n"
        "  -h, --help         this text\n"
        "\n"
        "Exit status: COMMAND's, 128+n when signal n killed it, 73 when no lock holds or the\n"
        "proof fails, 126 when it can't be run, 127 when it was not found, 2 for a wrong\n"
        "command line.\n";

static const char cache[] =
        "usage: airlock cache ls [DIR]\n"
        "       airlock cache key|why SPEC [--dir DIR] [--root DIR] [--secrets HEX]\n"
        "       airlock cache reset [DIR|SPEC [KEY]]\n"
        "\n"
        "The states that setup left, in cache.dir: /airlock/cache when nothing names one.\n"
        "\n"
        "  ls      each with its key, age and size, and why it can't be used\n"
        "  key     the key of the state that SPEC needs\n"
        "  why     hit, or each part that changed since the state that is most alike\n"
        "  reset   remove all of them, or those whose key begins with KEY\n"
        "  --help  this text\n"
        "\n"
        "key and why look at the root file system they run in, or at --root: ask inside the\n"
        "task's container. What a repository's .airlock.json says is not known to them.\n"
        "Exit status: 0, or a hit; 3 a miss; 74 something can't be removed; 78 the spec is wrong.\n";

static const struct {
        const char *command, *text;
} helps[] = {
        { "run", run },
        { "init", init },
        { "check", check },
        { "doctor", doctor },
        { "sandbox", sandbox },
        { "cache", cache },
};

static int put(const char *text)
{
        if (write_full(STDOUT_FILENO, text, strlen(text)) < 0)
                return STATUS_OUTPUT;
        return STATUS_OK;
}

int help_print(const char *command)
{
        for (size_t i = 0; command && i < COUNT(helps); i++) {
                if (!strcmp(command, helps[i].command))
                        return put(helps[i].text);
        }
        return put(general);
}
