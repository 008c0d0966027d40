/* Runs calls from standard input and writes their results: sizes, inputs, state; outputs, new state.
   With a number as its argument, that many threads run each call at once and have to agree. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model.h"

struct job {
    uint64_t *sizes;
    void *inputs;
    float *state, *outputs, *after, *workspace;
};

static void *get(size_t bytes)
{
    void *block = malloc(bytes); /* of exactly this size: the sanitizer sees every step over its end */
    if (bytes && fread(block, 1, bytes, stdin) != bytes) exit(2);
    return block;
}

static void *run(void *argument)
{
    struct job *job = argument;
#ifdef WORKSPACE
    RUN(job->sizes[0], job->sizes[1], job->inputs, job->state, job->outputs, job->after, job->workspace);
#else
    RUN(job->sizes[0], job->sizes[1], job->inputs, job->state, job->outputs, job->after);
#endif
    return NULL;
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 1;
    uint64_t sizes[6]; /* steps, batch; bytes of inputs, state, outputs, workspace */
    while (fread(sizes, sizeof sizes, 1, stdin) == 1) {
        struct job *jobs = malloc((size_t)threads * sizeof *jobs);
        pthread_t *ids = malloc((size_t)threads * sizeof *ids);
        void *inputs = get(sizes[2]), *state = get(sizes[3]);
        for (int i = 0; i < threads; i++) {
            jobs[i] = (struct job){sizes, inputs, state, malloc(sizes[4]), malloc(sizes[3]), malloc(sizes[5])};
            pthread_create(&ids[i], NULL, run, &jobs[i]);
        }
        for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
        for (int i = 1; i < threads; i++)
            if (memcmp(jobs[i].outputs, jobs[0].outputs, sizes[4]) || memcmp(jobs[i].after, jobs[0].after, sizes[3])) return 3;
        fwrite(jobs[0].outputs, 1, sizes[4], stdout);
        fwrite(jobs[0].after, 1, sizes[3], stdout);
        for (int i = 0; i < threads; i++) free(jobs[i].outputs), free(jobs[i].after), free(jobs[i].workspace);
        free(inputs), free(state), free(jobs), free(ids);
    }
    return 0;
}
