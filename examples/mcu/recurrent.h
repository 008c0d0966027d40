/* The models of this program as a table, for what runs any of them: tests, measurements. */
#ifndef RECURRENT_H
#define RECURRENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

typedef struct {
    const void *values;
} RecurrentInput;

typedef struct {
    void *values;
} RecurrentOutput;

typedef struct {
    const char *name;
    size_t input_count, output_count;
    const RecurrentTensor *inputs, *outputs; /* in the manifest's order */
    size_t state_size;                       /* floats for each row */
    size_t stack_size;                       /* bytes that a call takes, at the most */
    size_t workspace_size;                   /* floats for each row that a call takes as well; 0: none */
    float *workspace;                        /* those of one row; NULL: none */
    const char *const *vocabulary; /* the character of each token id, NULL at the end; NULL: not a text model */
    void (*run)(size_t steps, size_t batch, const RecurrentInput *inputs, const float *state_in,
                const RecurrentOutput *outputs, float *state_out, float *workspace);
    void (*initial_state)(size_t batch, float *state);
} RecurrentModel;

/* The models of this program, a NULL name at the end: models.c. */
extern const RecurrentModel recurrent_models[];

/* A call with its memory, which is test data: extra() of board.h. */
typedef struct {
    const RecurrentModel *model;
    size_t steps, batch;
    RecurrentInput *inputs;
    RecurrentOutput *outputs;
    float *state;     /* read and replaced */
    float *workspace; /* the model's own, if there is one row */
} RecurrentCall;

/* Find a model by its name; the program ends if there is none. */
const RecurrentModel *recurrent_find(const char *name);

/* Give a call whose inputs and outputs are zeros, and whose state is the initial one. */
RecurrentCall recurrent_call(const RecurrentModel *model, size_t steps, size_t batch);

/* Give the bytes of a tensor in a call. */
size_t recurrent_bytes(const RecurrentTensor *tensor, const RecurrentCall *call);

void recurrent_run(const RecurrentCall *call);

#endif
