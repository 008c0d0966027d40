/* stream NAME: read one time step a line, numbers with blanks between them, and write the outputs of each. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recurrent.h"

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

static int step(RecurrentSession *session, const RecurrentModel *model, const double *numbers, float *outputs)
{
    float floats[model->input_size];
    int64_t tokens[model->input_size];
    for (size_t i = 0; i < model->input_size; i++) {
        floats[i] = (float)numbers[i];
        if (!model->token_ids) continue;
        if (!(fabs(numbers[i]) < 0x1p53) || numbers[i] != floor(numbers[i])) return EINVAL;
        tokens[i] = (int64_t)numbers[i];
    }
    RecurrentInputs inputs = model->token_ids ? recurrent_tokens(tokens, model->input_size)
                                              : recurrent_numbers(floats, model->input_size);
    return recurrent_step(session, inputs, outputs, model->output_size);
}

static int stream(RecurrentSession *session, const RecurrentModel *model)
{
    double numbers[model->input_size];
    float outputs[model->output_size];
    char *line = NULL;
    size_t capacity = 0;
    int problem = 0;
    for (long at = 1; !problem && getline(&line, &capacity, stdin) > 0; at++) {
        long count = parse(line, numbers, (long)model->input_size);
        problem = count == (long)model->input_size ? step(session, model, numbers, outputs) : EINVAL;
        if (problem == EDOM)
            fprintf(stderr, "error: line %ld: expected token ids from 0 to %zu, got %s", at, model->vocabulary_size - 1, line);
        else if (problem)
            fprintf(stderr, "error: line %ld: expected %zu %s with blanks between them, got %s", at, model->input_size,
                    model->token_ids ? "token ids" : "numbers", line);
        for (size_t i = 0; !problem && i < model->output_size; i++)
            printf("%.9g%c", outputs[i], i + 1 < model->output_size ? ' ' : '\n');
        fflush(stdout);
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
    int failed = stream(session, model);
    recurrent_close(session);
    return failed;
}
