/* What is the same on every board. */
#include "board.h"

#include <string.h>

/* Operations of Arm's and RISC-V's semihosting specification. */
enum { SYS_OPEN = 0x01, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_GET_CMDLINE = 0x15, SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20 };
enum { READ_BYTES = 1, WRITE_BYTES = 5, APPLICATION_EXIT = 0x20026 };

static char *extra_next = extra_begin;

_Noreturn void board_start(void)
{
    memcpy(data_begin, data_in_flash, (size_t)(data_end - data_begin));
    memset(bss_begin, 0, (size_t)(bss_end - bss_begin));
    stop(main());
}

void *extra(size_t size)
{
    char *found = extra_next;
    size = (size + 15) / 16 * 16;
    if (size > (size_t)(extra_end - found)) {
        print("error: expected less test data, the memory EXTRA is full\n");
        stop(1);
    }
    extra_next += size;
    return found;
}

void extra_reset(void)
{
    extra_next = extra_begin;
}

void print(const char *text)
{
    semihosting(SYS_WRITE0, text);
}

void print_number(uint32_t number)
{
    char text[11], *first = text + sizeof text - 1;
    *first = 0;
    do *--first = (char)('0' + number % 10);
    while (number /= 10);
    print(first);
}

void stop(int status)
{
    const intptr_t block[] = {APPLICATION_EXIT, status};
    semihosting(SYS_EXIT_EXTENDED, block);
    for (;;) continue;
}

int arguments(char **found, int most)
{
    static char line[1024];
    const intptr_t block[] = {(intptr_t)line, sizeof line};
    int count = 0;
    if (semihosting(SYS_GET_CMDLINE, block)) return 0;
    for (char *next = line; *next && count < most;) {
        found[count++] = next;
        while (*next && (*next != ' ' || count == most)) next++;
        if (*next) *next++ = 0;
    }
    return count;
}

int file_open(const char *name, int write)
{
    const intptr_t block[] = {(intptr_t)name, write ? WRITE_BYTES : READ_BYTES, (intptr_t)strlen(name)};
    int file = (int)semihosting(SYS_OPEN, block);
    if (file < 0) {
        print("error: expected a file that can be opened, got ");
        print(name);
        print("\n");
        stop(1);
    }
    return file;
}

size_t file_read(int file, void *to, size_t size)
{
    const intptr_t block[] = {file, (intptr_t)to, (intptr_t)size};
    return size - (size_t)semihosting(SYS_READ, block);
}

void file_write(int file, const void *from, size_t size)
{
    const intptr_t block[] = {file, (intptr_t)from, (intptr_t)size};
    if (!semihosting(SYS_WRITE, block)) return;
    print("error: expected a file that can be written\n");
    stop(1);
}
