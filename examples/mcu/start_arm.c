/* The startup of a Cortex-M: the vectors, the floating point unit, and SysTick as a clock. */
#include "board.h"

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)

void reset(void);

void reset(void)
{
    CPACR |= 0xFu << 20; /* full access to the coprocessors 10 and 11: the FPU, and the vectors of a Cortex-M55 */
    __asm volatile("dsb\n isb" ::: "memory");
    board_start();
}

static void fault(void)
{
    print("error: a fault, or an interrupt that nobody asked for\n");
    stop(1);
}

typedef void (*Handler)(void);
__attribute__((section(".vectors"), used)) static const Handler vectors[16] = {
    (Handler)(uintptr_t)stack_top, reset, fault, fault, fault, fault, fault, fault,
    fault, fault, fault, fault, fault, fault, fault, fault,
};

void clock_begin(void)
{
    SYST_RVR = 0xFFFFFF;
    SYST_CVR = 0;
    SYST_CSR = 5; /* on, at the clock of the processor, without an interrupt */
}

uint32_t clock_ticks(void)
{
    return SYST_CVR; /* counts down */
}

uint32_t clock_between(uint32_t before, uint32_t after)
{
    return (before - after) & 0xFFFFFF;
}

intptr_t semihosting(intptr_t operation, const void *argument)
{
    register intptr_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}
