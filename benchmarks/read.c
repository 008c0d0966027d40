/* Reads an array as the weights of a step are read, once each, and does next to nothing with it. */
#include <stddef.h>

typedef float vec __attribute__((vector_size(64), aligned(4)));

float sum(size_t times, size_t count, const float *array)
{
    vec sums[8] = {{0}};
    for (size_t k = 0; k < times; k++)
        for (size_t i = 0; i + 128 <= count; i += 128)
            for (int j = 0; j < 8; j++) sums[j] += *(const vec *)(array + i + 16 * j);
    float total = 0;
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 16; i++) total += sums[j][i];
    return total;
}
