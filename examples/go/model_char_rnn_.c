/* Written by `rnn-export scaffold`: one C file for each model. */
#include "models/char_rnn/model.c"
