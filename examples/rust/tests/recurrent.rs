//! What the adapter promises, for every model of this program.

use recurrent::{Error, Inputs, Model, Session};

const BATCH: usize = 3;

/// Inputs of one step of some rows, in the kind that a model takes.
struct Step {
    numbers: Vec<f32>,
    tokens: Vec<i64>,
}

impl Step {
    fn new(model: &Model, rows: std::ops::Range<usize>) -> Step {
        let values = rows.start * model.input_size..rows.end * model.input_size;
        let numbers = values.clone().map(|value| (value as f32).sin()).collect();
        Step { numbers, tokens: values.map(|value| value as i64).collect() }
    }

    fn inputs(&self, model: &Model) -> Inputs<'_> {
        if model.token_ids() {
            Inputs::Tokens(&self.tokens)
        } else {
            Inputs::Numbers(&self.numbers)
        }
    }
}

/// Give a state for comparison; a part of an integer may look like NaN, which is unlike itself.
fn bits(state: &[f32]) -> Vec<u32> {
    state.iter().map(|float| float.to_bits()).collect()
}

#[test]
fn unknown_name() {
    let error = Model::find("no such model").unwrap_err();
    assert_eq!(error, Error::UnknownModel("no such model".into()));
    assert!(error.to_string().ends_with(", got no such model"));
}

#[test]
fn wrong_sizes() {
    for model in Model::all() {
        let step = Step::new(model, 0..BATCH + 1);
        let (expected, got) = (BATCH * model.input_size, (BATCH + 1) * model.input_size);
        let wrong = Error::Size { what: "inputs", expected, got };
        let mut session = Session::new(model, BATCH).unwrap();
        let before = bits(session.state());
        assert_eq!(session.step(step.inputs(model)).unwrap_err(), wrong);
        assert_eq!(model.run(step.inputs(model), 1, BATCH, None).unwrap_err(), wrong);
        assert_eq!(bits(session.state()), before);
        let (what, expected) = ("state", BATCH * model.state_size);
        let wrong = Error::Size { what, expected, got: expected + 1 };
        assert_eq!(session.reset_to(&vec![0.0; expected + 1]).unwrap_err(), wrong);
    }
}

#[test]
fn wrong_type() {
    for model in Model::all() {
        let step = Step::new(model, 0..1);
        let other =
            if model.token_ids() { Inputs::Numbers(&step.numbers) } else { Inputs::Tokens(&step.tokens) };
        let error = Session::new(model, 1).unwrap().step(other).unwrap_err();
        assert!(matches!(error, Error::Type { .. }), "{error}");
    }
}

#[test]
fn unknown_tokens() {
    let with_ids = |model: &'static Model| Some((model, model.vocabulary_size?));
    for (model, vocabulary_size) in Model::all().iter().filter_map(with_ids) {
        let end = vocabulary_size as i64;
        let mut session = Session::new(model, BATCH).unwrap();
        let before = bits(session.state());
        for id in [-1, end, i64::MIN, i64::MAX] {
            let error = session.step(Inputs::Tokens(&[0, id, 0])).unwrap_err();
            assert_eq!(error, Error::Token { at: 1, id, vocabulary_size });
            assert_eq!(
                error.to_string(),
                format!("inputs[1]: expected a token id from 0 to {}, got {id}", end - 1)
            );
            assert_eq!(model.run(Inputs::Tokens(&[0, id]), 2, 1, None).unwrap_err(), error);
        }
        assert_eq!(bits(session.state()), before);
        session.step(Inputs::Tokens(&[0, end - 1, 0])).unwrap();
    }
}

#[test]
fn nothing_and_too_much() {
    for model in Model::all() {
        let step = Step::new(model, 0..1);
        assert_eq!(Session::new(model, 0).unwrap_err(), Error::Empty);
        assert_eq!(Session::new(model, usize::MAX).unwrap_err(), Error::TooLarge);
        assert_eq!(model.run(step.inputs(model), 0, 1, None).unwrap_err(), Error::Empty);
        assert_eq!(model.run(step.inputs(model), usize::MAX, 2, None).unwrap_err(), Error::TooLarge);
    }
}

#[test]
fn reset() {
    for model in Model::all() {
        let step = Step::new(model, 0..BATCH);
        let mut session = Session::new(model, BATCH).unwrap();
        let initial = bits(session.state());
        let first = session.step(step.inputs(model)).unwrap().to_vec();
        let state = session.state().to_vec();
        let second = session.step(step.inputs(model)).unwrap().to_vec();
        session.reset_to(&state).unwrap();
        assert_eq!(session.step(step.inputs(model)).unwrap(), second);
        session.reset();
        assert_eq!(bits(session.state()), initial);
        assert_eq!(session.step(step.inputs(model)).unwrap(), first);
    }
}

#[test]
fn rows_of_a_batch() {
    for model in Model::all() {
        let step = Step::new(model, 0..BATCH);
        let (outputs, _) = model.run(step.inputs(model), 1, BATCH, None).unwrap();
        for (row, expected) in outputs.chunks(model.output_size).enumerate() {
            let step = Step::new(model, row..row + 1);
            let mut session = Session::new(model, 1).unwrap();
            assert_eq!(session.step(step.inputs(model)).unwrap(), expected, "{}, row {row}", model.name);
        }
    }
}
