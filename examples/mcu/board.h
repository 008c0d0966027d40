/* A board: where its memories are, and what a debugger does for it: semihosting. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

int main(void);

/* The symbols of boards/sections.ld. */
extern char data_in_flash[], data_begin[], data_end[], bss_begin[], bss_end[];
extern char stack_limit[], stack_top[], extra_begin[], extra_end[];

/* What reset does before main: the startup file calls it with a stack. */
_Noreturn void board_start(void);

/* A clock of MHZ ticks a microsecond, and the ticks between two of its numbers. */
void clock_begin(void);
uint32_t clock_ticks(void);
uint32_t clock_between(uint32_t before, uint32_t after);

/* Give memory for test data; there is no way to give it back but all at once. */
void *extra(size_t size);
void extra_reset(void);

void print(const char *text);
void print_number(uint32_t number);
_Noreturn void stop(int status);

/* Give the program's arguments, each with a zero behind it, and how many there are; the last has the rest of the line. */
int arguments(char **found, int most);

/* Open a file of the computer that the debugger runs on. */
int file_open(const char *name, int write);
size_t file_read(int file, void *to, size_t size); /* gives how many bytes there were */
void file_write(int file, const void *from, size_t size);

/* A call of the debugger: the startup file has it. */
intptr_t semihosting(intptr_t operation, const void *argument);

#endif
