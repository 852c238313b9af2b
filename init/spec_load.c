/* init/spec_load.c - the spec from a file or standard input, with its errors said. */
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

static void say_error(const char *path, const struct spec_error *e)
{
        char line[1024];
        struct wr w = wr_of(line, sizeof(line));

        wr_plain(&w, path, strnlen(path, 512));
        wr_fmt(&w, ":%u:%u: %s\n", e->line, e->column, e->text);
        if (write_full(STDERR_FILENO, line, w.len) < 0)
                return; /* nobody to tell */
}

static int load_fd(int fd, const char *path, struct spec *spec)
{
        size_t cap = SPEC_MAX + 1; /* one more byte tells that it is too long */
        char *text = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct spec_error e;
        ssize_t n;
        int r;

        if (text == MAP_FAILED)
                return -ENOMEM;
        n = read_full(fd, text, cap);
        r = n < 0 ? (int)n : spec_open(spec, text, (size_t)n, &e);
        if (n >= 0 && r == -EINVAL)
                say_error(path, &e);
        munmap(text, cap);
        return n >= 0 && r == -EINVAL ? STATUS_SPEC : r;
}

int spec_load_fd(int fd, const char *name, struct spec *spec)
{
        int r = load_fd(fd, name, spec);

        if (r < 0) {
                *spec = (struct spec){ .version = 0 };
                log_errno(LOG_ERROR, -r, "%s", name);
                return STATUS_SPEC;
        }
        return r;
}

int spec_load(const char *path, struct spec *spec)
{
        bool in = !strcmp(path, "-");
        AUTO_CLOSE int fd = in ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

        if (in || fd >= 0)
                return spec_load_fd(in ? STDIN_FILENO : fd, path, spec);
        *spec = (struct spec){ .version = 0 };
        log_errno(LOG_ERROR, errno, "%s", path);
        return STATUS_SPEC;
}
