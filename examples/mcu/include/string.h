/* What model.c uses of the C library: string.c has it, or your compiler's library. */
#ifndef STRING_H
#define STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int strcmp(const char *left, const char *right);
size_t strlen(const char *text);

#endif
