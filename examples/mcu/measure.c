/* measure: the instructions of a time step of each model, and its stack, which may not be more than model.h says. */
#include "board.h"
#include "recurrent.h"

enum { STEPS = 32, PAINT = 0xA5 };

/* Count what a call changes below this function's own part of the stack. */
static size_t stack_of(const RecurrentCall *call)
{
    char *here = __builtin_frame_address(0), *const top = here - 256; /* what this function uses itself */
    for (volatile char *at = stack_limit; at < top; at++) *at = (char)PAINT;
    recurrent_run(call);
    const volatile char *at = stack_limit;
    while (at < top && *at == (char)PAINT) at++;
    return (size_t)(here - (const char *)at);
}

static uint64_t instructions_of(const RecurrentCall *call)
{
    uint64_t ticks = 0;
    clock_begin();
    for (uint32_t step = 0, last = clock_ticks(); step < STEPS; step++) {
        recurrent_run(call);
        const uint32_t now = clock_ticks();
        ticks += clock_between(last, now);
        last = now;
    }
    return ticks * 1000 / MHZ / STEPS; /* under qemu -icount shift=0 an instruction takes a nanosecond */
}

int main(void)
{
    int failed = 0;
    for (const RecurrentModel *model = recurrent_models; model->name; model++) {
        extra_reset();
        const RecurrentCall call = recurrent_call(model, 1, 1);
        const size_t stack = stack_of(&call);
        print(model->name);
        print(": ");
        print_number((uint32_t)instructions_of(&call));
        print(" instructions per step, stack ");
        print_number(stack);
        print(" of ");
        print_number(model->stack_size);
        print(" bytes, state ");
        print_number(model->state_size * sizeof(float));
        print(" bytes\n");
        if (stack > model->stack_size) {
            print("error: expected less stack, as model.h says\n");
            failed = 1;
        }
    }
    return failed;
}
