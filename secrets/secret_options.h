/*
 * secrets/secret_options.h - the command line of `airlock secret`.
 */
#ifndef SECRETS_SECRET_OPTIONS_H
#define SECRETS_SECRET_OPTIONS_H

#include "base/base.h"

#define SECRET_FILES 32 /* of -r, -R and -i together */

enum secret_command { SECRET_KEYGEN, SECRET_ENCRYPT, SECRET_DECRYPT };

/* -r, -R and -i in the order they came: an error names the first. */
struct secret_key {
        enum { SECRET_RECIPIENT, SECRET_RECIPIENTS_FILE, SECRET_IDENTITY_FILE } kind;
        const char *value; /* the recipient itself, or a path; - is stdin */
};

struct secret_options {
        enum secret_command command;
        struct secret_key keys[SECRET_FILES];
        size_t key_count;
        const char *file_key; /* a path or -; NULL: none */
        const char *out;      /* a path; - is stdout, also where it is a terminal; NULL: stdout */
        const char *in;       /* a path or -; NULL: stdin */
        bool armor;
};

/*
 * Reads the arguments behind `secret`. 0; or -1 after help or version was printed; or an
 * exit status after one line.
 */
MUST_USE int secret_options_parse(struct secret_options *o, int argc, char **argv);

#endif
