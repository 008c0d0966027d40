/* Written by `rnn-export scaffold`: the names and sizes of the models. */
#include "recurrent.h"

#include "models/char_rnn/model.h"
#include "models/rnn_scratch/model.h"

static void run_char_rnn(size_t steps, size_t batch, const void *inputs, const float *state_in,
    float *outputs, float *state_out)
{
    char_rnn_run(steps, batch, (const int64_t *)inputs, state_in, outputs, state_out);
}

static const char *const char_rnn_vocabulary[] = {
    "\012", " ", "!", "\"", "#", "%", "&", "'", "(", ")", "*", "+", ",", "-", ".", "/",
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", ":", ";", "<", "=", ">", "?",
    "@", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O",
    "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z", "[", "\\", "]", "^", "_",
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
    "q", "r", "s", "t", "u", "v", "w", "x", "y", "z", "{", "|", "}", "~",
    NULL};

static void run_rnn_scratch(size_t steps, size_t batch, const void *inputs, const float *state_in,
    float *outputs, float *state_out)
{
    rnn_scratch_run(steps, batch, (const float *)inputs, state_in, outputs, state_out);
}

const RecurrentModel recurrent_models[] = {
    {.name = "char_rnn",
     .token_ids = true,
     .input_size = CHAR_RNN_INPUT_SIZE,
     .output_size = CHAR_RNN_OUTPUT_SIZE,
     .state_size = CHAR_RNN_STATE_SIZE,
     .every_step = true,
     .vocabulary_size = CHAR_RNN_VOCABULARY_SIZE,
     .vocabulary = char_rnn_vocabulary,
     .run = run_char_rnn,
     .initial_state = char_rnn_initial_state},
    {.name = "rnn_scratch",
     .token_ids = false,
     .input_size = RNN_SCRATCH_INPUT_SIZE,
     .output_size = RNN_SCRATCH_OUTPUT_SIZE,
     .state_size = RNN_SCRATCH_STATE_SIZE,
     .every_step = true,
     .vocabulary_size = 0,
     .vocabulary = NULL,
     .run = run_rnn_scratch,
     .initial_state = rnn_scratch_initial_state},
    {.name = NULL},
};
