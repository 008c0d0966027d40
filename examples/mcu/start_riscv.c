/* The startup of a RISC-V in machine mode: the stack, the floating point unit, and minstret as a clock. */
#include "board.h"

__attribute__((naked, section(".vectors"), used)) void reset(void);
void reset(void)
{
    __asm volatile(".option push\n .option norelax\n la gp, __global_pointer$\n .option pop\n"
                   "la sp, stack_top\n"
                   "la t0, fault\n csrw mtvec, t0\n"
                   "li t0, 0x2000\n csrs mstatus, t0\n" /* FS = initial: floating point is on */
                   "csrw fcsr, zero\n"
                   "j board_start");
}

__attribute__((used, aligned(4))) void fault(void);
void fault(void)
{
    print("error: a trap that nobody asked for\n");
    stop(1);
}

void clock_begin(void)
{
}

uint32_t clock_ticks(void)
{
    uint32_t count;
    __asm volatile("csrr %0, minstret" : "=r"(count));
    return count;
}

uint32_t clock_between(uint32_t before, uint32_t after)
{
    return after - before;
}

/* The three instructions stand together, uncompressed, in one page: that is how a debugger knows the call. */
__attribute__((noinline, aligned(16))) intptr_t semihosting(intptr_t operation, const void *argument)
{
    register intptr_t a0 __asm("a0") = operation;
    register const void *a1 __asm("a1") = argument;
    __asm volatile(".option push\n .option norvc\n"
                   "slli x0, x0, 0x1f\n ebreak\n srai x0, x0, 7\n"
                   ".option pop"
                   : "+r"(a0)
                   : "r"(a1)
                   : "memory");
    return a0;
}
