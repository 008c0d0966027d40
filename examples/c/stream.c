/* stream NAME: read one time step a line, numbers with blanks between them, and write the outputs of each.

   Of several inputs the numbers stand one after another, in the manifest's order; truth values are 0 and 1. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recurrent.h"

/* A time step of one row: what was read, and room for all tensors, eight bytes for each value. */
typedef struct {
    const RecurrentModel *model;
    long count;
    double *numbers;
    RecurrentInput *inputs;
    RecurrentOutput *outputs;
} Step;

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory) {
        perror("error");
        exit(1);
    }
    return memory;
}

static Step new_step(const RecurrentModel *model)
{
    Step step = {.model = model, .inputs = allocate(model->input_count, sizeof *step.inputs),
                 .outputs = allocate(model->output_count, sizeof *step.outputs)};
    for (size_t k = 0; k < model->input_count; k++) {
        const RecurrentTensor *tensor = &model->inputs[k];
        step.inputs[k] = (RecurrentInput){allocate(tensor->size, sizeof(int64_t)), tensor->size, tensor->type};
        step.count += (long)tensor->size;
    }
    for (size_t k = 0; k < model->output_count; k++) {
        const RecurrentTensor *tensor = &model->outputs[k];
        step.outputs[k] = (RecurrentOutput){allocate(tensor->size, sizeof(int64_t)), tensor->size, tensor->type};
    }
    step.numbers = allocate((size_t)step.count, sizeof *step.numbers);
    return step;
}

static void free_step(Step step)
{
    for (size_t k = 0; k < step.model->input_count; k++) free((void *)step.inputs[k].values);
    for (size_t k = 0; k < step.model->output_count; k++) free(step.outputs[k].values);
    free(step.numbers);
    free(step.inputs);
    free(step.outputs);
}

/* Read up to limit numbers of a line; give how many there are, or -1 if one of them is none. */
static long parse(const char *line, double *numbers, long limit)
{
    for (long count = 0;; count++) {
        line += strspn(line, " \t\r\n");
        if (!*line) return count;
        char *end;
        double number = strtod(line, &end);
        if (end == line || (*end && !strchr(" \t\r\n", *end))) return -1;
        if (count < limit) numbers[count] = number;
        line = end;
    }
}

/* Put a number to its place; give whether its tensor can hold it. */
static bool put(RecurrentInput input, size_t at, double number)
{
    if (input.type == RECURRENT_FLOAT) {
        ((float *)input.values)[at] = (float)number;
        return true;
    }
    if (!(fabs(number) < 0x1p53) || number != floor(number)) return false;
    if (input.type == RECURRENT_INT64) ((int64_t *)input.values)[at] = (int64_t)number;
    if (input.type == RECURRENT_BOOL) ((int32_t *)input.values)[at] = number ? RECURRENT_TRUE : 0;
    return input.type == RECURRENT_INT64 || number == 0 || number == 1;
}

static int run(RecurrentSession *session, Step step, long count)
{
    if (count != step.count) return EINVAL;
    const double *number = step.numbers;
    for (size_t k = 0; k < step.model->input_count; k++)
        for (size_t i = 0; i < step.inputs[k].count; i++)
            if (!put(step.inputs[k], i, *number++)) return EINVAL;
    return recurrent_step_all(session, step.inputs, step.outputs);
}

static void explain(Step step, int problem, long at, const char *line)
{
    static const char *const words[] = {"numbers", "integers", "truth values, 0 or 1,"};
    fprintf(stderr, "error: line %ld: expected ", at);
    for (size_t k = 0; k < step.model->input_count; k++) {
        const RecurrentTensor *tensor = &step.model->inputs[k];
        bool ids = tensor->vocabulary_size;
        fprintf(stderr, "%s%zu %s", k ? " and " : "", tensor->size, ids ? "token ids" : words[tensor->type]);
        if (problem == EDOM && ids) fprintf(stderr, " from 0 to %zu", tensor->vocabulary_size - 1);
    }
    fprintf(stderr, " with blanks between them, got %s", line);
}

static void print(Step step)
{
    const char *blank = "";
    for (size_t k = 0; k < step.model->output_count; k++)
        for (size_t i = 0; i < step.outputs[k].count; i++, blank = " ") {
            const void *values = step.outputs[k].values;
            if (step.outputs[k].type == RECURRENT_FLOAT) printf("%s%.9g", blank, ((const float *)values)[i]);
            if (step.outputs[k].type == RECURRENT_INT64) printf("%s%lld", blank, (long long)((const int64_t *)values)[i]);
            if (step.outputs[k].type == RECURRENT_BOOL) printf("%s%d", blank, ((const int32_t *)values)[i] != 0);
        }
    putchar('\n');
    fflush(stdout);
}

static int stream(RecurrentSession *session, Step step)
{
    char *line = NULL;
    size_t capacity = 0;
    int problem = 0;
    for (long at = 1; !problem && getline(&line, &capacity, stdin) > 0; at++) {
        problem = run(session, step, parse(line, step.numbers, step.count));
        if (problem)
            explain(step, problem, at, line);
        else
            print(step);
    }
    free(line);
    return problem != 0;
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: %s NAME < STEPS\n", arguments[0]);
        return 2;
    }
    const RecurrentModel *model = recurrent_find(arguments[1]);
    if (!model) {
        fprintf(stderr, "error: expected a model of models.c, got %s\n", arguments[1]);
        return 1;
    }
    RecurrentSession *session = recurrent_open(model, 1);
    if (!session) {
        perror("error");
        return 1;
    }
    Step step = new_step(model);
    int failed = stream(session, step);
    free_step(step);
    recurrent_close(session);
    return failed;
}
