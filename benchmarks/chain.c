/* What each step of a net has to wait for, however many numbers are computed beside it: the state that was stored
   last is read number by number, UNITS / 4 products are summed one after another, the other three sums come on
   top, then tanh, and the state is stored. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif
#define TARGET
#define ALIGNED
#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#define REGISTERS 16
#define INLINE static inline __attribute__((always_inline, unused))
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#include "kernels.h"

void chain(size_t steps, const float *weights, float *state)
{
    const vec first = load(weights), second = load(weights + LANES);
    for (size_t t = 0; t < steps; t++) {
        vec sum = first;
        UNROLL for (int i = 0; i < UNITS / 4; i++) sum += load(weights + i * LANES) * state[i % LANES];
        store(state, vtanh((sum + first) + second));
    }
}
