/* tests/unit/test_child.c - the end of a child is waited for, and not for ever. */
#include "init/child.h"
#include "base/clock.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(a_child_that_ends_is_reaped_with_its_status)
{
        pid_t pid = fork();

        if (!pid)
                _exit(3);
        CHECK(child_end(pid, 10000) == 3 << 8);
        CHECK(waitpid(pid, NULL, WNOHANG) < 0);
}

TEST(a_child_that_stays_is_killed_and_is_no_success)
{
        uint64_t start = now_ms();
        pid_t pid = fork();

        if (!pid)
                for (;;)
                        pause();
        CHECK(child_end(pid, 30) == SIGKILL);
        CHECK(now_ms() - start >= 30);
        CHECK(waitpid(pid, NULL, WNOHANG) < 0);
}

TEST(who_is_no_child_of_ours_did_not_succeed)
{
        CHECK(child_end(getpid(), 10000) == SIGKILL);
}
