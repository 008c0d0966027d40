#include <stdio.h>
#include "model.h"

int main(void)
{
    float inputs[5][RNN_SCRATCH_INPUT_SIZE], state[RNN_SCRATCH_STATE_SIZE], whole[5], step;
    for (int i = 0; i < 5 * RNN_SCRATCH_INPUT_SIZE; i++) inputs[i / 16][i % 16] = (float)(i % 7) / 7;
    rnn_scratch_initial_state(1, state);
    rnn_scratch_run(5, 1, inputs[0], state, whole, state); /* five time steps of one row */
    rnn_scratch_initial_state(1, state);
    for (int t = 0; t < 5; t++) {
        rnn_scratch_run(1, 1, inputs[t], state, &step, state); /* the same, one by one */
        printf("%.6f %s\n", step, step == whole[t] ? "the same bits" : "differs");
    }
}
