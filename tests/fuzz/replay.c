/*
 * tests/fuzz/replay.c - runs a fuzz target once over every file named, with any compiler.
 *
 * A directory stands for the files in it. Each input lies in a buffer of exactly its
 * size, so that the sanitizer sees a read past its end. The empty input always comes first.
 */
#include "base/log.h"
#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned inputs;

static void run(const uint8_t *data, size_t size)
{
        LLVMFuzzerTestOneInput(data, size);
        inputs++;
}

static void replay_file(int dirfd, const char *name)
{
        AUTO_CLOSE int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
        struct stat st;
        uint8_t *data;

        if (fd < 0 || fstat(fd, &st) < 0)
                die(STATUS_USAGE, "open %s", name);
        if (!S_ISREG(st.st_mode))
                return;
        data = malloc(st.st_size ? (size_t)st.st_size : 1);
        if (!data || read_full(fd, data, (size_t)st.st_size) != st.st_size)
                die(STATUS_USAGE, "read %s", name);
        run(data, (size_t)st.st_size);
        free(data);
}

int main(int argc, char **argv)
{
        run((const uint8_t *)"", 0);
        for (int i = 1; i < argc; i++) {
                DIR *d = opendir(argv[i]);
                const struct dirent *e;

                if (!d) {
                        replay_file(AT_FDCWD, argv[i]);
                        continue;
                }
                while ((e = readdir(d)))
                        replay_file(dirfd(d), e->d_name);
                closedir(d);
        }
        printf("replayed: %u inputs\n", inputs);
        return 0;
}
