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
		name: "char_rnn",
		inputs: []Tensor{
			{
				Name:           "inputs",
				Kind:           Int64,
				Size:           C.CHAR_RNN_INPUT_SIZE,
				EveryStep:      true,
				VocabularySize: C.CHAR_RNN_VOCABULARY_SIZE,
			},
		},
		outputs: []Tensor{
			{
				Name:           "outputs",
				Kind:           Float32,
				Size:           C.CHAR_RNN_OUTPUT_SIZE,
				EveryStep:      true,
				VocabularySize: 0,
			},
		},
		stateSize:  C.CHAR_RNN_STATE_SIZE,
		vocabulary: "\n !\"#%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_abcdefghijklmnopqrstuvwxyz{|}~",
		run: func(steps, batch int, inputs []unsafe.Pointer, stateIn *float32, outputs []unsafe.Pointer, stateOut *float32) {
			C.char_rnn_run(C.size_t(steps), C.size_t(batch), (*C.int64_t)(inputs[0]), (*C.float)(stateIn),
				(*C.float)(outputs[0]), (*C.float)(stateOut))
		},
		initialState: func(batch int, state *float32) {
			C.char_rnn_initial_state(C.size_t(batch), (*C.float)(state))
		},
	},
	{
		name: "rnn_scratch",
		inputs: []Tensor{
			{
				Name:           "inputs",
				Kind:           Float32,
				Size:           C.RNN_SCRATCH_INPUT_SIZE,
				EveryStep:      true,
				VocabularySize: 0,
			},
		},
		outputs: []Tensor{
			{
				Name:           "outputs",
				Kind:           Float32,
				Size:           C.RNN_SCRATCH_OUTPUT_SIZE,
				EveryStep:      true,
				VocabularySize: 0,
			},
		},
		stateSize:  C.RNN_SCRATCH_STATE_SIZE,
		vocabulary: "",
		run: func(steps, batch int, inputs []unsafe.Pointer, stateIn *float32, outputs []unsafe.Pointer, stateOut *float32) {
			C.rnn_scratch_run(C.size_t(steps), C.size_t(batch), (*C.float)(inputs[0]), (*C.float)(stateIn),
				(*C.float)(outputs[0]), (*C.float)(stateOut))
		},
		initialState: func(batch int, state *float32) {
			C.rnn_scratch_initial_state(C.size_t(batch), (*C.float)(state))
		},
	},
}
