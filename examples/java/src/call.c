/* Call a function by its address, with a workspace if its model takes one. JNA's fast way of calling, direct mapping, binds Java's methods to one library when
   a class is loaded; through these two functions it reaches NAME_run and NAME_initial_state of any model's library. */
#include <stddef.h>
#include <stdint.h>

typedef void Run(size_t steps, size_t batch, const void *inputs, const float *state_in, float *outputs,
                 float *state_out);
typedef void RunInside(size_t steps, size_t batch, const void *inputs, const float *state_in, float *outputs,
                       float *state_out, float *workspace);
typedef void InitialState(size_t batch, float *state);

void run(void (*function)(void), int64_t steps, int64_t batch, const void *inputs, const float *state_in,
         float *outputs, float *state_out, float *workspace)
{
    if (workspace)
        ((RunInside *)function)((size_t)steps, (size_t)batch, inputs, state_in, outputs, state_out, workspace);
    else
        ((Run *)function)((size_t)steps, (size_t)batch, inputs, state_in, outputs, state_out);
}

void initialState(InitialState *function, int64_t batch, float *state)
{
    function((size_t)batch, state);
}
