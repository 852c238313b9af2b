/* init/cache_use.c - runs airlock-cache, and reads its report. */
#include "init/cache_use.h"

#include "base/io.h"
#include "base/msg.h"
#include "init/cache.h"
#include "init/cache_parts.h"
#include "init/task.h"
#include "init/words.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define RESTORE_S 3600
#define ENV_MAX (64 * 1024)
#define WORDS 40

/* What is no part of the state: results, the cache itself, our own folder, git's. */
static void exclude(struct words *a, const struct task *t, char *git, size_t cap)
{
        struct wr w = wr_of(git, cap - 1);

        wr_fmt(&w, "%s/.git", t->dir);
        words_option(a, "--exclude", t->spec.output.dir);
        words_option(a, "--exclude", t->spec.cache.dir);
        words_option(a, "--exclude", t->state);
        words_option(a, "--exclude", wr_cstr(&w));
}

static void stamp(struct words *a, const struct task *t)
{
        if (t->spec.cache.stamp)
                words_add(a, "--stamp");
}

/* Runs airlock-cache; @report is zero when it told nothing. */
static void run(struct task *t, struct words *a, int parts, int channel, int *wait_status,
                struct cache_report *report)
{
        struct watch w = { .what = "airlock-cache", .in = -1, .out = -1, .new_session = true,
                           .program = t->programs[PROGRAM_CACHE], .timeout_s = RESTORE_S,
                           .keep = { t->cache.index, t->cache.lock, parts, t->journal.fd,
                                     channel },
                           .env = &t->env };

        words_option(a, "--state", t->state);
        words_number(a, "--journal", (uint64_t)t->journal.fd);
        words_number(a, "--journal-start-ms", t->journal.start_ms);
        w.argv = (char *const *)(uintptr_t)a->v;
        if (watch(t, &w, wait_status) != WATCH_EXITED ||
            pread(t->cache.index, report, sizeof(*report), 0) != sizeof(*report) ||
            memcmp(report->magic, CACHE_MAGIC, sizeof(report->magic)) != 0)
                *report = (struct cache_report){ .outcome = CACHE_NOTHING };
}

static int open_lock(const struct task *t)
{
        AUTO_CLOSE int dir = open(t->spec.cache.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return dir < 0 ? -1 : openat(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC |
                                                          O_NONBLOCK, 0600);
}

/* The parts of the key, for as long as airlock-cache reads them. */
static int write_parts(const struct task *t)
{
        char *text = mmap(NULL, CACHE_PARTS_MAX, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct wr w = wr_of(text, CACHE_PARTS_MAX);
        int fd = memfd_create("parts", MFD_CLOEXEC);

        if (text == MAP_FAILED || fd < 0)
                return -1;
        cache_parts_put(&t->spec, &w);
        if (t->unseal.hash[0]) {
                wr_bytes(&w, "secrets", sizeof("secrets"));
                wr_bytes(&w, t->unseal.hash, sizeof(t->unseal.hash));
        }
        if (w.full || write_full(fd, text, w.len) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
                close(fd);
                fd = -1;
        }
        munmap(text, CACHE_PARTS_MAX);
        return fd;
}

/* What setup put into $AIRLOCK_ENV is a part of the state: airlock-cache has put it there again. */
static enum status take_variables(struct task *t)
{
        static LARGE_BUFFER char text[ENV_MAX];
        ssize_t n = read_file(t->state_fd, "env", text, sizeof(text));

        if ((n < 0 && n != -ENOENT) || (n > 0 && env_add_lines(&t->env, text, (size_t)n)))
                return task_fail(t, STATUS_AGAIN, "the variables of the cached state");
        return STATUS_OK;
}

enum status cache_restore(struct task *t)
{
        static LARGE_BUFFER char git[PATH_MAX + 8];
        const char *v[WORDS] = { "airlock-cache", "restore" };
        struct words a = { .v = v, .cap = WORDS, .n = 2 };
        struct cache_report report;
        int status = 0;

        t->cache.unusable = t->stands; /* setup's state is here, and more */
        if (!t->spec.cache.dir || t->stands)
                return STATUS_OK;
        AUTO_CLOSE int parts = write_parts(t);
        AUTO_CLOSE int channel = -1;
        t->cache.index = memfd_create("index", MFD_CLOEXEC);
        t->cache.lock = open_lock(t);
        if (parts < 0 || t->cache.index < 0 || t->cache.lock < 0) {
                log_line(LOG_WARN, "cache: cache.dir %s: %s: going on without it",
                         t->spec.cache.dir, errno == EACCES ? "it is another user's"
                                                            : strerror(errno));
                t->cache.unusable = true;
                return STATUS_OK;
        }
        words_option(&a, "--dir", t->spec.cache.dir);
        words_number(&a, "--parts-fd", (uint64_t)parts);
        words_number(&a, "--index-fd", (uint64_t)t->cache.index);
        words_number(&a, "--lock-fd", (uint64_t)t->cache.lock);
        words_option(&a, "--root", "/");
        stamp(&a, t);
        words_option(&a, "--work", t->dir);
        words_number(&a, "--ttl", t->spec.cache.ttl_s);
        words_number(&a, "--wait", t->spec.setup.timeout_s); /* the other builder has no longer */
        exclude(&a, t, git, sizeof(git));
        if (t->unseal.placeholders && !egress_channel(t, CHANNEL_SECRETS, &channel) && channel >= 0)
                words_number(&a, "--proxy", (uint64_t)channel);
        run(t, &a, parts, channel < 0 ? 0 : channel, &status, &report);
        if (WIFEXITED(status) && WEXITSTATUS(status) == CACHE_MISS)
                return STATUS_OK;
        if (!WIFEXITED(status) || WEXITSTATUS(status))
                return task_fail(t, STATUS_AGAIN, "the cached state was restored in part only (%s): "
                                 "this container can't go on, another will",
                                 report.reason[0] ? report.reason : "airlock-cache died");
        t->cache.hit = true;
        t->cache.maintenance = report.maintenance;
        return take_variables(t);
}

enum status cache_reset_tree(struct task *t)
{
        char *argv[] = { (char[]){ "git" }, (char[]){ "-c" }, (char[]){ "core.hooksPath=/dev/null" },
                         (char[]){ "reset" }, (char[]){ "--quiet" }, (char[]){ "--hard" }, NULL };
        struct watch w = { .what = "git", .argv = argv, .cwd = t->dir, .in = -1, .out = -1,
                           .new_session = true, .timeout_s = 600, .lock = t->setup_lock,
                           .confine = &t->setup_confine, .env = &t->env };
        int status = 0;

        if (!t->start[0])
                return STATUS_OK;
        if (watch(t, &w, &status) == WATCH_EXITED && !status)
                return STATUS_OK;
        return task_fail(t, STATUS_PROVISION, "can't put %s back to %s after the restore", t->dir,
                         t->start);
}

enum status cache_save(struct task *t)
{
        static LARGE_BUFFER char git[PATH_MAX + 8];
        const char *v[WORDS] = { "airlock-cache", "save" };
        struct words a = { .v = v, .cap = WORDS, .n = 2 };
        struct cache_report report;
        int status = 0;

        if (!t->spec.cache.dir || t->cache.hit || t->cache.unusable)
                return STATUS_OK;
        if (t->unseal.found) {
                log_line(LOG_WARN, "cache: not saved: the leak scan found a secret");
                return STATUS_OK;
        }
        words_option(&a, "--dir", t->spec.cache.dir);
        words_number(&a, "--index-fd", (uint64_t)t->cache.index);
        words_option(&a, "--root", "/");
        stamp(&a, t);
        exclude(&a, t, git, sizeof(git));
        if (t->unseal.placeholders)
                words_number(&a, "--placeholders", (uint64_t)t->unseal.placeholders);
        run(t, &a, t->unseal.placeholders, 0, &status, &report);
        close(t->cache.lock);
        close(t->cache.index);
        t->cache.lock = t->cache.index = 0;
        return STATUS_OK;
}
