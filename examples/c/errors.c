/* errors: of every model, calls that are wrong are refused, and leave the state as it was. Silent if all is well. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recurrent.h"

enum { STEPS = 3, BATCH = 2, AT = 4 };

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

/* A call of some time steps and rows: numbers or token ids that are all zero, and the initial state. */
typedef struct {
    const RecurrentModel *model;
    int64_t *values; /* zeros, for either type */
    size_t count, state_count, output_count;
    float *state, *before, *outputs;
} Call;

static Call new_call(const RecurrentModel *model)
{
    Call call = {.model = model, .count = STEPS * BATCH * model->input_size, .state_count = BATCH * model->state_size,
                 .output_count = recurrent_output_count(model, STEPS, BATCH)};
    call.values = allocate(call.count, sizeof *call.values);
    call.state = allocate(call.state_count, sizeof *call.state);
    call.before = allocate(call.state_count, sizeof *call.before);
    call.outputs = allocate(call.output_count, sizeof *call.outputs);
    model->initial_state(BATCH, call.state);
    memcpy(call.before, call.state, call.state_count * sizeof *call.state);
    return call;
}

static void free_call(Call call)
{
    free(call.outputs);
    free(call.before);
    free(call.state);
    free(call.values);
}

static void refused(Call call, const char *what, int problem, size_t steps, bool token_ids, size_t outputs)
{
    RecurrentInputs inputs = {call.values, call.count, token_ids};
    expect(call.model, what, problem, recurrent_run(call.model, steps, BATCH, inputs, call.state, call.outputs, outputs));
    expect(call.model, "the state as before", 0, memcmp(call.state, call.before, call.state_count * sizeof *call.state));
}

static void check_sizes(const RecurrentModel *model)
{
    Call call = new_call(model);
    refused(call, "no time steps", EINVAL, 0, model->token_ids, call.output_count);
    refused(call, "too few numbers", EINVAL, STEPS + 1, model->token_ids, call.output_count);
    refused(call, "too many time steps to multiply", EINVAL, SIZE_MAX, model->token_ids, call.output_count);
    refused(call, "numbers of the other type", EINVAL, STEPS, !model->token_ids, call.output_count);
    refused(call, "outputs of another size", EINVAL, STEPS, model->token_ids, call.output_count + 1);
    free_call(call);
}

static void check_tokens(const RecurrentModel *model)
{
    if (!model->vocabulary_size) return;
    int64_t last = (int64_t)model->vocabulary_size - 1, unknown[] = {-1, last + 1, INT64_MIN, INT64_MAX};
    Call call = new_call(model);
    RecurrentInputs inputs = recurrent_tokens(call.values, call.count);
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        call.values[AT] = unknown[i];
        refused(call, "a token id that is not in the vocabulary", EDOM, STEPS, true, call.output_count);
        expect(model, "its place", AT, (long)recurrent_unknown_token(model, inputs));
    }
    call.values[AT] = last;
    expect(model, "no place", (long)call.count, (long)recurrent_unknown_token(model, inputs));
    expect(model, "the last token id", 0,
           recurrent_run(model, STEPS, BATCH, inputs, call.state, call.outputs, call.output_count));
    free_call(call);
}

int main(void)
{
    for (const RecurrentModel *model = recurrent_models; model->name; model++) {
        check_sizes(model);
        check_tokens(model);
    }
    return failures != 0;
}
