/* tests/unit/test_keysource.c - a key comes by every road, and is gone from where it lay. */
#include "base/environ.h"
#include "base/io.h"
#include "secrets/keysource.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define LATE_MS 30
#define SOON_MS 10000

static const char line[] = "# the key of today\nAGE-SECRET-KEY-1QQQQ\n";
static char dir[] = "/dev/shm/airlock-keysource-XXXXXX"; /* a tmpfs, as on every Linux */
static char path[64];

static bool make_dir(void)
{
        memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
        if (!mkdtemp(dir))
                return false;
        memcpy(path, dir, sizeof(dir) - 1);
        memcpy(path + sizeof(dir) - 1, "/key", 5);
        return true;
}

static void remove_dir(void)
{
        unlink(path);
        CHECK(!rmdir(dir));
}

/* A descriptor above 2 of which @text can be read; with @open its other end stays so. */
static int pipe_with(const void *text, size_t len, int *keep)
{
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0 || write_full(fds[1], text, len) < 0)
                return -1;
        if (keep)
                *keep = fds[1];
        else
                close(fds[1]);
        return fds[0];
}

static bool is_zero(const uint8_t *buf, size_t len)
{
        while (len)
                if (buf[--len])
                        return false;
        return true;
}

static void exists_as(const char *what, enum key_status expected, const char *why)
{
        struct key_source s;
        uint8_t buf[64];
        struct key k;

        CHECK_ROW(key_source_parse(what, &s), why);
        CHECK_ROW(key_read(&k, &s, buf, sizeof(buf), LATE_MS, false) == expected, why);
}

TEST(a_source_is_written_as_its_kind_and_where)
{
        static const struct {
                const char *text;
                bool right;
                enum key_from from;
        } rows[] = {
                { "stdin", true, KEY_FROM_STDIN },     { "-", true, KEY_FROM_STDIN },
                { "fifo:/a", true, KEY_FROM_FIFO },    { "fd:3", true, KEY_FROM_FD },
                { "unix:/a", true, KEY_FROM_SOCKET },  { "file:/a", true, KEY_FROM_FILE },
                { "env:KEY", true, KEY_FROM_ENV },     { "fd:0", false, 0 },
                { "fd:", false, 0 },                   { "fd:3x", false, 0 },
                { "fd:99999999999", false, 0 },        { "file:", false, 0 },
                { "/a", false, 0 },                    { "AGE-SECRET-KEY-1QQ", false, 0 },
                { "", false, 0 },
        };
        struct key_source s;

        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK_ROW(key_source_parse(rows[i].text, &s) == rows[i].right &&
                                  (!rows[i].right || s.from == rows[i].from), rows[i].text);
}

TEST(a_descriptor_is_read_to_its_end_and_closed)
{
        struct key_source s = { KEY_FROM_FD, pipe_with("0123456789abcdef", 16, NULL), "fd" };
        uint8_t buf[64];
        struct key k;

        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, false) == KEY_OK);
        CHECK(k.len == 16 && k.file_key && !memcmp(buf, "0123456789abcdef", 16));
        CHECK(fcntl(s.fd, F_GETFD) < 0);
        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, false) == KEY_SYSTEM);
        CHECK(k.error == EBADF);
}

TEST(a_whole_key_needs_no_end_and_half_of_one_no_waiting)
{
        static const struct {
                const char *text;
                enum key_status status;
        } rows[] = {
                { line, KEY_OK },
                { "59454c4c4f57205355424d4152494e45\n", KEY_OK },
                { "AGE-SECRET-KEY-1QQQQ", KEY_LATE },
                { "# only a comment\n", KEY_LATE },
                { "59454c4c4f57205355424d4152494e4\n", KEY_LATE },
                { "", KEY_LATE },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                int keep = -1;
                struct key_source s = { KEY_FROM_FD, -1, "fd" };
                uint8_t buf[64];
                struct key k;

                s.fd = pipe_with(rows[i].text, strlen(rows[i].text), &keep);
                CHECK_ROW(key_read(&k, &s, buf, sizeof(buf), LATE_MS, false) == rows[i].status,
                          rows[i].text);
                CHECK_ROW(rows[i].status == KEY_OK || is_zero(buf, sizeof(buf)), rows[i].text);
                close(keep);
        }
}

TEST(an_empty_or_endless_source_is_no_key)
{
        struct key_source s = { KEY_FROM_FD, pipe_with("", 0, NULL), "fd" };
        char much[100];
        uint8_t buf[64];
        struct key k;

        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, false) == KEY_NONE);
        memset(much, 'x', sizeof(much));
        s.fd = pipe_with(much, sizeof(much), NULL);
        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, false) == KEY_LONG);
        CHECK(!k.len && is_zero(buf, sizeof(buf)));
}

TEST(a_fifo_waits_for_its_writer_and_is_gone_then)
{
        struct key_source s = { KEY_FROM_FIFO, -1, path };
        uint8_t buf[64];
        struct key k;
        pid_t pid;

        CHECK(make_dir() && !mkfifo(path, 0600));
        CHECK(key_read(&k, &s, buf, sizeof(buf), LATE_MS, false) == KEY_LATE);
        pid = fork();
        if (!pid) {
                int fd = open(path, O_WRONLY);

                _exit(fd < 0 || write_full(fd, line, sizeof(line) - 1) < 0);
        }
        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, false) == KEY_OK);
        CHECK(k.len == sizeof(line) - 1 && !k.file_key && !memcmp(buf, line, k.len));
        CHECK(waitpid(pid, NULL, 0) == pid);
        CHECK(access(path, F_OK) < 0);
        remove_dir();
}

TEST(a_socket_says_it_to_who_connects)
{
        struct sockaddr_un at = { .sun_family = AF_UNIX };
        struct key_source s = { KEY_FROM_SOCKET, -1, path };
        int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uint8_t buf[64];
        struct key k;
        pid_t pid;

        CHECK(make_dir());
        memcpy(at.sun_path, path, strlen(path));
        CHECK(!bind(listener, (struct sockaddr *)&at, sizeof(at)) && !listen(listener, 1));
        pid = fork();
        if (!pid) {
                int fd = accept(listener, NULL, NULL);

                _exit(fd < 0 || write_full(fd, line, sizeof(line) - 1) < 0);
        }
        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, false) == KEY_OK);
        CHECK(k.len == sizeof(line) - 1);
        CHECK(waitpid(pid, NULL, 0) == pid);
        close(listener);
        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, false) == KEY_SYSTEM);
        remove_dir();
}

static bool put_file(void)
{
        AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        return fd >= 0 && !write_full(fd, line, sizeof(line) - 1);
}

TEST(a_file_is_overwritten_and_unlinked)
{
        struct key_source s = { KEY_FROM_FILE, -1, path };
        char again[64];
        uint8_t buf[64];
        struct key k;

        CHECK(make_dir() && put_file());
        AUTO_CLOSE int held = open(path, O_RDONLY | O_CLOEXEC);

        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, false) == KEY_OK);
        CHECK(k.len == sizeof(line) - 1 && !k.remains && !k.on_disk);
        CHECK(access(path, F_OK) < 0);
        /* Whoever held it open finds nothing in it. */
        CHECK(read(held, again, sizeof(again)) == 0);
        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, false) == KEY_SYSTEM);
        CHECK(k.error == ENOENT);
        remove_dir();
}

TEST(a_file_that_would_stay_is_refused_unless_that_is_allowed)
{
        static char link[sizeof(path) + 2];
        struct key_source s = { KEY_FROM_FILE, -1, link };
        uint8_t buf[64];
        struct key k;

        CHECK(make_dir() && put_file());
        memcpy(link, path, strlen(path) + 1);
        memcpy(link + strlen(path), "s", 2);
        /* As in a Kubernetes volume: the name is a link, and what it names is not ours. */
        CHECK(!symlink(path, link));
        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, false) == KEY_REMAINS);
        CHECK(!k.len && is_zero(buf, sizeof(buf)) && !access(path, F_OK));
        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, true) == KEY_OK);
        CHECK(k.remains && k.len == sizeof(line) - 1 && !access(path, F_OK));
        unlink(link);
        remove_dir();
}

TEST(what_is_of_another_kind_is_not_opened_as_this_one)
{
        char what[80];

        CHECK(make_dir() && put_file());
        memcpy(what, "fifo:", 5);
        memcpy(what + 5, path, strlen(path) + 1);
        exists_as(what, KEY_WRONG, "a file as a FIFO");
        CHECK(!unlink(path) && !mkfifo(path, 0600));
        memcpy(what, "file:", 5);
        exists_as(what, KEY_WRONG, "a FIFO as a file");
        remove_dir();
}

TEST(a_variable_is_overwritten_in_place)
{
        static char variable[] = "AIRLOCK_TEST_KEY=AGE-SECRET-KEY-1QQQQ";
        static const char zeros[sizeof(variable)];
        struct key_source s = { KEY_FROM_ENV, -1, "AIRLOCK_TEST_KEY" };
        uint8_t buf[64];
        struct key k;

        CHECK(!putenv(variable));
        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, false) == KEY_OK);
        CHECK(k.len == 20 && !memcmp(buf, "AGE-SECRET-KEY-1QQQQ", 20));
        CHECK(!getenv("AIRLOCK_TEST_KEY") && !memcmp(variable, zeros, sizeof(variable)));
        CHECK(key_read(&k, &s, buf, sizeof(buf), SOON_MS, false) == KEY_NONE);
}

TEST(the_first_source_that_is_there_is_found)
{
        static char number[] = KEY_FD_ENV "=7", variable[] = ENVIRON_KEY "=x";
        int saved = dup(STDIN_FILENO), fd = pipe_with("x", 1, NULL);
        AUTO_CLOSE int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        struct key_source s;

        CHECK(dup2(fd, STDIN_FILENO) == STDIN_FILENO && !putenv(number) && !putenv(variable));
        CHECK(key_source_find(KEY_FROM_STDIN, &s) && s.from == KEY_FROM_STDIN);
        CHECK(dup2(null, STDIN_FILENO) == STDIN_FILENO);
        CHECK(key_source_find(KEY_FROM_STDIN, &s) && s.from == KEY_FROM_FD && s.fd == 7);
        CHECK(!unsetenv(KEY_FD_ENV));
        CHECK(key_source_find(KEY_FROM_STDIN, &s) && s.from == KEY_FROM_ENV);
        CHECK(!unsetenv(ENVIRON_KEY) && !key_source_find(KEY_FROM_STDIN, &s));
        CHECK(dup2(saved, STDIN_FILENO) == STDIN_FILENO);
        close(saved);
        close(fd);
}
