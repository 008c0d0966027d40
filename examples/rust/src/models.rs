// Written by `rnn-export scaffold`: the names and sizes of the models.
use super::{Given, Kind, Model, Room, Tensor};

extern "C" {
    fn char_rnn_run(
        steps: usize,
        batch: usize,
        in_0: *const i64,
        state_in: *const f32,
        out_0: *mut f32,
        state_out: *mut f32,
    );
    fn char_rnn_initial_state(batch: usize, state: *mut f32);
    fn rnn_scratch_run(
        steps: usize,
        batch: usize,
        in_0: *const f32,
        state_in: *const f32,
        out_0: *mut f32,
        state_out: *mut f32,
    );
    fn rnn_scratch_initial_state(batch: usize, state: *mut f32);
}

unsafe fn run_char_rnn(
    steps: usize,
    batch: usize,
    inputs: &[Given<'_>],
    state_in: *const f32,
    outputs: &mut [Room],
    state_out: *mut f32,
) {
    char_rnn_run(
        steps,
        batch,
        inputs[0].address(),
        state_in,
        outputs[0].address(),
        state_out,
    )
}

unsafe fn run_rnn_scratch(
    steps: usize,
    batch: usize,
    inputs: &[Given<'_>],
    state_in: *const f32,
    outputs: &mut [Room],
    state_out: *mut f32,
) {
    rnn_scratch_run(
        steps,
        batch,
        inputs[0].address(),
        state_in,
        outputs[0].address(),
        state_out,
    )
}

pub static MODELS: &[Model] = &[
    Model {
        name: "char_rnn",
        inputs: &[
            Tensor {
                name: "inputs",
                kind: Kind::Tokens,
                size: 1,
                every_step: true,
                vocabulary_size: Some(94),
            },
        ],
        outputs: &[
            Tensor {
                name: "outputs",
                kind: Kind::Numbers,
                size: 94,
                every_step: true,
                vocabulary_size: None,
            },
        ],
        state_size: 128,
        vocabulary: Some("\u{a} !\"#%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_abcdefghijklmnopqrstuvwxyz{|}~"),
        run: run_char_rnn,
        initial_state: char_rnn_initial_state,
    },
    Model {
        name: "rnn_scratch",
        inputs: &[
            Tensor {
                name: "inputs",
                kind: Kind::Numbers,
                size: 16,
                every_step: true,
                vocabulary_size: None,
            },
        ],
        outputs: &[
            Tensor {
                name: "outputs",
                kind: Kind::Numbers,
                size: 1,
                every_step: true,
                vocabulary_size: None,
            },
        ],
        state_size: 32,
        vocabulary: None,
        run: run_rnn_scratch,
        initial_state: rnn_scratch_initial_state,
    },
];
