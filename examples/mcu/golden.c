/* golden NAME CALLS RESULTS: run the calls of a file, and write their outputs and states into another one.

   golden.py writes the calls, and compares the results. A call is three numbers of four bytes, the time steps, the rows
   and whether the state is that which the call before left, then its inputs, then its state. */
#include "board.h"
#include "recurrent.h"

typedef struct {
    uint32_t steps, batch, goes_on;
} Head;

int main(void)
{
    char *words[4];
    if (arguments(words, 4) != 4) {
        print("usage: golden NAME CALLS RESULTS\n");
        return 2;
    }
    const RecurrentModel *model = recurrent_find(words[1]);
    int calls = file_open(words[2], 0), results = file_open(words[3], 1);
    Head head;
    RecurrentCall call = {0};
    while (file_read(calls, &head, sizeof head) == sizeof head) {
        const size_t state = head.batch * model->state_size * sizeof(float);
        if (!head.goes_on) {
            extra_reset();
            call = recurrent_call(model, head.steps, head.batch);
        }
        for (size_t k = 0; k < model->input_count; k++)
            file_read(calls, (void *)call.inputs[k].values, recurrent_bytes(&model->inputs[k], &call));
        if (!head.goes_on) file_read(calls, call.state, state);
        recurrent_run(&call);
        for (size_t k = 0; k < model->output_count; k++)
            file_write(results, call.outputs[k].values, recurrent_bytes(&model->outputs[k], &call));
        file_write(results, call.state, state);
    }
    return 0;
}
