/* generate NAME PROMPT LENGTH SEED: continue a text, one character at a time, the state fed back. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recurrent.h"

static const double TEMPERATURE = 0.6; /* below 1: safer; above 1: wilder */

/* Draw a uniform number in [0, 1): Tommy Ettinger's mulberry32, public domain. */
static double mulberry32(uint32_t *seed)
{
    uint32_t mixed = *seed += 0x6D2B79F5;
    mixed = (mixed ^ mixed >> 15) * (mixed | 1);
    mixed ^= mixed + (mixed ^ mixed >> 7) * (mixed | 61);
    return (mixed ^ mixed >> 14) / 0x1p32;
}

/* Draw a token from the softmax of the logits, by where a uniform number falls in its sum. */
static size_t choose(const float *logits, size_t count, double uniform)
{
    double cumulative[count], sum = 0, largest = -INFINITY;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, logits[i] / TEMPERATURE);
    for (size_t i = 0; i < count; i++) cumulative[i] = sum += exp(logits[i] / TEMPERATURE - largest);
    size_t token = 0;
    while (token + 1 < count && !(cumulative[token] > uniform * sum)) token++;
    return token;
}

/* Give the token id of the character at the front of a text, and how many bytes it has; -1 if there is none. */
static int64_t token_of(const RecurrentModel *model, const char *text, size_t *bytes)
{
    for (int64_t token = 0; model->vocabulary[token]; token++) {
        *bytes = strlen(model->vocabulary[token]);
        if (!strncmp(text, model->vocabulary[token], *bytes)) return token;
    }
    return -1;
}

static int generate(RecurrentSession *session, const RecurrentModel *model, const char *prompt, long length,
                    uint32_t seed)
{
    size_t count = model->outputs[0].size;
    float logits[count];
    size_t bytes;
    for (const char *rest = prompt; *rest; rest += bytes) {
        int64_t token = token_of(model, rest, &bytes);
        if (token < 0) {
            fprintf(stderr, "error: expected characters of the model's vocabulary, got %s\n", rest);
            return 1;
        }
        recurrent_step(session, recurrent_tokens(&token, 1), logits, count);
    }
    fputs(prompt, stdout);
    for (long i = 0; i < length; i++) {
        int64_t token = (int64_t)choose(logits, count, mulberry32(&seed));
        fputs(model->vocabulary[token], stdout);
        recurrent_step(session, recurrent_tokens(&token, 1), logits, count);
    }
    putchar('\n');
    return 0;
}

int main(int count, char **arguments)
{
    if (count != 5) {
        fprintf(stderr, "usage: %s NAME PROMPT LENGTH SEED\n", arguments[0]);
        return 2;
    }
    const RecurrentModel *model = recurrent_find(arguments[1]);
    if (!model || !model->vocabulary || model->input_count != 1 || model->output_count != 1 || !*arguments[2]) {
        fprintf(stderr, "error: expected a model with a vocabulary and a prompt, got %s and \"%s\"\n", arguments[1],
                arguments[2]);
        return 1;
    }
    RecurrentSession *session = recurrent_open(model, 1);
    if (!session) {
        perror("error");
        return 1;
    }
    int failed = generate(session, model, arguments[2], atol(arguments[3]), (uint32_t)strtoul(arguments[4], NULL, 10));
    recurrent_close(session);
    return failed;
}
