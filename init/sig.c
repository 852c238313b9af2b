/* init/sig.c - raw signal system calls, and the entry point that blocks everything. */
#include "init/sig.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/clock.h"
#include "base/digits.h"
#include "base/wr.h"

#define MASK_BYTES 8 /* the kernel's sigset_t; musl's is 128 and hides 32 to 34 */

#ifdef __clang__ /* analyses us and does not know it */
#define EXTERNALLY_VISIBLE
#else
#define EXTERNALLY_VISIBLE __attribute__((externally_visible))
#endif

/* The entry point below writes it before anything was relocated, hence by name. */
__attribute__((used, visibility("hidden"))) EXTERNALLY_VISIBLE uint64_t sig_inherited;

/*
 * sig_start: rt_sigprocmask(SIG_SETMASK, {all ones}, &sig_inherited, 8), then the C
 * library's _start with the stack and registers exactly as the kernel made them. No
 * relocation has happened yet, so everything is relative to the program counter.
 */
#if defined(__x86_64__)
__asm__(".text\n"
        ".globl sig_start\n"
        ".hidden sig_start\n"
        ".type sig_start, @function\n"
        "sig_start:\n"
        "       push $-1\n"
        "       mov $14, %eax\n" /* SYS_rt_sigprocmask */
        "       mov $2, %edi\n"  /* SIG_SETMASK */
        "       mov %rsp, %rsi\n"
        "       lea sig_inherited(%rip), %rdx\n"
        "       mov $8, %r10d\n"
        "       syscall\n"
        "       pop %rax\n"
        "       xor %edx, %edx\n" /* the ABI's atexit pointer: none */
        "       jmp _start\n"
        ".size sig_start, . - sig_start\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl sig_start\n"
        ".hidden sig_start\n"
        ".type sig_start, %function\n"
        "sig_start:\n"
        "       mov x9, #-1\n"
        "       str x9, [sp, #-16]!\n"
        "       mov x8, #135\n" /* SYS_rt_sigprocmask */
        "       mov x0, #2\n"   /* SIG_SETMASK */
        "       mov x1, sp\n"
        "       adrp x2, sig_inherited\n"
        "       add x2, x2, :lo12:sig_inherited\n"
        "       mov x3, #8\n"
        "       svc #0\n"
        "       add sp, sp, #16\n"
        "       mov x0, #0\n"
        "       b _start\n"
        ".size sig_start, . - sig_start\n");
#else
#error "sig_start: write the entry point for this architecture"
#endif

/* struct sigaction as x86-64 and aarch64 kernels have it. */
struct kernel_action {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
};

/* What the parent left for the two signals whose disposition is ours to change. */
static void (*inherited_chld)(int);
static void (*inherited_pipe)(int);

void sig_mask(uint64_t mask)
{
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, MASK_BYTES);
}

static long wait_once(uint64_t mask, siginfo_t *info, int64_t timeout_ms)
{
        struct timespec t = { .tv_sec = (time_t)(timeout_ms / 1000),
                              .tv_nsec = (long)(timeout_ms % 1000) * 1000000 };

        return syscall(SYS_rt_sigtimedwait, &mask, info, timeout_ms < 0 ? NULL : &t, MASK_BYTES);
}

int sig_wait(uint64_t mask, siginfo_t *info, int timeout_ms)
{
        int64_t deadline = timeout_ms > 0 ? (int64_t)now_ms() + timeout_ms : 0;
        int64_t left = timeout_ms;

        for (;;) {
                long n = wait_once(mask, info, left);

                if (n > 0)
                        return (int)n;
                if (errno != EINTR)
                        return 0;
                if (timeout_ms > 0) {
                        left = deadline - (int64_t)now_ms();
                        if (left < 0)
                                left = 0;
                }
        }
}

int sig_fd(uint64_t mask)
{
        int flags = 02000000 | 04000; /* SFD_CLOEXEC | SFD_NONBLOCK = O_ the same */
        long fd = syscall(SYS_signalfd4, -1, &mask, MASK_BYTES, flags);

        return fd < 0 ? -errno : (int)fd;
}

/* One array and no pointers: nothing to relocate, nothing to dirty. */
static const char names[32][8] = {
        "",     "HUP",  "INT",    "QUIT", "ILL",  "TRAP", "ABRT", "BUS",
        "FPE",  "KILL", "USR1",   "SEGV", "USR2", "PIPE", "ALRM", "TERM",
        "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",  "PWR",  "SYS",
};

/* glibc's count, the one that the programs we start were built with. */
#define RT_MIN 34

const char *sig_name(int n)
{
        static char text[16];
        struct wr w = wr_of(text, sizeof(text) - 1);

        if (n > 0 && n < (int)COUNT(names))
                wr_fmt(&w, "SIG%s", names[n]);
        else if (n == RT_MIN)
                wr_str(&w, "SIGRTMIN");
        else if (n > RT_MIN && n <= SIG_MAX)
                wr_fmt(&w, "SIGRTMIN+%d", n - RT_MIN);
        else
                wr_fmt(&w, "%d", n);
        return wr_cstr(&w);
}

/* "0" to "64" and nothing behind it; -1 for anything else. */
static int parse_number(const char *text)
{
        uint64_t n;

        return digits_parse(text, SIG_MAX, &n) ? (int)n : -1;
}

static int parse_realtime(const char *text)
{
        int offset;

        if (!strcmp(text, "RTMIN"))
                return RT_MIN;
        if (!strcmp(text, "RTMAX"))
                return SIG_MAX;
        offset = parse_number(strlen(text) > 6 ? text + 6 : "");
        if (offset < 0 || offset > SIG_MAX - RT_MIN)
                return 0;
        if (!strncmp(text, "RTMIN+", 6))
                return RT_MIN + offset;
        if (!strncmp(text, "RTMAX-", 6))
                return SIG_MAX - offset;
        return 0;
}

int sig_parse(const char *text)
{
        int n = parse_number(text);

        if (n >= 0)
                return n;
        if (!strncmp(text, "SIG", 3))
                text += 3;
        for (n = 1; n < (int)COUNT(names); n++)
                if (!strcmp(text, names[n]))
                        return n;
        return parse_realtime(text);
}

static void (*set_handler(int n, void (*handler)(int), unsigned long flags))(int)
{
        struct kernel_action old = { .handler = SIG_DFL };
        struct kernel_action new = { .handler = handler, .flags = flags };

        syscall(SYS_rt_sigaction, n, &new, &old, MASK_BYTES);
        return old.handler;
}

void sig_init(bool stops)
{
        inherited_chld = set_handler(SIGCHLD, SIG_DFL, stops ? 0 : SA_NOCLDSTOP);
        inherited_pipe = set_handler(SIGPIPE, SIG_IGN, 0);
}

void sig_child_restore(void)
{
        set_handler(SIGCHLD, inherited_chld, 0);
        set_handler(SIGPIPE, inherited_pipe, 0);
        sig_mask(sig_inherited);
}
