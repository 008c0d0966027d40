#include "recurrent.h"

#include <string.h>

#include "board.h"

const RecurrentModel *recurrent_find(const char *name)
{
    for (const RecurrentModel *model = recurrent_models; model->name; model++)
        if (!strcmp(model->name, name)) return model;
    print("error: expected a model of models.c, got ");
    print(name);
    print("\n");
    stop(1);
}

static void *zeros(size_t size)
{
    return memset(extra(size), 0, size);
}

RecurrentCall recurrent_call(const RecurrentModel *model, size_t steps, size_t batch)
{
    RecurrentCall call = {model, steps, batch, extra(model->input_count * sizeof *call.inputs),
                          extra(model->output_count * sizeof *call.outputs),
                          extra(batch * model->state_size * sizeof(float)), model->workspace};
    if (batch > 1) call.workspace = extra(batch * model->workspace_size * sizeof(float));
    for (size_t k = 0; k < model->input_count; k++)
        call.inputs[k].values = zeros(recurrent_bytes(&model->inputs[k], &call));
    for (size_t k = 0; k < model->output_count; k++)
        call.outputs[k].values = zeros(recurrent_bytes(&model->outputs[k], &call));
    model->initial_state(batch, call.state);
    return call;
}

size_t recurrent_bytes(const RecurrentTensor *tensor, const RecurrentCall *call)
{
    return (tensor->every_step ? call->steps : 1) * call->batch * tensor->size * (tensor->type == RECURRENT_INT64 ? 8 : 4);
}

void recurrent_run(const RecurrentCall *call)
{
    call->model->run(call->steps, call->batch, call->inputs, call->state, call->outputs, call->state,
                     call->workspace);
}
