/* secrets/secret_main.h - `airlock secret`, which is airlock-unseal by another name. */
#ifndef SECRETS_SECRET_MAIN_H
#define SECRETS_SECRET_MAIN_H

/* @argv[0] is "secret". The exit status. */
int secret_main(int argc, char **argv);

#endif
