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
    const char *leaves;               /* of the state, in the manifest: an array of objects with name and output_name */
    const char *inputs, *outputs;     /* their entries in the manifest */
    const char *tensors;              /* the bytes of golden/tensors.bin */
    double worst, share;              /* the largest error, and the largest part of what is allowed */
    bool failed;
} Check;

/* A tensor: the sizes before, of and behind the time axis; with none, it belongs to the last time step. */
typedef struct {
    const char *data;
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

static Tensor tensor(const Check *check, const char *entry, const char *spec)
{
    const char *dtype = json_member(entry, "dtype"), *axis = json_first(json_member(spec, "shape"));
    Tensor result = {check->tensors + (size_t)json_number(json_member(entry, "offset")), 1, 1, 1, 4, false};
    if (json_is(dtype, "float64") || json_is(dtype, "int64")) result.width = 8;
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
    return result;
}

static size_t count_of(Tensor t)
{
    return t.outer * t.time * t.inner;
}

/* Copy one time step of a tensor, which lies in pieces if time is not its first axis. */
static void copy_step(Tensor t, size_t step, char *to)
{
    size_t piece = t.inner * t.width;
    for (size_t i = 0; i < t.outer; i++) memcpy(to + i * piece, t.data + (i * t.time + step) * piece, piece);
}

/* Put one time step of a result to its place. */
static void place_step(const float *from, Tensor like, size_t step, float *to)
{
    for (size_t i = 0; i < like.outer; i++)
        memcpy(to + (i * like.time + step) * like.inner, from + i * like.inner, like.inner * sizeof *to);
}

static double element(const char *data, const char *dtype, size_t i)
{
    if (json_is(dtype, "float64")) return ((const double *)data)[i];
    if (json_is(dtype, "int64")) return (double)((const int64_t *)data)[i];
    return ((const float *)data)[i];
}

/* Compare what was computed with a tensor of the index. */
static void compare(Check *check, const char *one, const char *how, const char *name, const void *got, const char *dtype)
{
    const char *entry = json_member(json_member(one, "float64"), name);
    double allowed = json_number(json_member(json_member(one, "tolerance"), name));
    Tensor expected = tensor(check, entry, NULL);
    for (size_t i = 0; i < count_of(expected); i++) {
        double want = element(expected.data, json_member(entry, "dtype"), i), have = element(got, dtype, i);
        double error = fabs(have - want);
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
}

static void compare_all(Check *check, const char *one, const char *how, const float *outputs, const float *state)
{
    compare(check, one, how, "outputs", outputs, NULL);
    const char *at = (const char *)state;
    for (const char *leaf = json_first(check->leaves); leaf; leaf = json_next(leaf)) {
        char name[NAME];
        json_string(json_member(leaf, "output_name"), name, sizeof name);
        const char *dtype = json_member(leaf, "dtype");
        compare(check, one, how, name, at, dtype);
        Tensor like = tensor(check, json_member(json_member(one, "float32"), name), NULL);
        at += count_of(like) * like.width;
    }
}

/* Put the leaves of a case's state one after another, as model.c takes them. */
static void load_state(const Check *check, const char *call, float *state)
{
    char *to = (char *)state;
    for (const char *leaf = json_first(check->leaves); leaf; leaf = json_next(leaf)) {
        char name[NAME];
        json_string(json_member(leaf, "name"), name, sizeof name);
        Tensor from = tensor(check, json_member(call, name), NULL);
        memcpy(to, from.data, count_of(from) * from.width);
        to += count_of(from) * from.width;
    }
}

static RecurrentInputs as_inputs(const Check *check, const void *values, size_t count)
{
    return check->model->token_ids ? recurrent_tokens(values, count) : recurrent_numbers(values, count);
}

static void fail(const Check *check, const char *what, int number)
{
    fprintf(stderr, "error: %s: %s: %s\n", check->model->name, what, strerror(number));
    exit(1);
}

static RecurrentSession *open_session(const Check *check, size_t batch)
{
    RecurrentSession *session = recurrent_open(check->model, batch);
    if (!session) fail(check, "recurrent_open", ENOMEM);
    return session;
}

static void run_whole(Check *check, const char *one, Tensor inputs, size_t batch)
{
    size_t count = recurrent_output_count(check->model, inputs.time, batch);
    float *state = allocate(batch * check->model->state_size, sizeof *state), *outputs = allocate(count, sizeof *outputs);
    load_state(check, json_member(one, "call"), state);
    int problem = recurrent_run(check->model, inputs.time, batch, as_inputs(check, inputs.data, count_of(inputs)), state,
                                outputs, count);
    if (problem) fail(check, "recurrent_run", problem);
    compare_all(check, one, "whole", outputs, state);
    free(outputs);
    free(state);
}

static void run_streamed(Check *check, const char *one, Tensor inputs, size_t batch)
{
    Tensor like = tensor(check, json_member(json_member(one, "float32"), "outputs"), check->outputs);
    size_t count = recurrent_output_count(check->model, 1, batch);
    float *state = allocate(batch * check->model->state_size, sizeof *state), *outputs = allocate(count, sizeof *outputs);
    float *all = allocate(count_of(like), sizeof *all);
    char *step_inputs = allocate(inputs.outer * inputs.inner, inputs.width);
    load_state(check, json_member(one, "call"), state);
    RecurrentSession *session = open_session(check, batch);
    recurrent_reset(session, state);
    for (size_t t = 0; t < inputs.time; t++) {
        copy_step(inputs, t, step_inputs);
        int problem = recurrent_step(session, as_inputs(check, step_inputs, inputs.outer * inputs.inner), outputs, count);
        if (problem) fail(check, "recurrent_step", problem);
        place_step(outputs, like, like.has_time ? t : 0, all);
    }
    compare_all(check, one, "streamed", all, recurrent_state(session));
    recurrent_close(session);
    free(step_inputs);
    free(all);
    free(outputs);
    free(state);
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
    RecurrentSession *session = open_session(check, 1);
    size_t count = check->model->output_size;
    int64_t *inputs = allocate(check->model->input_size, sizeof *inputs); /* zeros, for either type */
    float *outputs = allocate(count, sizeof *outputs);
    double rounds[ROUNDS + 1];
    for (int round = 0; round <= ROUNDS; round++) {
        double start = now();
        for (int i = 0; i < STEPS; i++)
            recurrent_step(session, as_inputs(check, inputs, check->model->input_size), outputs, count);
        rounds[round] = (now() - start) / STEPS;
    }
    qsort(rounds + 1, ROUNDS, sizeof *rounds, ascending);
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

static int length(const char *array)
{
    int count = 0;
    for (const char *value = json_first(array); value; value = json_next(value)) count++;
    return count;
}

/* Refuse a manifest of another format, and one of a net that takes or gives several tensors. */
static void check_manifest(const char *folder, const char *manifest)
{
    double version = json_number(json_member(manifest, "format_version"));
    const char *signature = json_member(manifest, "signature");
    int inputs = length(json_member(signature, "inputs")), outputs = length(json_member(signature, "outputs"));
    if (version != FORMAT_VERSION)
        fprintf(stderr, "error: %s: expected manifest format %d, got %g; export and scaffold with one rnn-export\n", folder,
                FORMAT_VERSION, version);
    else if (inputs != 1 || outputs != 1)
        fprintf(stderr, "error: %s: expected one tensor of inputs and one of outputs, got %d and %d; "
                "call its files as report.html shows\n", folder, inputs, outputs);
    else
        return;
    exit(1);
}

static bool check_bundle(const char *folder)
{
    char *manifest = read_file(folder, "manifest.json"), *index = read_file(folder, "golden/index.json");
    char *tensors = read_file(folder, "golden/tensors.bin"), name[NAME];
    check_manifest(folder, manifest);
    name_of(folder, name, sizeof name);
    const char *signature = json_member(manifest, "signature");
    Check check = {.model = recurrent_find(name), .tensors = tensors, .leaves = json_member(signature, "state"),
                   .inputs = json_first(json_member(signature, "inputs")),
                   .outputs = json_first(json_member(signature, "outputs"))};
    if (!check.model) {
        fprintf(stderr, "error: %s: expected a model of models.c, got %s\n", folder, name);
        exit(1);
    }
    int whole = 0, streamed = 0;
    for (const char *one = json_first(json_member(index, "cases")); one; one = json_next(one)) {
        Tensor inputs = tensor(&check, json_member(json_member(one, "call"), "inputs"), check.inputs);
        size_t batch = (size_t)json_number(json_member(one, "batch"));
        run_whole(&check, one, inputs, batch);
        whole++;
        if (!json_is(json_member(one, "kind"), "run")) continue;
        run_streamed(&check, one, inputs, batch);
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
