/* secrets/keysource.c - reads a key where it was put, and empties that place. */
#include "secrets/keysource.h"

#include "base/clock.h"
#include "base/digits.h"
#include "base/environ.h"
#include "base/io.h"
#include "base/wr.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <termios.h>

const char *key_from_str(enum key_from from)
{
        static const char names[KEY_FROM_COUNT][24] = {
                "stdin", "the FIFO", "the descriptor", "the socket", "the file", "the variable",
        };

        return from < KEY_FROM_COUNT ? names[from] : "?";
}

const char *key_status_str(enum key_status s)
{
        switch (s) {
        case KEY_OK:
                return "right";
        case KEY_NONE:
                return "there is no key in it";
        case KEY_LATE:
                return "the key did not come in time";
        case KEY_LONG:
                return "too long for a key";
        case KEY_REMAINS:
                return "the key would stay readable: it can't be overwritten there";
        case KEY_ECHO:
                return "the terminal's echo can't be turned off";
        case KEY_WRONG:
                return "not what it was said to be";
        case KEY_SYSTEM:
                return "can't be read";
        }
        return "?";
}

/* --- which source ---------------------------------------------------------------------- */

/* A descriptor's number, 3 or higher; -1: not one. */
static int fd_number(const char *text)
{
        uint64_t n;

        return digits_parse(text, INT32_MAX, &n) && n > STDERR_FILENO ? (int)n : -1;
}

bool key_source_parse(const char *text, struct key_source *out)
{
        static const struct {
                char prefix[8];
                enum key_from from;
        } table[] = {
                { "fifo:", KEY_FROM_FIFO }, { "fd:", KEY_FROM_FD },   { "unix:", KEY_FROM_SOCKET },
                { "file:", KEY_FROM_FILE }, { "env:", KEY_FROM_ENV },
        };

        *out = (struct key_source){ KEY_FROM_STDIN, STDIN_FILENO, "stdin" };
        if (!strcmp(text, "stdin") || !strcmp(text, "-"))
                return true;
        for (size_t i = 0; i < COUNT(table); i++) {
                size_t len = strlen(table[i].prefix);

                if (strncmp(text, table[i].prefix, len) != 0 || !text[len])
                        continue;
                *out = (struct key_source){ table[i].from, -1, text + len };
                if (out->from == KEY_FROM_FD)
                        out->fd = fd_number(text + len);
                return out->from != KEY_FROM_FD || out->fd >= 0;
        }
        return false;
}

/* Somebody meant something by it: not /dev/null, /dev/zero or a closed one. */
static bool stdin_is_there(void)
{
        struct stat st;

        if (fstat(STDIN_FILENO, &st) < 0)
                return false;
        return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || S_ISREG(st.st_mode) ||
               isatty(STDIN_FILENO);
}

static bool path_is(mode_t type)
{
        struct stat st;

        return !stat(KEY_PATH, &st) && (st.st_mode & S_IFMT) == type;
}

static bool is_there(enum key_from from, struct key_source *s)
{
        const char *number = getenv(KEY_FD_ENV);

        *s = (struct key_source){ from, -1, KEY_PATH };
        switch (from) {
        case KEY_FROM_STDIN:
                return key_source_parse("stdin", s) && stdin_is_there();
        case KEY_FROM_FIFO:
                return path_is(S_IFIFO);
        case KEY_FROM_FD:
                s->name = number;
                s->fd = number ? fd_number(number) : -1;
                return s->fd >= 0;
        case KEY_FROM_SOCKET:
                return path_is(S_IFSOCK);
        case KEY_FROM_FILE:
                return path_is(S_IFREG);
        case KEY_FROM_ENV:
                s->name = ENVIRON_KEY;
                return getenv(ENVIRON_KEY);
        case KEY_FROM_COUNT:
                break;
        }
        return false;
}

bool key_source_find(enum key_from first, struct key_source *out)
{
        for (enum key_from from = first; from < KEY_FROM_COUNT; from++)
                if (is_there(from, out))
                        return true;
        return false;
}

/* --- reading --------------------------------------------------------------------------- */

static bool is_key_line(const uint8_t *line, size_t len)
{
        static const char start[] = "AGE-SECRET-KEY-";
        size_t hex = 0;

        if (len >= sizeof(start) && !memcmp(line, start, sizeof(start) - 1))
                return true;
        while (hex < len && hex_value((char)line[hex]) >= 0)
                hex++;
        return hex == 32 && len == 32;
}

/* Whether a whole line of these bytes is a key: then nobody waits for their end. */
static bool has_key_line(const uint8_t *buf, size_t len)
{
        const uint8_t *lf;

        while ((lf = memchr(buf, '\n', len))) {
                size_t line = (size_t)(lf - buf);

                if (is_key_line(buf, line))
                        return true;
                buf += line + 1;
                len -= line + 1;
        }
        return false;
}

static enum key_status failed(struct key *k, int error)
{
        k->error = error;
        return KEY_SYSTEM;
}

static enum key_status read_until(struct key *k, int fd, uint8_t *buf, size_t cap, int ms)
{
        int64_t deadline = ms < 0 ? INT64_MAX : (int64_t)now_ms() + ms;

        while (k->len < cap) {
                int64_t left = ms < 0 ? -1 : deadline - (int64_t)now_ms();
                struct pollfd p = { .fd = fd, .events = POLLIN };
                ssize_t n;

                if (ms >= 0 && left <= 0)
                        left = 0;
                switch (poll(&p, 1, (int)left)) {
                case 0:
                        return KEY_LATE;
                case -1:
                        if (errno == EINTR)
                                continue;
                        return failed(k, errno);
                default:
                        break;
                }
                n = read(fd, buf + k->len, cap - k->len);
                if (n < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (n < 0)
                        return failed(k, errno);
                if (!n)
                        return k->len ? KEY_OK : KEY_NONE;
                k->len += (size_t)n;
                if (has_key_line(buf, k->len) && k->len < cap)
                        return KEY_OK;
        }
        return KEY_LONG;
}

/* Echo off before the prompt: a terminal that is logged must not log the key. */
static enum key_status read_tty(struct key *k, int fd, uint8_t *buf, size_t cap, int ms)
{
        struct termios old;
        struct termios quiet;
        enum key_status s;

        if (tcgetattr(fd, &old) < 0)
                return KEY_ECHO;
        quiet = old;
        quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
        quiet.c_lflag |= ICANON;
        /* tcsetattr succeeds when any of it was done: look. */
        if (tcsetattr(fd, TCSAFLUSH, &quiet) < 0 || tcgetattr(fd, &quiet) < 0 ||
            quiet.c_lflag & ECHO)
                return KEY_ECHO;
        if (write_full(fd, "key: ", 5) < 0)
                k->error = errno; /* a terminal that can't be written: nobody to prompt */
        s = read_until(k, fd, buf, cap, ms);
        if (tcsetattr(fd, TCSAFLUSH, &old) < 0 || write_full(fd, "\n", 1) < 0)
                k->error = errno;
        return s;
}

static enum key_status read_stdin(struct key *k, int fd, uint8_t *buf, size_t cap, int ms)
{
        if (isatty(fd))
                return read_tty(k, fd, buf, cap, ms);
        return read_until(k, fd, buf, cap, ms);
}

static enum key_status read_fifo(struct key *k, const char *path, uint8_t *buf, size_t cap,
                                 int ms)
{
        /* O_NONBLOCK: the open does not wait for a writer, the poll does. */
        AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        enum key_status s;
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return failed(k, errno);
        if (!S_ISFIFO(st.st_mode))
                return KEY_WRONG;
        s = read_until(k, fd, buf, cap, ms);
        if (s == KEY_OK)
                unlink(path); /* tidy; what went through a FIFO is not in it */
        return s;
}

static enum key_status read_inherited(struct key *k, int number, uint8_t *buf, size_t cap,
                                      int ms)
{
        enum key_status s;

        if (fcntl(number, F_GETFD) < 0)
                return failed(k, errno);
        s = read_until(k, number, buf, cap, ms);
        close(number);
        return s;
}

static enum key_status read_socket(struct key *k, const char *path, uint8_t *buf, size_t cap,
                                   int ms)
{
        AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        enum key_status status;

        if (strlen(path) >= sizeof(to.sun_path))
                return failed(k, ENAMETOOLONG);
        memcpy(to.sun_path, path, strlen(path));
        if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
                return failed(k, errno);
        status = read_until(k, fd, buf, cap, ms);
        unlink(path); /* a way to somebody outside, and of no more use */
        return status;
}

/* Zeros over all of a file. 0 or -errno. */
static int overwrite(int fd, off_t len)
{
        static const char zeros[512];

        for (off_t at = 0; at < len; at += (off_t)sizeof(zeros)) {
                size_t n = len - at < (off_t)sizeof(zeros) ? (size_t)(len - at) : sizeof(zeros);

                if (pwrite(fd, zeros, n, at) != (ssize_t)n)
                        return -EIO;
        }
        if (fsync(fd) < 0 && errno != EINVAL)
                return -errno;
        return ftruncate(fd, 0) < 0 ? -errno : 0;
}

static bool in_memory(int fd)
{
        struct statfs fs;

        return !fstatfs(fd, &fs) && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static enum key_status read_file_once(struct key *k, const char *path, uint8_t *buf, size_t cap,
                                      bool leftover_ok)
{
        /* The file itself, when it is to be destroyed: never what a link points to. */
        AUTO_CLOSE int fd = open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
        enum key_status s;
        struct stat st;

        if (fd < 0 && errno != ENOENT && errno != ENOTDIR) {
                if (!leftover_ok)
                        return KEY_REMAINS;
                k->remains = true;
                fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        }
        if (fd < 0 || fstat(fd, &st) < 0)
                return failed(k, errno);
        if (!S_ISREG(st.st_mode))
                return KEY_WRONG;
        k->on_disk = !in_memory(fd);
        s = read_until(k, fd, buf, cap, -1);
        if (s != KEY_OK || k->remains)
                return s;
        /* A file mounted by itself can't be unlinked; empty is as good. */
        k->remains = overwrite(fd, st.st_size) < 0;
        unlink(path);
        return k->remains && !leftover_ok ? KEY_REMAINS : KEY_OK;
}

static enum key_status read_variable(struct key *k, const char *name, uint8_t *buf, size_t cap)
{
        const char *value = getenv(name);
        struct wr w = wr_of(buf, cap);

        if (!value || !*value)
                return KEY_NONE;
        wr_str(&w, value);
        k->len = w.len;
        environ_wipe(environ, name);
        return w.full ? KEY_LONG : KEY_OK;
}

enum key_status key_read(struct key *k, const struct key_source *s, void *buf, size_t cap,
                         int ms, bool leftover_ok)
{
        enum key_status status = KEY_WRONG;

        *k = (struct key){ 0 };
        switch (s->from) {
        case KEY_FROM_STDIN:
                status = read_stdin(k, s->fd, buf, cap, ms);
                break;
        case KEY_FROM_FIFO:
                status = read_fifo(k, s->name, buf, cap, ms);
                break;
        case KEY_FROM_FD:
                status = read_inherited(k, s->fd, buf, cap, ms);
                break;
        case KEY_FROM_SOCKET:
                status = read_socket(k, s->name, buf, cap, ms);
                break;
        case KEY_FROM_FILE:
                status = read_file_once(k, s->name, buf, cap, leftover_ok);
                break;
        case KEY_FROM_ENV:
                status = read_variable(k, s->name, buf, cap);
                break;
        case KEY_FROM_COUNT:
                break;
        }
        if (status != KEY_OK) {
                explicit_bzero(buf, cap);
                k->len = 0;
        }
        k->file_key = k->len && k->len <= 33; /* 32 digits and a newline */
        return status;
}
