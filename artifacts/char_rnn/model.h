/* char_rnn: a recurrent net as C, written by rnn-export 0.1.0.

   Compile model.c with your program: cc -O2 -march=native model.c yours.c. Without -march, the
   AVX-512 or AVX2 of an x86-64 processor is found at run time. No dependencies, no allocation,
   no locks and no globals that change: any number of threads may call. */
#ifndef CHAR_RNN_H
#define CHAR_RNN_H

#include <stddef.h>
#include <stdint.h>

#define CHAR_RNN_STATE_SIZE 128 /* floats for each row of the batch */
#define CHAR_RNN_INPUT_SIZE 1 /* numbers for each row and time step */
#define CHAR_RNN_OUTPUT_SIZE 94 /* numbers for each row and time step */
#define CHAR_RNN_VOCABULARY_SIZE 94 /* token ids are 0 to 93 */

/* 1: one row and one time step at a time, for one kind of processor: little stack and code. So it is
   where the compiler knows of no operating system and no vectors, and on each Cortex-M.
   -DCHAR_RNN_SMALL=0 or =1, for all files that include this one, says otherwise. */
#ifndef CHAR_RNN_SMALL
#if defined(__unix__) || defined(__APPLE__) || defined(_WIN32) || defined(__SSE__) || \
    defined(__ARM_NEON) || defined(__wasm_simd128__) || defined(__riscv_vector)
#define CHAR_RNN_SMALL 0
#else
#define CHAR_RNN_SMALL 1
#endif
#endif

/* Bytes of stack for a call, at the most, as GCC and clang compile it with -O1 or more. */
#if CHAR_RNN_SMALL
#define CHAR_RNN_STACK_SIZE 6784
#else
#define CHAR_RNN_STACK_SIZE 62592
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Run the net over some time steps; one step is a call with steps = 1.

   steps       time steps; with none, only the state is written
   batch       rows; each gives the same bits in any batch, and wherever its sequence is cut
   inputs      int64 [time, batch]
   state_in    the leaves of the state one after another:
     state_0: float32 [batch, 128]
   outputs     float32 [time, batch, 94]
   state_out   the state after the last time step; it may be state_in
   Check token ids before a call: one that is not from 0 to CHAR_RNN_VOCABULARY_SIZE - 1 is not
   refused here. It counts as none, its part of the sums is zero, and no memory outside of the
   weights is read.
   Arrays are dense, the last axis varies fastest, and do not overlap but for the two states.
   Their sizes in bytes have to fit in a size_t. */
void char_rnn_run(size_t steps, size_t batch, const int64_t *inputs, const float *state_in, float *outputs,
        float *state_out);

/* Run some rows of the batch only: as many as `rows`, from number `first` on. All else is that of the whole batch.
   What belongs to other rows is neither read nor written: threads may share a batch, and each take some of its rows. */
void char_rnn_run_rows(size_t first, size_t rows, size_t steps, size_t batch, const int64_t *inputs,
        const float *state_in, float *outputs, float *state_out);

/* Write the state that a sequence begins with, for a batch. */
void char_rnn_initial_state(size_t batch, float *state);

/* Name the model, and what wrote it. */
const char *char_rnn_version(void);

#ifdef __cplusplus
}
#endif
#endif
