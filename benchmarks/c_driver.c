/* Calls a net as a program in C does: many times, on the same arrays. RUN is the function that model.h declares;
   WORKSPACE is defined where it takes one. */
#include "model.h"

#ifdef WORKSPACE
#define LAST , float *workspace
#define GIVEN , workspace
#else
#define LAST
#define GIVEN
#endif

void repeat(size_t count, size_t steps, size_t batch, const void *inputs, const float *state_in, float *outputs,
            float *state_out LAST)
{
    for (size_t i = 0; i < count; i++) RUN(steps, batch, inputs, state_in, outputs, state_out GIVEN);
}
