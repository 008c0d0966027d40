/* A recurrent net from a bundle's model.c: run whole sequences, or stream them step by step.

   Functions that can fail give 0, or an error number of <errno.h> for strerror(): EINVAL where a call has the wrong
   type or number of values, EDOM where a token id is not in the vocabulary or a truth value is none, ENOMEM. Nothing is
   shared between calls: any number of threads may call at a time, each with a session of its own. */
#ifndef RECURRENT_H
#define RECURRENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a tensor holds: float, int64_t, or truth values, which are int32_t: RECURRENT_TRUE, or 0. */
typedef enum { RECURRENT_FLOAT, RECURRENT_INT64, RECURRENT_BOOL } RecurrentType;
enum { RECURRENT_TRUE = -1 };

/* A tensor of a call. */
typedef struct {
    const char *name;
    RecurrentType type;
    size_t size;            /* numbers for each row, and for each time step if it has such */
    bool every_step;        /* for every time step; else the same for a whole call, or what the last time step gives */
    size_t vocabulary_size; /* token ids are 0 to vocabulary_size - 1; 0: not known, or no ids */
} RecurrentTensor;

/* Values of a tensor, and how many there are. */
typedef struct {
    const void *values;
    size_t count;
    RecurrentType type;
} RecurrentInput;

typedef struct {
    void *values;
    size_t count;
    RecurrentType type;
} RecurrentOutput;

typedef struct {
    const char *name;
    size_t input_count, output_count;
    const RecurrentTensor *inputs, *outputs; /* in the manifest's order */
    size_t state_size;                       /* floats for each row */
    size_t stack_size;                       /* bytes that a call takes, at the most */
    const char *const *vocabulary; /* the character of each token id, NULL at the end; NULL: not a text model */
    void (*run)(size_t steps, size_t batch, const RecurrentInput *inputs, const float *state_in,
                const RecurrentOutput *outputs, float *state_out);
    void (*initial_state)(size_t batch, float *state);
} RecurrentModel;

/* The models of this program, a NULL name at the end: models.c. */
extern const RecurrentModel recurrent_models[];

RecurrentInput recurrent_numbers(const float *values, size_t count);
RecurrentInput recurrent_tokens(const int64_t *values, size_t count);
RecurrentInput recurrent_flags(const int32_t *values, size_t count);

/* Find a model by its name; NULL if there is none. */
const RecurrentModel *recurrent_find(const char *name);

/* Tell how many values a tensor has in a call. */
size_t recurrent_count(const RecurrentTensor *tensor, size_t steps, size_t batch);

/* Give the place of the first token id that is not in the vocabulary; inputs.count if all are, or it is not known. */
size_t recurrent_unknown_token(const RecurrentTensor *tensor, RecurrentInput inputs);

/* Run some time steps of a batch: inputs [time, batch, size], outputs [time, batch, size], both with the axes in the
   model's own order; state [batch, state_size], its leaves one after another, is read and replaced. For a model of one
   tensor of inputs and one of outputs, which are floats; others are EINVAL. */
int recurrent_run(const RecurrentModel *model, size_t steps, size_t batch, RecurrentInput inputs, float *state,
                  float *outputs, size_t output_count);

/* The same for any model: model->input_count tensors to model->output_count, in the manifest's order. */
int recurrent_run_all(const RecurrentModel *model, size_t steps, size_t batch, const RecurrentInput *inputs,
                      float *state, const RecurrentOutput *outputs);

/* A sequence of time steps for some rows, and the state in between. */
typedef struct RecurrentSession RecurrentSession;

/* Begin a session in the initial state; NULL, and errno, if there is no memory. End it with recurrent_close. */
RecurrentSession *recurrent_open(const RecurrentModel *model, size_t batch);
void recurrent_close(RecurrentSession *session);

/* Take one time step: inputs [batch, size], outputs [batch, size]. After an error the state is as before. */
int recurrent_step(RecurrentSession *session, RecurrentInput inputs, float *outputs, size_t output_count);

/* The same for any model; what is the same for a whole call goes into every step. */
int recurrent_step_all(RecurrentSession *session, const RecurrentInput *inputs, const RecurrentOutput *outputs);

/* Go on from a state of batch * state_size floats; from the initial state if it is NULL. */
void recurrent_reset(RecurrentSession *session, const float *state);

/* Give the state, batch * state_size floats, which is the session's own. */
const float *recurrent_state(const RecurrentSession *session);

#ifdef __cplusplus
}
#endif
#endif
