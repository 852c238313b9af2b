/*
 * secrets/main.c - the main of airlock-unseal: who opens age files, for a person or a task.
 *
 * As "secret" it is `airlock secret`. Both are the same few parts around the same format, so
 * they are one program; whom it works for, and with whose rights, is whoever started it.
 */
#include "base/confine.h"
#include "secrets/secret_main.h"
#include "secrets/unseal.h"

#include <string.h>

int main(int argc, char **argv)
{
        confine_relro();
        return argc && !strcmp(argv[0], "secret") ? secret_main(argc, argv) : unseal_main(argv);
}
