/* errors: of every model, calls that are wrong are refused, and leave the state as it was. Silent if all is well. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recurrent.h"

enum { STEPS = 3, BATCH = 2, AT = 1 };

static int failures;

static void expect(const RecurrentModel *model, const char *what, long expected, long got)
{
    if (got == expected) return;
    fprintf(stderr, "errors: %s: %s: expected %ld, got %ld\n", model->name, what, expected, got);
    failures++;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory) {
        perror("error");
        exit(1);
    }
    return memory;
}

/* A call of some time steps and rows: inputs that are all zero, eight bytes for each, and the initial state. */
typedef struct {
    const RecurrentModel *model;
    RecurrentInput *inputs;
    RecurrentOutput *outputs;
    size_t state_count;
    float *state, *before;
} Call;

static Call new_call(const RecurrentModel *model)
{
    Call call = {.model = model, .state_count = BATCH * model->state_size};
    call.inputs = allocate(model->input_count, sizeof *call.inputs);
    call.outputs = allocate(model->output_count, sizeof *call.outputs);
    for (size_t k = 0; k < model->input_count; k++) {
        size_t count = recurrent_count(&model->inputs[k], STEPS, BATCH);
        call.inputs[k] = (RecurrentInput){allocate(count, sizeof(int64_t)), count, model->inputs[k].type};
    }
    for (size_t k = 0; k < model->output_count; k++) {
        size_t count = recurrent_count(&model->outputs[k], STEPS, BATCH);
        call.outputs[k] = (RecurrentOutput){allocate(count, sizeof(int64_t)), count, model->outputs[k].type};
    }
    call.state = allocate(call.state_count, sizeof *call.state);
    call.before = allocate(call.state_count, sizeof *call.before);
    model->initial_state(BATCH, call.state);
    memcpy(call.before, call.state, call.state_count * sizeof *call.state);
    return call;
}

static void free_call(Call call)
{
    for (size_t k = 0; k < call.model->input_count; k++) free((void *)call.inputs[k].values);
    for (size_t k = 0; k < call.model->output_count; k++) free(call.outputs[k].values);
    free(call.inputs);
    free(call.outputs);
    free(call.before);
    free(call.state);
}

static int run(Call call, size_t steps)
{
    return recurrent_run_all(call.model, steps, BATCH, call.inputs, call.state, call.outputs);
}

static void refused(Call call, const char *what, int problem, size_t steps)
{
    expect(call.model, what, problem, run(call, steps));
    expect(call.model, "the state as before", 0, memcmp(call.state, call.before, call.state_count * sizeof *call.state));
}

static void check_sizes(const RecurrentModel *model)
{
    Call call = new_call(model);
    refused(call, "no time steps", EINVAL, 0);
    refused(call, "too few numbers", EINVAL, STEPS + 1);
    refused(call, "too many time steps to multiply", EINVAL, SIZE_MAX);
    for (size_t k = 0; k < model->input_count; k++) {
        RecurrentInput right = call.inputs[k];
        call.inputs[k].type = right.type == RECURRENT_FLOAT ? RECURRENT_INT64 : RECURRENT_FLOAT;
        refused(call, "numbers of another type", EINVAL, STEPS);
        call.inputs[k] = right;
        call.inputs[k].count--;
        refused(call, "a number too few", EINVAL, STEPS);
        call.inputs[k] = right;
    }
    call.outputs[model->output_count - 1].count++;
    refused(call, "outputs of another size", EINVAL, STEPS);
    free_call(call);
}

/* The functions for one tensor of inputs and one of outputs take no model that has several. */
static void check_several(const RecurrentModel *model)
{
    if (model->input_count == 1 && model->output_count == 1) return;
    Call call = new_call(model);
    int problem = recurrent_run(model, STEPS, BATCH, call.inputs[0], call.state, call.outputs[0].values,
                                call.outputs[0].count);
    expect(model, "one tensor of several", EINVAL, problem);
    free_call(call);
}

static void check_tokens(const RecurrentModel *model, size_t k)
{
    const RecurrentTensor *tensor = &model->inputs[k];
    if (!tensor->vocabulary_size) return;
    int64_t last = (int64_t)tensor->vocabulary_size - 1, unknown[] = {-1, last + 1, INT64_MIN, INT64_MAX};
    Call call = new_call(model);
    int64_t *tokens = (int64_t *)call.inputs[k].values;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        tokens[AT] = unknown[i];
        refused(call, "a token id that is not in the vocabulary", EDOM, STEPS);
        expect(model, "its place", AT, (long)recurrent_unknown_token(tensor, call.inputs[k]));
    }
    tokens[AT] = last;
    expect(model, "no place", (long)call.inputs[k].count, (long)recurrent_unknown_token(tensor, call.inputs[k]));
    expect(model, "the last token id", 0, run(call, STEPS));
    free_call(call);
}

static void check_flags(const RecurrentModel *model, size_t k)
{
    if (model->inputs[k].type != RECURRENT_BOOL) return;
    Call call = new_call(model);
    int32_t *flags = (int32_t *)call.inputs[k].values;
    flags[AT] = 1;
    refused(call, "a truth value that is none", EDOM, STEPS);
    flags[AT] = RECURRENT_TRUE;
    expect(model, "a true one", 0, run(call, STEPS));
    free_call(call);
}

int main(void)
{
    for (const RecurrentModel *model = recurrent_models; model->name; model++) {
        check_sizes(model);
        check_several(model);
        for (size_t k = 0; k < model->input_count; k++) {
            check_tokens(model, k);
            check_flags(model, k);
        }
    }
    return failures != 0;
}
