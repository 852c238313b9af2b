/*
 * agent/assess_flags.c - which commands the rules flag.
 *
 * A small reader of shell text: words with their quotes taken off, and what ends a command.
 * It is no shell. What stands in $(…), `…` and (…) is read as one more command, and so is
 * the text behind sh -c, eval and the like. Each command goes through the table of rules.
 */
#include "agent/assess.h"

#include <string.h>

#define WORDS 48U
#define WORD_MAX 256U
#define NESTED 4U
#define TEXT_MAX (256U << 10) /* bytes of a script that are read */

#define DELETION BIT(ASSESS_DATA_DELETION)
#define EXFILTRATION BIT(ASSESS_DATA_EXFILTRATION)
#define PRIVILEGE BIT(ASSESS_PRIVILEGE_ESCALATION)
#define SYSTEM BIT(ASSESS_SYSTEM_MODIFICATION)
#define NETWORK BIT(ASSESS_NETWORK_ACCESS)
#define EXHAUSTION BIT(ASSESS_RESOURCE_EXHAUSTION)
#define COMPLIANCE BIT(ASSESS_COMPLIANCE)

struct command {
        char words[WORDS][WORD_MAX]; /* cut off when longer */
        unsigned count;
        bool piped; /* its input is another command's output */
};

/* --- the rules -------------------------------------------------------------------------- */

/*
 * @when: words that must all be there, separated by blanks; "": none. "-x" is that letter
 * in any cluster of options, "--word" that option (with or without "=…"), "=text" a word that
 * begins so, anything else a word that is it.
 */
struct rule {
        char command[12], when[16]; /* arrays: a pointer would cost a relocation */
        unsigned flags;
};

static const struct rule rules[] = {
        { "rm", "-r", DELETION },
        { "rm", "-R", DELETION },
        { "rm", "-f", DELETION },
        { "rm", "--recursive", DELETION },
        { "rm", "--force", DELETION },
        { "shred", "", DELETION },
        { "wipefs", "", DELETION | SYSTEM },
        { "fdisk", "", DELETION | SYSTEM },
        { "parted", "", DELETION | SYSTEM },
        { "truncate", "", DELETION },
        { "dd", "=of=", DELETION },
        { "dd", "=of=/dev/", DELETION | SYSTEM },
        { "find", "-delete", DELETION },
        { "find", "-exec rm", DELETION },
        { "rsync", "--delete", DELETION },
        { "git", "reset --hard", DELETION },
        { "git", "clean -f", DELETION },
        { "git", "clean --force", DELETION },
        { "git", "checkout -f", DELETION },
        { "git", "checkout --", DELETION },
        { "git", "rm -r", DELETION },
        { "git", "branch -D", DELETION },
        { "git", "stash drop", DELETION },
        { "git", "stash clear", DELETION },
        { "git", "reflog expire", DELETION },
        { "git", "filter-branch", DELETION },
        { "git", "update-ref -d", DELETION },
        { "git", "push", NETWORK | EXFILTRATION },
        { "git", "push --force", DELETION },
        { "git", "push -f", DELETION },
        { "git", "clone", NETWORK },
        { "git", "--no-verify", COMPLIANCE },
        { "git", "--no-gpg-sign", COMPLIANCE },
        { "history", "-c", COMPLIANCE },
        { "unset", "HISTFILE", COMPLIANCE },
        { "sudo", "", PRIVILEGE },
        { "su", "", PRIVILEGE },
        { "doas", "", PRIVILEGE },
        { "pkexec", "", PRIVILEGE },
        { "chroot", "", PRIVILEGE },
        { "unshare", "", PRIVILEGE },
        { "nsenter", "", PRIVILEGE },
        { "setcap", "", PRIVILEGE | SYSTEM },
        { "chmod", "=u+s", PRIVILEGE | SYSTEM },
        { "chmod", "=+s", PRIVILEGE | SYSTEM },
        { "chmod", "=47", PRIVILEGE | SYSTEM },
        { "chmod", "777", SYSTEM },
        { "chmod", "-R", SYSTEM },
        { "chown", "-R", SYSTEM },
        { "docker", "", SYSTEM },
        { "docker", "--privileged", PRIVILEGE },
        { "podman", "", SYSTEM },
        { "podman", "--privileged", PRIVILEGE },
        { "systemctl", "", SYSTEM },
        { "service", "", SYSTEM },
        { "mount", "", SYSTEM },
        { "umount", "", SYSTEM },
        { "sysctl", "", SYSTEM },
        { "modprobe", "", SYSTEM },
        { "insmod", "", SYSTEM },
        { "iptables", "", SYSTEM | NETWORK },
        { "nft", "", SYSTEM | NETWORK },
        { "ip", "link", SYSTEM | NETWORK },
        { "ip", "route", SYSTEM | NETWORK },
        { "useradd", "", SYSTEM },
        { "usermod", "", SYSTEM },
        { "passwd", "", SYSTEM },
        { "crontab", "", SYSTEM },
        { "apt", "", SYSTEM },
        { "apt-get", "", SYSTEM },
        { "dpkg", "-i", SYSTEM },
        { "dnf", "", SYSTEM },
        { "yum", "", SYSTEM },
        { "apk", "", SYSTEM },
        { "shutdown", "", SYSTEM },
        { "reboot", "", SYSTEM },
        { "halt", "", SYSTEM },
        { "poweroff", "", SYSTEM },
        { "kill", "-1", SYSTEM },
        { "killall", "", SYSTEM },
        { "pkill", "", SYSTEM },
        { "stress", "", EXHAUSTION },
        { "stress-ng", "", EXHAUSTION },
        { "fallocate", "", EXHAUSTION },
        { "curl", "", NETWORK },
        { "curl", "-d", EXFILTRATION },
        { "curl", "-F", EXFILTRATION },
        { "curl", "-T", EXFILTRATION },
        { "curl", "=--data", EXFILTRATION },
        { "curl", "--form", EXFILTRATION },
        { "curl", "--upload-file", EXFILTRATION },
        { "wget", "", NETWORK },
        { "wget", "=--post", EXFILTRATION },
        { "nc", "", NETWORK },
        { "ncat", "", NETWORK },
        { "netcat", "", NETWORK },
        { "socat", "", NETWORK },
        { "telnet", "", NETWORK },
        { "ssh", "", NETWORK },
        { "ftp", "", NETWORK | EXFILTRATION },
        { "scp", "", NETWORK | EXFILTRATION },
        { "sftp", "", NETWORK | EXFILTRATION },
};

/* Parts of words that say what a command reads, or writes to. */
static const struct {
        const char *part;
        unsigned flags;
} places[] = {
        { "/.ssh/", EXFILTRATION },      { "/.aws/", EXFILTRATION },
        { "/.netrc", EXFILTRATION },     { "/.npmrc", EXFILTRATION },
        { "/.gnupg", EXFILTRATION },     { "/etc/shadow", EXFILTRATION },
        { "/environ", EXFILTRATION },    { "169.254.169.254", EXFILTRATION | NETWORK },
        { "/dev/tcp/", NETWORK },        { "/docker.sock", PRIVILEGE },
        { "/proc/sys/", SYSTEM },
};

static const char *const written[] = { "/etc/", "/usr/", "/boot/", "/bin/", "/sbin/", "/lib/",
                                       "/dev/sd", "/dev/nvme", "/dev/vd" };
static const char *const written_parts[] = { "/.bashrc", "/.profile", "/.bash_profile",
                                             ".git/hooks/" };

static const char *const shells[] = { "sh", "bash", "dash", "zsh", "ksh" };
static const char *const interpreters[] = { "sh", "bash", "dash", "zsh", "ksh", "python",
                                            "python3", "perl", "node", "ruby" };
/* Words before the command that matters. */
static const char *const wrappers[] = { "sudo", "doas", "env", "nohup", "time", "nice", "timeout",
                                        "command", "exec", "builtin", "xargs", "setsid", "stdbuf" };

static bool is_one(const char *word, const char *const *list, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (!strcmp(word, list[i]))
                        return true;
        return false;
}

static bool begins(const char *word, const char *with)
{
        return !strncmp(word, with, strlen(with));
}

static bool word_is(const char *word, const char *want, size_t len)
{
        if (want[0] == '=')
                return !strncmp(word, want + 1, len - 1);
        if (len == 2 && want[0] == '-' && want[1] != '-' && (want[1] < '0' || want[1] > '9'))
                return word[0] == '-' && word[1] != '-' && strchr(word, want[1]);
        if (len > 2 && !strncmp(want, "--", 2))
                return !strncmp(word, want, len) && (!word[len] || word[len] == '=');
        return strlen(word) == len && !memcmp(word, want, len);
}

static bool has_word(const struct command *c, unsigned from, const char *want, size_t len)
{
        for (unsigned i = from; i < c->count; i++)
                if (word_is(c->words[i], want, len))
                        return true;
        return false;
}

static bool applies(const struct rule *r, const struct command *c, unsigned at)
{
        const char *when = r->when;

        while (*when) {
                size_t len = strcspn(when, " ");

                if (!has_word(c, at + 1, when, len))
                        return false;
                when += len + (when[len] == ' ');
        }
        return true;
}

static unsigned flags_of_writing(const char *path)
{
        for (size_t i = 0; i < COUNT(written); i++)
                if (begins(path, written[i]))
                        return SYSTEM;
        for (size_t i = 0; i < COUNT(written_parts); i++)
                if (strstr(path, written_parts[i]))
                        return SYSTEM;
        return 0;
}

static unsigned flags_of_word(const char *word)
{
        unsigned flags = 0;

        for (size_t i = 0; i < COUNT(places); i++)
                if (strstr(word, places[i].part))
                        flags |= places[i].flags;
        return flags;
}

/* The name behind the last slash. */
static const char *base(const char *word)
{
        const char *slash = strrchr(word, '/');

        return slash ? slash + 1 : word;
}

static unsigned script_flags(const char *s, size_t len, unsigned depth);

/* What an argument says that is shell text itself. */
static unsigned flags_of_inner(const struct command *c, unsigned at, unsigned depth)
{
        const char *name = base(c->words[at]);
        unsigned flags = 0;
        unsigned i = at + 1;

        if (depth == NESTED)
                return 0;
        if (!strcmp(name, "eval")) {
                for (; i < c->count; i++)
                        flags |= script_flags(c->words[i], strlen(c->words[i]), depth + 1);
                return flags;
        }
        if (!is_one(name, shells, COUNT(shells)))
                return 0;
        while (i + 1 < c->count && c->words[i][0] == '-' && !strchr(c->words[i], 'c'))
                i++;
        if (i + 1 < c->count && c->words[i][0] == '-')
                return script_flags(c->words[i + 1], strlen(c->words[i + 1]), depth + 1);
        return 0;
}

/* Where the command that matters begins, behind assignments and wrappers with their options. */
static unsigned skip_wrappers(const struct command *c, unsigned *flags)
{
        unsigned at = 0;

        while (at < c->count) {
                const char *word = c->words[at];

                if (is_one(base(word), wrappers, COUNT(wrappers))) {
                        if (!strcmp(base(word), "sudo") || !strcmp(base(word), "doas"))
                                *flags |= PRIVILEGE;
                        at++;
                        while (at < c->count && c->words[at][0] &&
                               strchr("-0123456789", c->words[at][0]))
                                at++;
                } else if (strchr(word, '=') && word[0] != '=' && word[0] != '-') {
                        at++;
                } else {
                        break;
                }
        }
        return at;
}

static unsigned command_flags(const struct command *c, unsigned depth)
{
        unsigned flags = 0;
        unsigned at = skip_wrappers(c, &flags);
        const char *name;

        for (unsigned i = 0; i < c->count; i++)
                flags |= flags_of_word(c->words[i]);
        if (at == c->count)
                return flags;
        name = base(c->words[at]);
        if (begins(name, "mkfs"))
                flags |= DELETION | SYSTEM;
        for (size_t i = 0; i < COUNT(rules); i++)
                if (!strcmp(name, rules[i].command) && applies(&rules[i], c, at))
                        flags |= rules[i].flags;
        if (!strcmp(name, "tee") || !strcmp(name, "cp") || !strcmp(name, "mv") ||
            !strcmp(name, "install") || !strcmp(name, "ln"))
                flags |= flags_of_writing(c->words[c->count - 1]);
        return flags | flags_of_inner(c, at, depth);
}

/* Does it run what it reads? Then what came down the pipe is a program. */
static bool runs_input(const struct command *c)
{
        unsigned ignored = 0, at = skip_wrappers(c, &ignored);

        if (!c->piped || at == c->count ||
            !is_one(base(c->words[at]), interpreters, COUNT(interpreters)))
                return false;
        for (at++; at < c->count; at++)
                if (c->words[at][0] != '-' || (c->words[at][1] && strchr(c->words[at], 'c')))
                        return false;
        return true;
}

/* --- the reader ----------------------------------------------------------------------------- */

struct scan {
        const char *s;
        size_t len, at;
        unsigned depth, flags;
        struct command c;
        char word[WORD_MAX];
        size_t word_len;
        bool in_word;
        bool target; /* the next word is where a redirection writes */
        bool mark;   /* the next word ends a here-document */
        char document[WORD_MAX]; /* that word: its lines begin behind this one; "" */
        bool document_runs; /* a shell reads them */
};

static void end_word(struct scan *x)
{
        if (!x->in_word)
                return;
        x->word[x->word_len] = '\0';
        if (x->target)
                x->flags |= flags_of_writing(x->word) | flags_of_word(x->word);
        else if (x->mark)
                memcpy(x->document, x->word, x->word_len + 1);
        else if (x->c.count < WORDS)
                memcpy(x->c.words[x->c.count++], x->word, x->word_len + 1);
        x->in_word = x->target = x->mark = false;
        x->word_len = 0;
}

static bool is_shell(const struct command *c)
{
        unsigned ignored = 0, at = skip_wrappers(c, &ignored);

        return at < c->count && is_one(base(c->words[at]), shells, COUNT(shells));
}

static void end_command(struct scan *x, bool pipe)
{
        end_word(x);
        if (x->c.count) {
                x->document_runs |= x->document[0] && is_shell(&x->c);
                x->flags |= command_flags(&x->c, x->depth);
                if (runs_input(&x->c))
                        x->flags |= SYSTEM;
        }
        x->c.count = 0;
        x->c.piped = pipe;
}

static void add(struct scan *x, char c)
{
        x->in_word = true;
        if (x->word_len < WORD_MAX - 1)
                x->word[x->word_len++] = c;
}

/* The length of what stands in the parentheses or backquotes that begin at @at - 1. */
static size_t inner_len(const struct scan *x, size_t at, char close)
{
        unsigned open = 1;
        size_t i;

        for (i = at; i < x->len; i++) {
                if (close == ')' && x->s[i] == '(')
                        open++;
                if (x->s[i] == close && !--open)
                        break;
        }
        return i - at;
}

/* $(…) and `…`: a script of its own; the word that holds it goes on with nothing. */
static bool substitution(struct scan *x)
{
        char c = x->s[x->at];
        size_t begin, n;

        if (c != '`' && !(c == '$' && x->at + 1 < x->len && x->s[x->at + 1] == '('))
                return false;
        begin = x->at + (c == '`' ? 1 : 2);
        n = inner_len(x, begin, c == '`' ? '`' : ')');
        if (x->depth < NESTED)
                x->flags |= script_flags(x->s + begin, n, x->depth + 1);
        x->in_word = true;
        x->at = begin + n; /* at what closes it, or the end */
        return true;
}

static void quoted(struct scan *x, char quote)
{
        x->in_word = true;
        for (x->at++; x->at < x->len && x->s[x->at] != quote; x->at++) {
                if (quote == '"' && substitution(x))
                        continue;
                if (quote == '"' && x->s[x->at] == '\\' && x->at + 1 < x->len)
                        x->at++;
                add(x, x->s[x->at]);
        }
}

static void comment(struct scan *x)
{
        while (x->at + 1 < x->len && x->s[x->at + 1] != '\n')
                x->at++;
}

/* At the end of the line that announced it. What no shell reads is data. */
static void skip_document(struct scan *x)
{
        size_t begin = x->at + 1, end = begin, n = strlen(x->document);
        const char *newline;

        for (; end < x->len; end = (size_t)(newline - x->s) + 1) {
                size_t len;

                newline = memchr(x->s + end, '\n', x->len - end);
                if (!newline)
                        newline = x->s + x->len;
                len = (size_t)(newline - x->s) - end;
                if (len == n && !memcmp(x->s + end, x->document, n))
                        break;
        }
        end = end < x->len ? end : x->len;
        if (x->document_runs && x->depth < NESTED && end > begin)
                x->flags |= script_flags(x->s + begin, end - begin, x->depth + 1);
        x->document[0] = '\0';
        x->document_runs = false;
        x->at = end + n < x->len ? end + n : x->len;
}

/* < is nothing; << announces a here-document; <<< is a word like any other. */
static void read_from(struct scan *x)
{
        end_word(x);
        if (x->at + 1 == x->len || x->s[x->at + 1] != '<')
                return;
        x->at++;
        if (x->at + 1 < x->len && x->s[x->at + 1] == '<')
                x->at++;
        else
                x->mark = true;
        if (x->mark && x->at + 1 < x->len && x->s[x->at + 1] == '-')
                x->at++;
}

static void end_line(struct scan *x)
{
        end_command(x, false);
        if (x->document[0])
                skip_document(x);
}

static void step(struct scan *x)
{
        char c = x->s[x->at];

        if (c == '\'' || c == '"') {
                quoted(x, c);
        } else if (c == '\\') {
                if (++x->at < x->len && x->s[x->at] != '\n')
                        add(x, x->s[x->at]);
        } else if (c == ' ' || c == '\t' || c == '\r') {
                end_word(x);
        } else if (c == '|') {
                end_command(x, true);
        } else if (c == '\n') {
                end_line(x);
        } else if (c == ';' || c == '&' || c == '(' || c == ')') {
                end_command(x, false);
        } else if (c == '<') {
                read_from(x);
        } else if (c == '>') {
                end_word(x);
                x->target = true;
        } else if (c == '#' && !x->in_word) {
                comment(x);
        } else if ((c == '{' || c == '}' || c == '!') && !x->in_word) {
                end_command(x, x->c.piped);
        } else if (!substitution(x)) {
                add(x, c);
        }
}

static unsigned script_flags(const char *s, size_t len, unsigned depth)
{
        struct scan x = { .s = s, .len = len < TEXT_MAX ? len : TEXT_MAX, .depth = depth };

        if (memmem(s, x.len, ":|:&", 4) || memmem(s, x.len, ":|: &", 5))
                x.flags |= EXHAUSTION;
        for (; x.at < x.len; x.at++)
                step(&x);
        end_command(&x, false);
        return x.flags;
}

unsigned assess_flags(const char *script, size_t len)
{
        return script_flags(script, len, 0);
}

unsigned assess_flags_argv(const char *const *argv, size_t argc)
{
        struct command c = { .count = 0 };

        for (size_t i = 0; i < argc && i < WORDS; i++) {
                size_t n = strnlen(argv[i], WORD_MAX - 1);

                memcpy(c.words[c.count++], argv[i], n);
        }
        if (argc == 3 && is_one(base(argv[0]), shells, COUNT(shells)) && argv[1][0] == '-' &&
            strchr(argv[1], 'c'))
                return script_flags(argv[2], strlen(argv[2]), 0); /* all of it, not 255 bytes */
        return c.count ? command_flags(&c, 0) : 0;
}
