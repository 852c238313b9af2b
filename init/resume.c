/* init/resume.c - an earlier turn's folder, opened, copied and kept; see resume.h. */
#include "init/resume.h"

#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h> /* renameat */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const char result_name[] = "result.json";
static const char diff_name[] = "changes.diff";
static const char talk_name[] = "conversation.jsonl";

/* A regular file, whoever made the name; -errno. */
static int open_regular(int dir, const char *name, struct stat *st)
{
        AUTO_CLOSE int fd = openat(dir, name,
                                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

        if (fd < 0 || fstat(fd, st) < 0)
                return -errno;
        return S_ISREG(st->st_mode) ? fd_take(&fd) : -EINVAL;
}

static int wrong_file(const char *from, const char *name, int err)
{
        log_line(LOG_ERROR, "%s/%s: %s", from, name,
                 err == EINVAL || err == ELOOP ? "expected a regular file" : strerror(err));
        return STATUS_SPEC;
}

/* Up to @max bytes, to the end; how many, or -errno. */
static off_t copy(int from, int to, off_t max)
{
        static char bytes[64 << 10];
        off_t done = 0;

        while (done < max) {
                size_t want = max - done < (off_t)sizeof(bytes) ? (size_t)(max - done)
                                                                : sizeof(bytes);
                ssize_t n = read_full(from, bytes, want);
                int r = n > 0 ? write_full(to, bytes, (size_t)n) : (int)n;

                if (r < 0)
                        return r;
                done += n;
                if ((size_t)n < want)
                        break;
        }
        return done;
}

/* A copy of exactly @bytes that nobody changes any more; it stays open across exec. */
static int take_file(int dir, const char *from, const char *name, uint32_t bytes, int *fd)
{
        struct stat st = { 0 };
        AUTO_CLOSE int file = open_regular(dir, name, &st);
        AUTO_CLOSE int own = memfd_create(name, MFD_ALLOW_SEALING);
        off_t n = -EINVAL;

        if (file < 0)
                return wrong_file(from, name, -file);
        if (own < 0)
                die_errno(STATUS_PROVISION, errno, "memfd_create");
        if (st.st_size == (off_t)bytes)
                n = copy(file, own, (off_t)bytes + 1);
        if (n < 0 && n != -EINVAL)
                return wrong_file(from, name, (int)-n);
        if (n != (off_t)bytes) {
                log_line(LOG_ERROR, "%s/%s: %lld bytes, expected %u as in %s: not whole, or another "
                                    "turn's", from, name, (long long)(n < 0 ? st.st_size : n), bytes,
                         result_name);
                return STATUS_SPEC;
        }
        if (lseek(own, 0, SEEK_SET) < 0 || seal_file(own) < 0)
                die_errno(STATUS_PROVISION, errno, "copy %s", name);
        *fd = fd_take(&own);
        return 0;
}

/* airlock-agent reads it as it will, with no right to anything else. */
static int check_conversation(const char *from, int fd)
{
        char name[512];
        struct wr w = wr_of(name, sizeof(name) - 1);
        const char *argv[] = { "check-conversation", name, NULL };
        AUTO_CLOSE int program = program_open("airlock-agent");
        sigset_t none;
        int status = 0;
        pid_t pid;

        wr_fmt(&w, "%s/%s", from, talk_name);
        wr_cstr(&w);
        sigemptyset(&none);
        pid = program < 0 ? -1 : fork();
        if (!pid) {
                sigprocmask(SIG_SETMASK, &none, NULL);
                if (dup2(fd, STDIN_FILENO) >= 0)
                        syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
                _exit(STATUS_NOT_FOUND);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
                die_errno(STATUS_PROVISION, errno, "start airlock-agent");
        if (lseek(fd, 0, SEEK_SET) < 0 || (status && !WIFEXITED(status)))
                log_line(LOG_ERROR, "%s: its reader was ended by a signal", name);
        return status ? STATUS_SPEC : 0;
}

static int read_result(const struct spec *spec, int dir, const char *from,
                       struct resume_facts *facts)
{
        static char text[RESUME_RESULT_MAX];
        struct spec_error e;
        struct stat st;
        AUTO_CLOSE int fd = open_regular(dir, result_name, &st);
        ssize_t n = fd < 0 ? fd : read_full(fd, text, sizeof(text));

        if (n < 0)
                return wrong_file(from, result_name, (int)-n);
        if ((size_t)n == sizeof(text))
                return wrong_file(from, result_name, EFBIG);
        if (!resume_parse(spec, text, (size_t)n, facts, &e))
                return 0;
        log_line(LOG_ERROR, "%s/%s:%u:%u: %s", from, result_name, e.line, e.column, e.text);
        return STATUS_SPEC;
}

int resume_load(struct spec *spec, const char *from)
{
        static struct resume_facts facts;
        AUTO_CLOSE int dir = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int status;

        if (dir < 0) {
                log_errno(LOG_ERROR, errno, "--resume %s", from);
                return STATUS_SPEC;
        }
        status = read_result(spec, dir, from, &facts);
        if (!status)
                status = take_file(dir, from, diff_name, facts.diff_bytes, &spec->resume.diff);
        if (!status && spec->agent.builtin && facts.has_conversation)
                status = take_file(dir, from, talk_name, facts.conversation_bytes,
                                   &spec->resume.conversation);
        if (!status && spec->resume.conversation)
                status = check_conversation(from, spec->resume.conversation);
        if (status)
                return status;
        if (!facts.diff_whole)
                log_line(LOG_WARN, "%s: turn %u could not read some files: they are lost", from,
                         facts.turn);
        if (spec->agent.builtin && !facts.has_conversation)
                log_line(LOG_WARN, "%s: turn %u kept no conversation: a new one begins", from,
                         facts.turn);
        spec->resume.from = from;
        spec->resume.start = facts.start;
        spec->resume.turn = facts.turn + 1;
        return 0;
}

/* --- the same folder again ---------------------------------------------------------------- */

/* Of a log that an agent made longer (truncate -s 1T is done at once) no copy is worth a disk. */
#define KEEP_MAX ((off_t)1 << 30)

static int keep_file(int from, int to, const char *name)
{
        static const char part[] = ".part";
        struct stat st = { 0 };
        AUTO_CLOSE int file = open_regular(from, name, &st);
        off_t n;

        if (file == -ENOENT)
                return unlinkat(to, name, 0) < 0 && errno != ENOENT ? -errno : 0;
        if (file == -EINVAL || file == -ELOOP)
                return 0; /* none of ours */
        if (file < 0)
                return file;
        if (st.st_size > KEEP_MAX) {
                log_line(LOG_WARN, "%s: over 1 GiB, which is not kept", name);
                return 0;
        }
        if (unlinkat(to, part, 0) < 0 && errno != ENOENT)
                return -errno;
        AUTO_CLOSE int copied = openat(to, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (copied < 0)
                return -errno;
        n = copy(file, copied, st.st_size);
        if (n < 0)
                return (int)n;
        return fsync(copied) < 0 || renameat(to, part, to, name) < 0 ? -errno : 0;
}

/* turn-N, made now or by an attempt before this one; a link there is not followed. */
static int open_turn(int dir, unsigned turn, char name[static 32])
{
        struct wr w = wr_of(name, 31);
        int fd;

        wr_fmt(&w, "turn-%u", turn);
        if (mkdirat(dir, wr_cstr(&w), 0755) < 0 && errno != EEXIST)
                return -errno;
        fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int resume_keep(const struct spec *spec, const char *out)
{
        /* The result last: without it no turn is there. */
        static const char *const names[] = { "answer.md", diff_name, "since-last.diff", talk_name,
                                             "events.ndjson", "setup.log", "agent.log",
                                             "agent.jsonl", result_name };
        AUTO_CLOSE int from = open(spec->resume.from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        AUTO_CLOSE int to = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        AUTO_CLOSE int turn = -1;
        struct stat a, b;
        char name[32] = "";
        int r = 0;

        if (to < 0 || from < 0 || fstat(from, &a) < 0 || fstat(to, &b) < 0 ||
            a.st_dev != b.st_dev || a.st_ino != b.st_ino)
                return 0;
        turn = open_turn(to, spec->resume.turn - 1, name);
        if (turn < 0)
                r = turn;
        for (size_t i = 0; i < COUNT(names) && !r; i++)
                r = keep_file(from, turn, names[i]);
        if (r)
                log_line(LOG_ERROR, "%s/%s: the last turn can't be kept there: %s", out, name,
                         strerror(-r));
        return r ? STATUS_OUTPUT : 0;
}
