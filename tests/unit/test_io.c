/* tests/unit/test_io.c - a sealed file is what it was. */
#include "base/io.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

TEST(a_sealed_file_is_read_from_its_start_and_changed_by_nobody)
{
        AUTO_CLOSE int fd = sealed_file("text", "as it was", 9);
        char text[16];

        CHECK(fd >= 0);
        CHECK(read_full(fd, text, sizeof(text)) == 9 && !memcmp(text, "as it was", 9));
        CHECK(pwrite(fd, "x", 1, 0) < 0 && errno == EPERM);
        CHECK(ftruncate(fd, 0) < 0 && errno == EPERM);
        CHECK(ftruncate(fd, 20) < 0 && errno == EPERM);
        CHECK(mmap(NULL, 9, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
}

TEST(what_has_no_seals_can_not_be_sealed)
{
        AUTO_CLOSE int fd = memfd_create("x", MFD_CLOEXEC);

        CHECK(seal_file(fd) == -EPERM);
        CHECK(seal_file(-1) == -EBADF);
}
