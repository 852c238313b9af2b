/* secrets/secret_options.c - options, and the texts of --help. */
#include "secrets/secret_options.h"

#include "base/io.h"
#include "base/log.h"

#include <string.h>

static const char help[] =
        "usage: airlock secret keygen [-o FILE]\n"
        "       airlock secret encrypt -r RECIPIENT [-R FILE] [-a] [-o FILE] [FILE]\n"
        "       airlock secret decrypt -i FILE [-o FILE] [FILE]\n"
        "\n"
        "Makes keys, and seals and opens secrets, as files of the age format: `age` and every\n"
        "program of its family makes and takes the same ones. FILE is stdin when it is\n"
        "missing or -.\n"
        "\n"
        "  -r, --recipient KEY         seal for this age1… key; may be repeated\n"
        "  -R, --recipients-file FILE  seal for the keys in FILE, one to a line\n"
        "  -a, --armor                 write text\n"
        "  -i, --identity FILE         open with a secret key in FILE; - is stdin; may be\n"
        "                              repeated\n"
        "  --file-key FILE             open with the file key itself: 16 bytes, or 32\n"
        "                              hexadecimal digits; - is stdin\n"
        "  -o, --output FILE           write here instead of to stdout; keygen never\n"
        "                              overwrites\n"
        "  --help, --version\n"
        "\n"
        "X25519 keys only: no passphrases, ssh keys, plugins or post-quantum keys. At most\n"
        "1 MiB; decrypt writes nothing before it has checked everything.\n"
        "\n"
        "Exit status: 0; 2 the command line is wrong; 74 the output can't be written; 75 there\n"
        "is no memory or the kernel gives no random numbers: try again; 78 a key or the file\n"
        "is wrong.\n";

static int usage(const char *why, const char *arg)
{
        log_line(LOG_ERROR, "%s%s (try 'airlock secret --help')", why, arg);
        return STATUS_USAGE;
}

static int print(const char *text)
{
        return write_full(STDOUT_FILENO, text, strlen(text)) < 0 ? (int)STATUS_OUTPUT : -1;
}

static bool is_either(const char *arg, const char *a, const char *b)
{
        return !strcmp(arg, a) || !strcmp(arg, b);
}

/* The option @name at @argv[*i] with its value: `-o X`, `-oX`, `--output X`, `--output=X`. */
static bool takes(const char *brief, const char *name, int argc, char **argv, int *i,
                  const char **value)
{
        const char *arg = argv[*i];
        size_t len = strlen(name);

        if (brief && !strncmp(arg, brief, 2) && arg[2]) {
                *value = arg + 2;
                return true;
        }
        if (!strncmp(arg, name, len) && arg[len] == '=') {
                *value = arg + len + 1;
                return true;
        }
        if (strcmp(arg, name) != 0 && (!brief || strcmp(arg, brief) != 0))
                return false;
        *value = *i + 1 < argc ? argv[++*i] : NULL;
        return true;
}

static int add_key(struct secret_options *o, int kind, const char *value)
{
        if (o->key_count == SECRET_FILES)
                return usage("too many keys; put them into one file: ", value);
        o->keys[o->key_count].kind = (__typeof__(o->keys[0].kind))kind;
        o->keys[o->key_count++].value = value;
        return 0;
}

/* One option with a value. 0, or a status; *found tells whether it was one. */
static int parse_value(struct secret_options *o, int argc, char **argv, int *i, bool *found)
{
        const char *option = argv[*i];
        const char *value = NULL;
        const char **into = NULL;
        int kind = -1;

        *found = true;
        if (takes("-r", "--recipient", argc, argv, i, &value))
                kind = SECRET_RECIPIENT;
        else if (takes("-R", "--recipients-file", argc, argv, i, &value))
                kind = SECRET_RECIPIENTS_FILE;
        else if (takes("-i", "--identity", argc, argv, i, &value))
                kind = SECRET_IDENTITY_FILE;
        else if (takes("-o", "--output", argc, argv, i, &value))
                into = &o->out;
        else if (takes(NULL, "--file-key", argc, argv, i, &value))
                into = &o->file_key;
        else
                *found = false;
        if (!*found)
                return 0;
        if (!value || !*value)
                return usage("a value is missing after ", option);
        if (!into)
                return add_key(o, kind, value);
        if (*into)
                return usage("twice: ", option);
        *into = value;
        return 0;
}

static int parse_one(struct secret_options *o, int argc, char **argv, int *i)
{
        const char *arg = argv[*i];
        bool found;
        int r = parse_value(o, argc, argv, i, &found);

        if (r || found)
                return r;
        if (is_either(arg, "-a", "--armor"))
                o->armor = true;
        else if (is_either(arg, "-p", "--passphrase"))
                return usage("passphrases (scrypt) are not supported: make a key with `airlock "
                             "secret keygen`, or use `age -p`",
                             "");
        else if (is_either(arg, "-j", "--plugin"))
                return usage("plugins are not supported: make a key with `airlock secret keygen`",
                             "");
        else if (arg[0] == '-' && arg[1])
                return usage("unknown option ", arg);
        else if (o->in)
                return usage("one file at a time; unexpected ", arg);
        else
                o->in = arg;
        return 0;
}

static bool is_stdin(const char *path)
{
        return path && !strcmp(path, "-");
}

/* What each command needs, and that stdin is one thing only. */
static int check(const struct secret_options *o)
{
        bool encrypt = o->command == SECRET_ENCRYPT;
        int stdins = is_stdin(o->file_key) + (!o->in || is_stdin(o->in));

        if (o->command == SECRET_KEYGEN) {
                if (o->in || o->key_count || o->file_key || o->armor)
                        return usage("keygen takes nothing but -o FILE", "");
                return 0;
        }
        for (size_t i = 0; i < o->key_count; i++) {
                if ((o->keys[i].kind == SECRET_IDENTITY_FILE) == encrypt)
                        return usage(encrypt ? "encrypt takes -r and -R, not -i "
                                             : "decrypt takes -i, not -r or -R ",
                                     o->keys[i].value);
                stdins += o->keys[i].kind != SECRET_RECIPIENT && is_stdin(o->keys[i].value);
        }
        if (encrypt && o->file_key)
                return usage("encrypt takes no --file-key", "");
        if (!encrypt && o->armor)
                return usage("decrypt finds out by itself whether the file is armored: no -a", "");
        if (encrypt && !o->key_count)
                return usage("encrypt for whom? -r age1… or -R FILE", "");
        if (!encrypt && !o->key_count == !o->file_key)
                return usage("decrypt with what? -i FILE, or --file-key FILE", "");
        if (stdins > 1)
                return usage("stdin can't be the key and the file, or two keys", "");
        return 0;
}

int secret_options_parse(struct secret_options *o, int argc, char **argv)
{
        static const char *const commands[] = { "keygen", "encrypt", "decrypt" };
        bool options = true;
        size_t command = 0;

        *o = (struct secret_options){ 0 };
        for (int i = 1; i < argc; i++) {
                if (is_either(argv[i], "--help", "-h") || (i == 1 && !strcmp(argv[i], "help")))
                        return print(help);
                if (i == 1 && is_either(argv[i], "--version", "-V"))
                        return print("airlock version " AIRLOCK_VERSION "\n");
                if (!strcmp(argv[i], "--"))
                        break;
        }
        if (argc < 2)
                return usage("keygen, encrypt or decrypt?", "");
        while (command < COUNT(commands) && strcmp(argv[1], commands[command]) != 0)
                command++;
        if (command == COUNT(commands))
                return usage("not keygen, encrypt or decrypt: ", argv[1]);
        o->command = (enum secret_command)command;
        for (int i = 2; i < argc; i++) {
                int r;

                if (options && !strcmp(argv[i], "--")) {
                        options = false;
                        continue;
                }
                if (!options && o->in)
                        return usage("one file at a time; unexpected ", argv[i]);
                if (!options) {
                        o->in = argv[i];
                        continue;
                }
                r = parse_one(o, argc, argv, &i);
                if (r)
                        return r;
        }
        return check(o);
}
