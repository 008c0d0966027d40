/* generate NAME LENGTH SEED PROMPT: continue a text, one character at a time, the state fed back. */
#include <string.h>

#include "board.h"
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

/* e^x for x <= 0, without a C library: (e^(x/1024))^1024, the inner one by its series. */
static double exponential(double x)
{
    const double part = x / 1024;
    double sum = 0, factor = 1;
    if (x < -700) return 0;
    for (int n = 12; n > 0; n--) sum = (sum + 1) * part / n; /* e^part - 1, which keeps its digits */
    for (int n = 0; n < 10; n++) sum = sum * (sum + 2);
    return factor + sum;
}

/* Draw a token from the softmax of the logits, by where a uniform number falls in its sum. */
static size_t choose(const float *logits, double *cumulative, size_t count, double uniform)
{
    double sum = 0, largest = logits[0];
    for (size_t i = 0; i < count; i++) largest = logits[i] > largest ? logits[i] : largest;
    for (size_t i = 0; i < count; i++) cumulative[i] = sum += exponential(logits[i] / TEMPERATURE - largest / TEMPERATURE);
    size_t token = 0;
    while (token + 1 < count && !(cumulative[token] > uniform * sum)) token++;
    return token;
}

/* Give the token id of the character at the front of a text, and how many bytes it has; -1 if there is none. */
static int64_t token_of(const RecurrentModel *model, const char *text, size_t *bytes)
{
    for (int64_t token = 0; model->vocabulary[token]; token++) {
        const char *character = model->vocabulary[token];
        for (*bytes = 0; character[*bytes] && character[*bytes] == text[*bytes];) ++*bytes;
        if (!character[*bytes]) return token;
    }
    return -1;
}

static uint32_t number(const char *text)
{
    uint32_t found = 0;
    while (*text >= '0' && *text <= '9') found = found * 10 + (uint32_t)(*text++ - '0');
    return found;
}

int main(void)
{
    char *words[5];
    if (arguments(words, 5) != 5) {
        print("usage: generate NAME LENGTH SEED PROMPT\n");
        return 2;
    }
    const RecurrentModel *model = recurrent_find(words[1]);
    if (!model->vocabulary || model->input_count != 1 || model->output_count != 1) {
        print("error: expected a model with a vocabulary\n");
        return 1;
    }
    const RecurrentCall call = recurrent_call(model, 1, 1);
    int64_t *token = (int64_t *)call.inputs[0].values;
    const float *logits = call.outputs[0].values;
    const size_t count = model->outputs[0].size;
    double *cumulative = extra(count * sizeof *cumulative);
    size_t bytes;
    for (const char *rest = words[4]; *rest; rest += bytes) {
        *token = token_of(model, rest, &bytes);
        if (*token < 0) {
            print("error: expected a prompt of the model's vocabulary\n");
            return 1;
        }
        recurrent_run(&call);
    }
    print(words[4]);
    uint32_t seed = number(words[3]);
    for (uint32_t left = number(words[2]); left; left--) {
        *token = (int64_t)choose(logits, cumulative, count, mulberry32(&seed));
        print(model->vocabulary[*token]);
        recurrent_run(&call);
    }
    print("\n");
    return 0;
}
