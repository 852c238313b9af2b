/* tests/bench/payload.c - the least program: exits, or with an argument waits for TERM. */
#define CALL(n, a)                                                                        \
        __extension__({                                                                   \
                long r_;                                                                  \
                __asm__ volatile("syscall" : "=a"(r_) : "a"(n), "D"((long)(a))            \
                                 : "rcx", "r11", "memory");                               \
                r_;                                                                       \
        })

__attribute__((used)) static void payload(const long *stack)
{
        if (stack[0] > 1)
                CALL(34, 0); /* pause: TERM ends us */
        CALL(60, 0);
}

__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call payload\n");
