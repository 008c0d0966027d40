// Written by `rnn-export scaffold`: the names and sizes of the models.
use super::{Model, Run};

extern "C" {
    fn char_rnn_run(
        steps: usize,
        batch: usize,
        inputs: *const i64,
        state_in: *const f32,
        outputs: *mut f32,
        state_out: *mut f32,
    );
    fn char_rnn_initial_state(batch: usize, state: *mut f32);
    fn rnn_scratch_run(
        steps: usize,
        batch: usize,
        inputs: *const f32,
        state_in: *const f32,
        outputs: *mut f32,
        state_out: *mut f32,
    );
    fn rnn_scratch_initial_state(batch: usize, state: *mut f32);
}

pub static MODELS: &[Model] = &[
    Model {
        name: "char_rnn",
        input_size: 1,
        output_size: 94,
        state_size: 128,
        every_step: true,
        vocabulary_size: Some(94),
        vocabulary: Some("\u{a} !\"#%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_abcdefghijklmnopqrstuvwxyz{|}~"),
        run: Run::Tokens(char_rnn_run),
        initial_state: char_rnn_initial_state,
    },
    Model {
        name: "rnn_scratch",
        input_size: 16,
        output_size: 1,
        state_size: 32,
        every_step: true,
        vocabulary_size: None,
        vocabulary: None,
        run: Run::Numbers(rnn_scratch_run),
        initial_state: rnn_scratch_initial_state,
    },
];
