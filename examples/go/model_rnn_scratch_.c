/* Written by `rnn-export scaffold`: one C file for each model. */
#include "models/rnn_scratch/model.c"
