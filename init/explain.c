/*
 * init/explain.c - the main of airlock-explain: what only a person asks for.
 *
 * `airlock check`, `airlock doctor` and every --help run this program in their place,
 * so that PID 1 does not carry their texts. argv[0] is the command; for "help" argv[1]
 * names the command that the help is for.
 */
#include "base/confine.h"
#include "base/log.h"
#include "init/command.h"

#include <string.h>

int main(int argc, char **argv)
{
        const char *command;

        confine_relro();
        if (!argc)
                return STATUS_USAGE;
        command = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
        if (!strcmp(command, "check"))
                return command_check(argc, argv);
        if (!strcmp(command, "doctor"))
                return command_doctor(argc, argv);
        return help_print(argc > 1 ? argv[1] : NULL);
}
