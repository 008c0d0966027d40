/* The functions of include/string.h. With a C library, as newlib, leave both files out. */
#include <string.h>

#include <stdint.h>

typedef struct {
    uint32_t words[4];
} __attribute__((may_alias)) Words;

/* Words where both ends allow it: the weights and the state are floats. */
void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    unsigned char *end = to;
    const unsigned char *source = from;
    if (((uintptr_t)to | (uintptr_t)from) % 4 == 0)
        for (; size >= sizeof(Words); size -= sizeof(Words), end += sizeof(Words), source += sizeof(Words))
            *(Words *)(void *)end = *(const Words *)(const void *)source;
    while (size--) *end++ = *source++;
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    unsigned char *target = to;
    const unsigned char *source = from;
    if (target <= source || target >= source + size) return memcpy(to, from, size);
    while (size--) target[size] = source[size];
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    for (unsigned char *target = to; size--; target++) *target = (unsigned char)byte;
    return to;
}

int strcmp(const char *left, const char *right)
{
    for (; *left && *left == *right; left++) right++;
    return (unsigned char)*left - (unsigned char)*right;
}

size_t strlen(const char *text)
{
    size_t length = 0;
    while (text[length]) length++;
    return length;
}
