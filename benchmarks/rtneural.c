/* The same in model.c: RUN is the function that model.h declares; PIECE time steps a call. */
#include "model.h"

static float state[STATE];

void start(const char *path)
{
    (void)path; /* model.c holds its weights */
    for (size_t i = 0; i < STATE; i++) state[i] = 0;
}

void run(size_t steps, const float *inputs, float *outputs)
{
    for (size_t t = 0; t < steps; t += PIECE)
        RUN(steps - t < PIECE ? steps - t : PIECE, 1, inputs + t * IN, state, outputs + t, state);
}
