/* golden FOLDER...: run a bundle's golden vectors, whole and step by step, and compare with eager PyTorch's results. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "recurrent.h"

enum { NAME = 256, ROUNDS = 11, STEPS = 1000, FORMAT_VERSION = 2 };

typedef struct {
    const RecurrentModel *model;
    const char *signature; /* of the manifest: inputs, state and outputs */
    const char *tensors;   /* the bytes of golden/tensors.bin */
    double worst, share;   /* the largest error, and the largest part of what is allowed */
    bool failed;
} Check;

/* A tensor: the sizes before, of and behind the time axis; with none, it is the same for all time steps, or of the last. */
typedef struct {
    char *data; /* of its own */
    const char *dtype;
    size_t outer, time, inner, width; /* width: bytes of an element */
    bool has_time;
} Tensor;

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory) {
        perror("error");
        exit(1);
    }
    return memory;
}

static char *read_file(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) {
        perror(path);
        exit(1);
    }
    long size = ftell(file);
    rewind(file);
    char *text = allocate((size_t)size + 1, 1);
    if (fread(text, 1, (size_t)size, file) != (size_t)size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    return text;
}

/* Make room for a tensor of the index as a call has it: truth values take four bytes. */
static Tensor room(const char *entry, const char *spec)
{
    const char *dtype = json_member(entry, "dtype"), *axis = json_first(json_member(spec, "shape"));
    Tensor result = {NULL, dtype, 1, 1, 1, json_is(dtype, "float64") || json_is(dtype, "int64") ? 8 : 4, false};
    for (const char *size = json_first(json_member(entry, "shape")); size; size = json_next(size)) {
        size_t count = (size_t)json_number(size);
        if (json_is(axis, "time")) {
            result.time = count;
            result.has_time = true;
        } else if (result.has_time)
            result.inner *= count;
        else
            result.outer *= count;
        axis = json_next(axis);
    }
    result.data = allocate(result.outer * result.time * result.inner, result.width);
    return result;
}

static size_t count_of(Tensor t)
{
    return t.outer * t.time * t.inner;
}

/* Tell which numbers of a large tensor the file holds: each first, second, third, ... one. */
static size_t every_of(const char *entry)
{
    const char *every = json_member(entry, "every");
    return every ? (size_t)json_number(every) : 1;
}

static Tensor read_tensor(const Check *check, const char *entry, const char *spec)
{
    Tensor result = room(entry, spec);
    const char *from = check->tensors + (size_t)json_number(json_member(entry, "offset"));
    for (size_t i = 0, every = every_of(entry); i < count_of(result); i += every)
        if (json_is(result.dtype, "bool"))
            ((int32_t *)result.data)[i] = *from++ ? RECURRENT_TRUE : 0;
        else {
            memcpy(result.data + i * result.width, from, result.width);
            from += result.width;
        }
    return result;
}

/* Make room for one time step of a tensor. */
static Tensor one_step(Tensor like)
{
    like.time = 1;
    like.data = allocate(count_of(like), like.width);
    return like;
}

/* Copy one time step out of a tensor, or into it: it lies in pieces if time is not its first axis. */
static void copy_step(Tensor whole, size_t at, Tensor step, bool out)
{
    size_t piece = whole.inner * whole.width;
    for (size_t i = 0; i < whole.outer; i++) {
        char *inside = whole.data + (i * whole.time + (whole.has_time ? at : 0)) * piece, *alone = step.data + i * piece;
        memcpy(out ? alone : inside, out ? inside : alone, piece);
    }
}

static double element(Tensor t, size_t i)
{
    if (json_is(t.dtype, "float64")) return ((const double *)t.data)[i];
    if (json_is(t.dtype, "int64")) return (double)((const int64_t *)t.data)[i];
    if (json_is(t.dtype, "bool")) return ((const int32_t *)t.data)[i] != 0;
    return ((const float *)t.data)[i];
}

/* Compare what was computed with a tensor of the index; an infinity is right where that is the same one. */
static void compare(Check *check, const char *one, const char *how, const char *name, Tensor got)
{
    const char *open = json_member(json_member(one, "undecided"), name);
    double allowed = json_number(json_member(json_member(one, "tolerance"), name));
    const char *entry = json_member(json_member(one, "float64"), name);
    Tensor expected = read_tensor(check, entry, NULL);
    Tensor undecided = open ? read_tensor(check, open, NULL) : (Tensor){0}; /* by rounding: either value is right */
    for (size_t i = 0, every = every_of(entry); i < count_of(expected); i += every) {
        double want = element(expected, i), have = element(got, i), error = have == want ? 0 : fabs(have - want);
        if (open && element(undecided, i)) continue;
        if (error > check->worst) check->worst = error;
        if (error > check->share * allowed) check->share = error / allowed;
        if (error <= allowed) continue; /* not so for NaN */
        char id[NAME];
        json_string(json_member(one, "name"), id, sizeof id);
        if (!check->failed)
            fprintf(stderr, "%s: %s %s: %s[%zu]: expected %.9g, got %.9g, off by %.1e, allowed %.1e\n",
                    check->model->name, id, how, name, i, want, have, error, allowed);
        check->failed = true;
    }
    free(undecided.data);
    free(expected.data);
}

/* Compare the leaves of a state, which lie one after another. */
static void compare_state(Check *check, const char *one, const char *how, const float *state)
{
    for (const char *leaf = json_first(json_member(check->signature, "state")); leaf; leaf = json_next(leaf)) {
        char name[NAME];
        json_string(json_member(leaf, "output_name"), name, sizeof name);
        Tensor got = room(json_member(json_member(one, "float32"), name), NULL);
        size_t bytes = count_of(got) * got.width;
        memcpy(got.data, state, bytes);
        compare(check, one, how, name, got);
        state += bytes / sizeof *state;
        free(got.data);
    }
}

/* Put the leaves of a case's state one after another, as model.c takes them. */
static float *load_state(const Check *check, const char *one)
{
    size_t batch = (size_t)json_number(json_member(one, "batch"));
    float *state = allocate(batch * check->model->state_size, sizeof *state), *to = state;
    for (const char *leaf = json_first(json_member(check->signature, "state")); leaf; leaf = json_next(leaf)) {
        char name[NAME];
        json_string(json_member(leaf, "name"), name, sizeof name);
        Tensor from = read_tensor(check, json_member(json_member(one, "call"), name), NULL);
        size_t bytes = count_of(from) * from.width;
        memcpy(to, from.data, bytes);
        to += bytes / sizeof *to;
        free(from.data);
    }
    return state;
}

static void fail(const Check *check, const char *what, int number)
{
    fprintf(stderr, "error: %s: %s: %s\n", check->model->name, what, strerror(number));
    exit(1);
}

/* The tensors of a case: those of all time steps, and room for those of one; and how a call takes both. */
typedef struct {
    Tensor whole, step;
} Pair;

typedef struct {
    const RecurrentModel *model;
    size_t time, batch;
    Pair *in, *out;
    RecurrentInput *inputs, *step_inputs;
    RecurrentOutput *outputs, *step_outputs;
} Case;

/* Find what the manifest says of a tensor. */
static const char *spec_of(const Check *check, const char *part, const char *name)
{
    const char *spec = json_first(json_member(check->signature, part));
    while (spec && !json_is(json_member(spec, "name"), name)) spec = json_next(spec);
    return spec;
}

static Case new_case(const Check *check, const char *one)
{
    const RecurrentModel *model = check->model;
    Case call = {.model = model, .time = (size_t)json_number(json_member(one, "time")),
                 .batch = (size_t)json_number(json_member(one, "batch")),
                 .in = allocate(model->input_count, sizeof(Pair)), .out = allocate(model->output_count, sizeof(Pair)),
                 .inputs = allocate(model->input_count, sizeof(RecurrentInput)),
                 .step_inputs = allocate(model->input_count, sizeof(RecurrentInput)),
                 .outputs = allocate(model->output_count, sizeof(RecurrentOutput)),
                 .step_outputs = allocate(model->output_count, sizeof(RecurrentOutput))};
    for (size_t k = 0; k < model->input_count; k++) {
        const RecurrentTensor *tensor = &model->inputs[k];
        const char *entry = json_member(json_member(one, "call"), tensor->name);
        Tensor whole = read_tensor(check, entry, spec_of(check, "inputs", tensor->name)), step = one_step(whole);
        call.in[k] = (Pair){whole, step};
        call.inputs[k] = (RecurrentInput){whole.data, count_of(whole), tensor->type};
        call.step_inputs[k] = (RecurrentInput){step.data, count_of(step), tensor->type};
    }
    for (size_t k = 0; k < model->output_count; k++) {
        const RecurrentTensor *tensor = &model->outputs[k];
        const char *entry = json_member(json_member(one, "float32"), tensor->name);
        Tensor whole = room(entry, spec_of(check, "outputs", tensor->name)), step = one_step(whole);
        call.out[k] = (Pair){whole, step};
        call.outputs[k] = (RecurrentOutput){whole.data, count_of(whole), tensor->type};
        call.step_outputs[k] = (RecurrentOutput){step.data, count_of(step), tensor->type};
    }
    return call;
}

static void free_pairs(Pair *pairs, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        free(pairs[k].whole.data);
        free(pairs[k].step.data);
    }
    free(pairs);
}

static void free_case(Case call)
{
    free_pairs(call.in, call.model->input_count);
    free_pairs(call.out, call.model->output_count);
    free(call.inputs);
    free(call.step_inputs);
    free(call.outputs);
    free(call.step_outputs);
}

static void compare_all(Check *check, const char *one, const char *how, Case call, const float *state)
{
    for (size_t k = 0; k < call.model->output_count; k++)
        compare(check, one, how, call.model->outputs[k].name, call.out[k].whole);
    compare_state(check, one, how, state);
}

static void run_whole(Check *check, const char *one)
{
    Case call = new_case(check, one);
    float *state = load_state(check, one);
    int problem = recurrent_run_all(check->model, call.time, call.batch, call.inputs, state, call.outputs);
    if (problem) fail(check, "recurrent_run_all", problem);
    compare_all(check, one, "whole", call, state);
    free(state);
    free_case(call);
}

static RecurrentSession *open_session(const Check *check, size_t batch)
{
    RecurrentSession *session = recurrent_open(check->model, batch);
    if (!session) fail(check, "recurrent_open", ENOMEM);
    return session;
}

static void run_streamed(Check *check, const char *one)
{
    Case call = new_case(check, one);
    float *state = load_state(check, one);
    RecurrentSession *session = open_session(check, call.batch);
    recurrent_reset(session, state);
    for (size_t t = 0; t < call.time; t++) {
        for (size_t k = 0; k < call.model->input_count; k++) copy_step(call.in[k].whole, t, call.in[k].step, true);
        int problem = recurrent_step_all(session, call.step_inputs, call.step_outputs);
        if (problem) fail(check, "recurrent_step_all", problem);
        for (size_t k = 0; k < call.model->output_count; k++) copy_step(call.out[k].whole, t, call.out[k].step, false);
    }
    compare_all(check, one, "streamed", call, recurrent_state(session));
    recurrent_close(session);
    free(state);
    free_case(call);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int ascending(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

/* Measure the microseconds of a step of one row: the median of some rounds, the first of them to warm up. */
static double time_step(const Check *check)
{
    const RecurrentModel *model = check->model;
    RecurrentSession *session = open_session(check, 1);
    RecurrentInput *inputs = allocate(model->input_count, sizeof *inputs);
    RecurrentOutput *outputs = allocate(model->output_count, sizeof *outputs);
    for (size_t k = 0; k < model->input_count; k++) /* zeros, for any type */
        inputs[k] = (RecurrentInput){allocate(model->inputs[k].size, 8), model->inputs[k].size, model->inputs[k].type};
    for (size_t k = 0; k < model->output_count; k++)
        outputs[k] = (RecurrentOutput){allocate(model->outputs[k].size, 8), model->outputs[k].size, model->outputs[k].type};
    double rounds[ROUNDS + 1];
    for (int round = 0; round <= ROUNDS; round++) {
        double start = now();
        for (int i = 0; i < STEPS; i++) recurrent_step_all(session, inputs, outputs);
        rounds[round] = (now() - start) / STEPS;
    }
    qsort(rounds + 1, ROUNDS, sizeof *rounds, ascending);
    for (size_t k = 0; k < model->input_count; k++) free((void *)inputs[k].values);
    for (size_t k = 0; k < model->output_count; k++) free(outputs[k].values);
    free(outputs);
    free(inputs);
    recurrent_close(session);
    return rounds[1 + ROUNDS / 2];
}

/* Copy a folder's own name, which is what a program knows its model by. */
static void name_of(const char *folder, char *name, size_t room)
{
    const char *end = folder + strlen(folder);
    while (end > folder && end[-1] == '/') end--;
    const char *start = end;
    while (start > folder && start[-1] != '/') start--;
    snprintf(name, room, "%.*s", (int)(end - start), start);
}

/* Refuse a manifest of another format. */
static void check_manifest(const char *folder, const char *manifest)
{
    double version = json_number(json_member(manifest, "format_version"));
    if (version == FORMAT_VERSION) return;
    fprintf(stderr, "error: %s: expected manifest format %d, got %g; export and scaffold with one rnn-export\n", folder,
            FORMAT_VERSION, version);
    exit(1);
}

static bool check_bundle(const char *folder)
{
    char *manifest = read_file(folder, "manifest.json"), *index = read_file(folder, "golden/index.json");
    char *tensors = read_file(folder, "golden/tensors.bin"), name[NAME];
    check_manifest(folder, manifest);
    name_of(folder, name, sizeof name);
    Check check = {.model = recurrent_find(name), .tensors = tensors, .signature = json_member(manifest, "signature")};
    if (!check.model) {
        fprintf(stderr, "error: %s: expected a model of models.c, got %s\n", folder, name);
        exit(1);
    }
    int whole = 0, streamed = 0;
    for (const char *one = json_first(json_member(index, "cases")); one; one = json_next(one)) {
        run_whole(&check, one);
        whole++;
        if (!json_is(json_member(one, "kind"), "run")) continue;
        run_streamed(&check, one);
        streamed++;
    }
    if (!whole) fprintf(stderr, "%s: no golden vectors in %s\n", name, folder);
    if (whole && !check.failed)
        printf("%s: %d vectors whole, %d streamed, worst error %.1e (%.0f%% of allowed), %.2f us per step\n", name, whole,
               streamed, check.worst, 100 * check.share, time_step(&check));
    free(tensors);
    free(index);
    free(manifest);
    return whole && !check.failed;
}

int main(int count, char **folders)
{
    if (count < 2) {
        fprintf(stderr, "usage: %s FOLDER...\n", folders[0]);
        return 2;
    }
    bool passed = true;
    for (int i = 1; i < count; i++) passed &= check_bundle(folders[i]);
    return !passed;
}
