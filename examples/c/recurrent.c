#include "recurrent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct RecurrentSession {
    const RecurrentModel *model;
    size_t batch;
    float state[];
};

RecurrentInputs recurrent_numbers(const float *values, size_t count)
{
    return (RecurrentInputs){values, count, false};
}

RecurrentInputs recurrent_tokens(const int64_t *values, size_t count)
{
    return (RecurrentInputs){values, count, true};
}

const RecurrentModel *recurrent_find(const char *name)
{
    for (const RecurrentModel *model = recurrent_models; model->name; model++)
        if (!strcmp(model->name, name)) return model;
    return NULL;
}

size_t recurrent_output_count(const RecurrentModel *model, size_t steps, size_t batch)
{
    return (model->every_step ? steps : 1) * batch * model->output_size;
}

size_t recurrent_unknown_token(const RecurrentModel *model, RecurrentInputs inputs)
{
    const int64_t *tokens = inputs.values;
    if (!model->vocabulary_size || !inputs.token_ids) return inputs.count;
    for (size_t i = 0; i < inputs.count; i++)
        if (tokens[i] < 0 || (uint64_t)tokens[i] >= model->vocabulary_size) return i;
    return inputs.count;
}

int recurrent_run(const RecurrentModel *model, size_t steps, size_t batch, RecurrentInputs inputs, float *state,
                  float *outputs, size_t output_count)
{
    if (!steps || !batch || inputs.token_ids != model->token_ids) return EINVAL;
    /* Divided, not multiplied: a product of sizes that came from outside may overflow. */
    if (inputs.count / steps / batch != model->input_size || inputs.count % (steps * batch)) return EINVAL;
    if (output_count != recurrent_output_count(model, steps, batch)) return EINVAL;
    if (recurrent_unknown_token(model, inputs) < inputs.count) return EDOM;
    model->run(steps, batch, inputs.values, state, outputs, state);
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

int recurrent_step(RecurrentSession *session, RecurrentInputs inputs, float *outputs, size_t output_count)
{
    return recurrent_run(session->model, 1, session->batch, inputs, session->state, outputs, output_count);
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
