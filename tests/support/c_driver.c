/* Runs calls from standard input and writes their results: sizes, inputs, state; outputs, new state.
   With a number as its argument, that many threads run each call at once, several times, and have to agree.
   Nothing may be allocated or freed during a call; with -DPAINT, it may not use more stack than model.h says. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model.h"

enum { ROOM = 8 << 20, PATTERN = 0xa5, AGAIN = 5 };
enum { CUT_SHORT = 2, DISAGREE, ALLOCATES, DEEP };

static _Thread_local int inside;
static int allocations;

/* The linker's --wrap sends every call of these here. */
#define WRAP(kind, name, parameters, arguments)                                 \
    kind __real_##name parameters;                                              \
    kind __wrap_##name parameters;                                              \
    kind __wrap_##name parameters                                               \
    {                                                                           \
        if (inside) __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);      \
        return __real_##name arguments;                                         \
    }
WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *block, size_t size), (block, size))
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(int, posix_memalign, (void **block, size_t alignment, size_t size), (block, alignment, size))
#undef free
void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block)
{
    if (inside) __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    __real_free(block);
}

struct job {
    uint64_t *sizes;
    void *inputs;
    float *state, *outputs, *after, *workspace;
    pthread_barrier_t *start;
    char *top;
};

static void *get(size_t bytes)
{
    void *block = malloc(bytes); /* of exactly this size: the sanitizer sees every step over its end */
    if (bytes && fread(block, 1, bytes, stdin) != bytes) exit(CUT_SHORT);
    return block;
}

static void *run(void *argument)
{
    struct job *job = argument;
    char here = 0;
    job->top = &here;
    pthread_barrier_wait(job->start);
    inside = 1;
#ifdef WORKSPACE
    RUN(job->sizes[0], job->sizes[1], job->inputs, job->state, job->outputs, job->after, job->workspace);
#else
    RUN(job->sizes[0], job->sizes[1], job->inputs, job->state, job->outputs, job->after);
#endif
    inside = 0;
    return NULL;
}

static void run_together(struct job *jobs, int threads)
{
    pthread_t *ids = malloc((size_t)threads * sizeof *ids);
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        jobs[i].start = &start;
        if (pthread_create(&ids[i], NULL, run, &jobs[i])) abort();
    }
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    pthread_barrier_destroy(&start);
    free(ids);
}

#ifdef PAINT
/* Run on a stack of a known pattern; say how far down it has changed. */
static size_t stack_of(struct job *job)
{
    char *stack = NULL;
    pthread_t id;
    pthread_attr_t attributes;
    pthread_barrier_t start;
    if (posix_memalign((void **)&stack, 4096, ROOM)) abort();
    memset(stack, PATTERN, ROOM);
    pthread_barrier_init(&start, NULL, 1);
    job->start = &start;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, ROOM);
    if (pthread_create(&id, &attributes, run, job)) abort();
    pthread_join(id, NULL);
    pthread_barrier_destroy(&start);
    size_t first = 0;
    while ((unsigned char)stack[first] == PATTERN) first++;
    const size_t used = (size_t)(job->top - stack) - first;
    free(stack);
    return used;
}
#endif

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 1;
    uint64_t sizes[6]; /* steps, batch; bytes of inputs, state, outputs, workspace */
    size_t deepest = 0;
    while (fread(sizes, sizeof sizes, 1, stdin) == 1) {
        struct job *jobs = calloc((size_t)threads, sizeof *jobs);
        void *inputs = get(sizes[2]), *state = get(sizes[3]);
        for (int i = 0; i < threads; i++)
            jobs[i] = (struct job){sizes, inputs, state, malloc(sizes[4]), malloc(sizes[3]), malloc(sizes[5]), NULL, NULL};
        for (int again = 0; again < (threads > 1 ? AGAIN : 1); again++) {
            run_together(jobs, threads);
            for (int i = 1; i < threads; i++)
                if (memcmp(jobs[i].outputs, jobs[0].outputs, sizes[4]) || memcmp(jobs[i].after, jobs[0].after, sizes[3]))
                    return DISAGREE;
        }
#ifdef PAINT
        const size_t used = stack_of(&jobs[0]);
        deepest = used > deepest ? used : deepest;
#endif
        fwrite(jobs[0].outputs, 1, sizes[4], stdout);
        fwrite(jobs[0].after, 1, sizes[3], stdout);
        for (int i = 0; i < threads; i++) free(jobs[i].outputs), free(jobs[i].after), free(jobs[i].workspace);
        free(inputs), free(state), free(jobs);
    }
    if (allocations) return fprintf(stderr, "%d allocations during calls\n", allocations), ALLOCATES;
    if (deepest > STACK) return fprintf(stderr, "%zu bytes of stack, not %d\n", deepest, STACK), DEEP;
    if (getenv("TELL")) fprintf(stderr, "%zu of %d\n", deepest, STACK);
    return 0;
}
