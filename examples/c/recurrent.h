/* A recurrent net from a bundle's model.c: run whole sequences, or stream them step by step.

   Functions that can fail give 0, or an error number of <errno.h> for strerror(): EINVAL where a call has the wrong
   type or number of values, EDOM where a token id is not in the vocabulary, ENOMEM. Nothing is shared between calls: any
   number of threads may call at a time, each with a session of its own. */
#ifndef RECURRENT_H
#define RECURRENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *name;
    bool token_ids;                 /* inputs are int64_t token ids, not floats */
    size_t input_size, output_size; /* numbers for each row and time step */
    size_t state_size;              /* floats for each row */
    bool every_step;                /* outputs of every time step, not of the last one alone */
    size_t vocabulary_size;         /* token ids are 0 to vocabulary_size - 1; 0: not known, or no ids */
    const char *const *vocabulary;  /* the character of each token id, NULL at the end; NULL: not a text model */
    void (*run)(size_t steps, size_t batch, const void *inputs, const float *state_in, float *outputs,
                float *state_out);
    void (*initial_state)(size_t batch, float *state);
} RecurrentModel;

/* The models of this program, a NULL name at the end: models.c. */
extern const RecurrentModel recurrent_models[];

/* Inputs of either type, and how many numbers there are. */
typedef struct {
    const void *values;
    size_t count;
    bool token_ids;
} RecurrentInputs;

RecurrentInputs recurrent_numbers(const float *values, size_t count);
RecurrentInputs recurrent_tokens(const int64_t *values, size_t count);

/* Find a model by its name; NULL if there is none. */
const RecurrentModel *recurrent_find(const char *name);

/* Tell how many numbers a call gives. */
size_t recurrent_output_count(const RecurrentModel *model, size_t steps, size_t batch);

/* Give the place of the first token id that is not in the vocabulary; inputs.count if all are, or it is not known. */
size_t recurrent_unknown_token(const RecurrentModel *model, RecurrentInputs inputs);

/* Run some time steps of a batch: inputs [time, batch, input_size], outputs [time, batch, output_size], both with the
   axes in the model's own order; state [batch, state_size], its leaves one after another, is read and replaced. */
int recurrent_run(const RecurrentModel *model, size_t steps, size_t batch, RecurrentInputs inputs, float *state,
                  float *outputs, size_t output_count);

/* A sequence of time steps for some rows, and the state in between. */
typedef struct RecurrentSession RecurrentSession;

/* Begin a session in the initial state; NULL, and errno, if there is no memory. End it with recurrent_close. */
RecurrentSession *recurrent_open(const RecurrentModel *model, size_t batch);
void recurrent_close(RecurrentSession *session);

/* Take one time step: inputs [batch, input_size], outputs [batch, output_size]. After an error the state is as before. */
int recurrent_step(RecurrentSession *session, RecurrentInputs inputs, float *outputs, size_t output_count);

/* Go on from a state of batch * state_size floats; from the initial state if it is NULL. */
void recurrent_reset(RecurrentSession *session, const float *state);

/* Give the state, batch * state_size floats, which is the session's own. */
const float *recurrent_state(const RecurrentSession *session);

#ifdef __cplusplus
}
#endif
#endif
