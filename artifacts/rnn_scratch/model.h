/* rnn_scratch: a recurrent net as C, written by rnn-export 0.1.0.

   Compile model.c with your program: cc -O2 -march=native model.c yours.c. Without -march, the
   AVX-512 or AVX2 of an x86-64 processor is found at run time. No dependencies, no allocation,
   no locks and no globals that change: any number of threads may call. */
#ifndef RNN_SCRATCH_H
#define RNN_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

#define RNN_SCRATCH_STATE_SIZE 32 /* floats for each row of the batch */
#define RNN_SCRATCH_INPUT_SIZE 16 /* numbers for each row and time step */
#define RNN_SCRATCH_OUTPUT_SIZE 1 /* numbers for each row and time step */

/* 1: one row and one time step at a time, for one kind of processor: little stack and code. So it is
   where the compiler knows of no operating system and no vectors, and on each Cortex-M.
   -DRNN_SCRATCH_SMALL=0 or =1, for all files that include this one, says otherwise. */
#ifndef RNN_SCRATCH_SMALL
#if defined(__unix__) || defined(__APPLE__) || defined(_WIN32) || defined(__SSE__) || \
    defined(__ARM_NEON) || defined(__wasm_simd128__) || defined(__riscv_vector)
#define RNN_SCRATCH_SMALL 0
#else
#define RNN_SCRATCH_SMALL 1
#endif
#endif

/* Bytes of stack for a call, at the most, as GCC and clang compile it with -O1 or more. */
#if RNN_SCRATCH_SMALL
#define RNN_SCRATCH_STACK_SIZE 1792
#else
#define RNN_SCRATCH_STACK_SIZE 49536
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Run the net over some time steps; one step is a call with steps = 1.

   steps       time steps; with none, only the state is written
   batch       rows; each gives the same bits in any batch, and wherever its sequence is cut
   inputs      float32 [time, batch, 16]
   state_in    the leaves of the state one after another:
     state_0: float32 [batch, 32]
   outputs     float32 [time, batch, 1]
   state_out   the state after the last time step; it may be state_in
   Arrays are dense, the last axis varies fastest, and do not overlap but for the two states.
   Their sizes in bytes have to fit in a size_t. */
void rnn_scratch_run(size_t steps, size_t batch, const float *inputs, const float *state_in, float *outputs,
        float *state_out);

/* Run some rows of the batch only: as many as `rows`, from number `first` on. All else is that of the whole batch.
   What belongs to other rows is neither read nor written: threads may share a batch, and each take some of its rows. */
void rnn_scratch_run_rows(size_t first, size_t rows, size_t steps, size_t batch, const float *inputs,
        const float *state_in, float *outputs, float *state_out);

/* Write the state that a sequence begins with, for a batch. */
void rnn_scratch_initial_state(size_t batch, float *state);

/* Name the model, and what wrote it. */
const char *rnn_scratch_version(void);

#ifdef __cplusplus
}
#endif
#endif
