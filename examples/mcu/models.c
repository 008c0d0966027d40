/* Written by `rnn-export scaffold`: the names and sizes of the models. */
#include "recurrent.h"

#include "models/char_rnn/model.h"
#include "models/rnn_scratch/model.h"

static void run_char_rnn(size_t steps, size_t batch, const RecurrentInput *inputs, const float *state_in,
    const RecurrentOutput *outputs, float *state_out, float *workspace)
{
    (void)workspace;
    char_rnn_run(steps, batch, (const int64_t *)inputs[0].values, state_in, (float *)outputs[0].values, state_out);
}

static const RecurrentTensor char_rnn_inputs[] = {
    {.name = "inputs",
     .type = RECURRENT_INT64,
     .size = CHAR_RNN_INPUT_SIZE,
     .every_step = true,
     .vocabulary_size = CHAR_RNN_VOCABULARY_SIZE},
};

static const RecurrentTensor char_rnn_outputs[] = {
    {.name = "outputs",
     .type = RECURRENT_FLOAT,
     .size = CHAR_RNN_OUTPUT_SIZE,
     .every_step = true,
     .vocabulary_size = 0},
};

static const char *const char_rnn_vocabulary[] = {
    "\012", " ", "!", "\"", "#", "%", "&", "'", "(", ")", "*", "+", ",", "-", ".", "/",
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", ":", ";", "<", "=", ">", "?",
    "@", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O",
    "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z", "[", "\\", "]", "^", "_",
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
    "q", "r", "s", "t", "u", "v", "w", "x", "y", "z", "{", "|", "}", "~",
    NULL};

static void run_rnn_scratch(size_t steps, size_t batch, const RecurrentInput *inputs, const float *state_in,
    const RecurrentOutput *outputs, float *state_out, float *workspace)
{
    (void)workspace;
    rnn_scratch_run(steps, batch, (const float *)inputs[0].values, state_in, (float *)outputs[0].values, state_out);
}

static const RecurrentTensor rnn_scratch_inputs[] = {
    {.name = "inputs",
     .type = RECURRENT_FLOAT,
     .size = RNN_SCRATCH_INPUT_SIZE,
     .every_step = true,
     .vocabulary_size = 0},
};

static const RecurrentTensor rnn_scratch_outputs[] = {
    {.name = "outputs",
     .type = RECURRENT_FLOAT,
     .size = RNN_SCRATCH_OUTPUT_SIZE,
     .every_step = true,
     .vocabulary_size = 0},
};

const RecurrentModel recurrent_models[] = {
    {.name = "char_rnn",
     .input_count = 1,
     .output_count = 1,
     .inputs = char_rnn_inputs,
     .outputs = char_rnn_outputs,
     .state_size = CHAR_RNN_STATE_SIZE,
     .stack_size = CHAR_RNN_STACK_SIZE,
     .workspace_size = 0,
     .workspace = NULL,
     .vocabulary = char_rnn_vocabulary,
     .run = run_char_rnn,
     .initial_state = char_rnn_initial_state},
    {.name = "rnn_scratch",
     .input_count = 1,
     .output_count = 1,
     .inputs = rnn_scratch_inputs,
     .outputs = rnn_scratch_outputs,
     .state_size = RNN_SCRATCH_STATE_SIZE,
     .stack_size = RNN_SCRATCH_STACK_SIZE,
     .workspace_size = 0,
     .workspace = NULL,
     .vocabulary = NULL,
     .run = run_rnn_scratch,
     .initial_state = rnn_scratch_initial_state},
    {.name = NULL},
};
