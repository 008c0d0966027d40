// Written by `rnn-export scaffold`: the names and sizes of the models.

package recurrent

/*
#cgo CFLAGS: -O2
#include "models/char_rnn/model.h"
#include "models/rnn_scratch/model.h"
*/
import "C"
import "unsafe"

// Models are the models of this program.
var Models = []*Model{
	{
		name:           "char_rnn",
		tokenIDs:       true,
		inputSize:      C.CHAR_RNN_INPUT_SIZE,
		outputSize:     C.CHAR_RNN_OUTPUT_SIZE,
		stateSize:      C.CHAR_RNN_STATE_SIZE,
		everyStep:      true,
		vocabularySize: C.CHAR_RNN_VOCABULARY_SIZE,
		vocabulary:     "\n !\"#%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_abcdefghijklmnopqrstuvwxyz{|}~",
		run: func(steps, batch int, inputs unsafe.Pointer, stateIn, outputs, stateOut *float32) {
			C.char_rnn_run(C.size_t(steps), C.size_t(batch), (*C.int64_t)(inputs), (*C.float)(stateIn),
				(*C.float)(outputs), (*C.float)(stateOut))
		},
		initialState: func(batch int, state *float32) {
			C.char_rnn_initial_state(C.size_t(batch), (*C.float)(state))
		},
	},
	{
		name:           "rnn_scratch",
		tokenIDs:       false,
		inputSize:      C.RNN_SCRATCH_INPUT_SIZE,
		outputSize:     C.RNN_SCRATCH_OUTPUT_SIZE,
		stateSize:      C.RNN_SCRATCH_STATE_SIZE,
		everyStep:      true,
		vocabularySize: 0,
		vocabulary:     "",
		run: func(steps, batch int, inputs unsafe.Pointer, stateIn, outputs, stateOut *float32) {
			C.rnn_scratch_run(C.size_t(steps), C.size_t(batch), (*C.float)(inputs), (*C.float)(stateIn),
				(*C.float)(outputs), (*C.float)(stateOut))
		},
		initialState: func(batch int, state *float32) {
			C.rnn_scratch_initial_state(C.size_t(batch), (*C.float)(state))
		},
	},
}
