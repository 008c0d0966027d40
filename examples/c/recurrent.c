#include "recurrent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct RecurrentSession {
    const RecurrentModel *model;
    size_t batch;
    float state[];
};

RecurrentInput recurrent_numbers(const float *values, size_t count)
{
    return (RecurrentInput){values, count, RECURRENT_FLOAT};
}

RecurrentInput recurrent_tokens(const int64_t *values, size_t count)
{
    return (RecurrentInput){values, count, RECURRENT_INT64};
}

RecurrentInput recurrent_flags(const int32_t *values, size_t count)
{
    return (RecurrentInput){values, count, RECURRENT_BOOL};
}

const RecurrentModel *recurrent_find(const char *name)
{
    for (const RecurrentModel *model = recurrent_models; model->name; model++)
        if (!strcmp(model->name, name)) return model;
    return NULL;
}

size_t recurrent_count(const RecurrentTensor *tensor, size_t steps, size_t batch)
{
    return (tensor->every_step ? steps : 1) * batch * tensor->size;
}

size_t recurrent_unknown_token(const RecurrentTensor *tensor, RecurrentInput inputs)
{
    const int64_t *tokens = inputs.values;
    if (!tensor->vocabulary_size || inputs.type != RECURRENT_INT64) return inputs.count;
    for (size_t i = 0; i < inputs.count; i++)
        if (tokens[i] < 0 || (uint64_t)tokens[i] >= tensor->vocabulary_size) return i;
    return inputs.count;
}

/* Tell whether there are as many values as a call takes. Divided, not multiplied: a product of sizes that came from
   outside may overflow. */
static bool fits(const RecurrentTensor *tensor, size_t steps, size_t batch, size_t count, RecurrentType type)
{
    if (!tensor->every_step) steps = 1;
    return type == tensor->type && count / steps / batch == tensor->size && !(count % (steps * batch));
}

static bool are_flags(RecurrentInput inputs)
{
    const int32_t *flags = inputs.values;
    if (inputs.type != RECURRENT_BOOL) return true;
    for (size_t i = 0; i < inputs.count; i++)
        if (flags[i] && flags[i] != RECURRENT_TRUE) return false;
    return true;
}

int recurrent_run(const RecurrentModel *model, size_t steps, size_t batch, RecurrentInput inputs, float *state,
                  float *outputs, size_t output_count)
{
    RecurrentOutput room = {outputs, output_count, RECURRENT_FLOAT};
    if (model->input_count != 1 || model->output_count != 1) return EINVAL;
    return recurrent_run_all(model, steps, batch, &inputs, state, &room);
}

int recurrent_run_all(const RecurrentModel *model, size_t steps, size_t batch, const RecurrentInput *inputs,
                      float *state, const RecurrentOutput *outputs)
{
    if (!steps || !batch) return EINVAL;
    for (size_t i = 0; i < model->input_count; i++)
        if (!fits(&model->inputs[i], steps, batch, inputs[i].count, inputs[i].type)) return EINVAL;
    for (size_t i = 0; i < model->output_count; i++)
        if (!fits(&model->outputs[i], steps, batch, outputs[i].count, outputs[i].type)) return EINVAL;
    for (size_t i = 0; i < model->input_count; i++)
        if (recurrent_unknown_token(&model->inputs[i], inputs[i]) < inputs[i].count || !are_flags(inputs[i])) return EDOM;
    model->run(steps, batch, inputs, state, outputs, state);
    return 0;
}

RecurrentSession *recurrent_open(const RecurrentModel *model, size_t batch)
{
    size_t row = model->state_size * sizeof(float);
    if (row && batch > (SIZE_MAX - sizeof(RecurrentSession)) / row) {
        errno = ENOMEM;
        return NULL;
    }
    RecurrentSession *session = malloc(sizeof *session + batch * row);
    if (!session) return NULL;
    *session = (RecurrentSession){.model = model, .batch = batch};
    recurrent_reset(session, NULL);
    return session;
}

void recurrent_close(RecurrentSession *session)
{
    free(session);
}

int recurrent_step(RecurrentSession *session, RecurrentInput inputs, float *outputs, size_t output_count)
{
    return recurrent_run(session->model, 1, session->batch, inputs, session->state, outputs, output_count);
}

int recurrent_step_all(RecurrentSession *session, const RecurrentInput *inputs, const RecurrentOutput *outputs)
{
    return recurrent_run_all(session->model, 1, session->batch, inputs, session->state, outputs);
}

void recurrent_reset(RecurrentSession *session, const float *state)
{
    if (state)
        memmove(session->state, state, session->batch * session->model->state_size * sizeof *state);
    else
        session->model->initial_state(session->batch, session->state);
}

const float *recurrent_state(const RecurrentSession *session)
{
    return session->state;
}
