//! What the adapter promises, for every model of this program.

use recurrent::{Error, Inputs, Kind, Model, Outputs, Session, Tensor, Values};

const BATCH: usize = 3;

/// Inputs of one step of some rows, each in the kind that a model takes.
struct Step(Vec<(&'static str, Values)>);

impl Step {
    fn new(model: &Model, rows: std::ops::Range<usize>) -> Step {
        Step(model.inputs.iter().map(|tensor| (tensor.name, Step::values(tensor, rows.clone()))).collect())
    }

    fn values(tensor: &Tensor, rows: std::ops::Range<usize>) -> Values {
        let values = rows.start * tensor.size..rows.end * tensor.size;
        let end = tensor.vocabulary_size.unwrap_or(usize::MAX);
        match tensor.kind {
            Kind::Numbers => Values::Numbers(values.map(|value| (value as f32).sin()).collect()),
            Kind::Tokens => Values::Tokens(values.map(|value| (value % end) as i64).collect()),
            Kind::Truths => Values::Truths(values.map(|value| value % 2 == 0).collect()),
        }
    }

    fn inputs(&self) -> Vec<(&str, Inputs<'_>)> {
        self.0.iter().map(|(name, values)| (*name, inputs(values))).collect()
    }

    fn with(mut self, name: &'static str, values: Values) -> Step {
        let place = self.0.iter_mut().find(|(other, _)| *other == name).unwrap();
        place.1 = values;
        self
    }
}

fn inputs(values: &Values) -> Inputs<'_> {
    match values {
        Values::Numbers(values) => Inputs::Numbers(values),
        Values::Tokens(values) => Inputs::Tokens(values),
        Values::Truths(values) => Inputs::Truths(values),
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
        let first = &model.inputs[0];
        let (expected, got) = (BATCH * first.size, (BATCH + 1) * first.size);
        let wrong = Error::Size { what: first.name, expected, got };
        let mut session = Session::new(model, BATCH).unwrap();
        let before = bits(session.state());
        assert_eq!(session.step_all(&step.inputs()).unwrap_err(), wrong);
        assert_eq!(model.run_all(&step.inputs(), 1, BATCH, None).unwrap_err(), wrong);
        assert_eq!(bits(session.state()), before);
        let (what, expected) = ("state", BATCH * model.state_size);
        let wrong = Error::Size { what, expected, got: expected + 1 };
        assert_eq!(session.reset_to(&vec![0.0; expected + 1]).unwrap_err(), wrong);
    }
}

#[test]
fn wrong_type_and_wrong_name() {
    for (model, tensor) in each_input() {
        let other =
            if tensor.kind == Kind::Numbers { Values::Tokens(vec![]) } else { Values::Numbers(vec![]) };
        let step = Step::new(model, 0..1).with(tensor.name, other);
        let error = Session::new(model, 1).unwrap().step_all(&step.inputs()).unwrap_err();
        assert_eq!(error, Error::Type { what: tensor.name, expected: tensor.kind });
        let step = Step::new(model, 0..1);
        let mut named = step.inputs();
        named[0].0 = "another";
        let error = Session::new(model, 1).unwrap().step_all(&named).unwrap_err();
        assert_eq!(error, Error::Names(model.inputs.iter().map(|tensor| tensor.name).collect()));
    }
}

fn each_input() -> impl Iterator<Item = (&'static Model, &'static Tensor)> {
    Model::all().iter().flat_map(|model| model.inputs.iter().map(move |tensor| (model, tensor)))
}

#[test]
fn unknown_tokens() {
    for (model, tensor) in each_input() {
        let vocabulary_size = match tensor.vocabulary_size {
            Some(size) => size,
            None => continue,
        };
        let end = vocabulary_size as i64;
        let mut session = Session::new(model, BATCH).unwrap();
        let before = bits(session.state());
        for id in [-1, end, i64::MIN, i64::MAX] {
            let step = Step::new(model, 0..BATCH).with(tensor.name, Values::Tokens(vec![0, id, 0]));
            let error = session.step_all(&step.inputs()).unwrap_err();
            let what = tensor.name;
            assert_eq!(error, Error::Token { what, at: 1, id, vocabulary_size });
            assert_eq!(
                error.to_string(),
                format!("{what}[1]: expected a token id from 0 to {}, got {id}", end - 1)
            );
            assert_eq!(model.run_all(&step.inputs(), 1, BATCH, None).unwrap_err(), error);
        }
        assert_eq!(bits(session.state()), before);
        let step = Step::new(model, 0..BATCH).with(tensor.name, Values::Tokens(vec![0, end - 1, 0]));
        session.step_all(&step.inputs()).unwrap();
    }
}

/// A call without names is the same as one with them, or refused where there are several tensors.
#[test]
fn one_tensor_without_its_name() {
    for model in Model::all() {
        let step = Step::new(model, 0..BATCH);
        let named = step.inputs();
        let mut session = Session::new(model, BATCH).unwrap();
        let alone = session.step(named[0].1).map(<[f32]>::to_vec);
        match (model.inputs, model.outputs) {
            ([_], [output]) if output.kind == Kind::Numbers => {
                session.reset();
                let outputs: &Outputs = session.step_all(&named).unwrap();
                assert_eq!(outputs[output.name], Values::Numbers(alone.unwrap()));
            }
            _ => {
                assert_eq!(alone.unwrap_err(), Error::Several);
                assert_eq!(model.run(named[0].1, 1, BATCH, None).unwrap_err(), Error::Several);
            }
        }
    }
}

#[test]
fn nothing_and_too_much() {
    for model in Model::all() {
        let step = Step::new(model, 0..1);
        assert_eq!(Session::new(model, 0).unwrap_err(), Error::Empty);
        assert_eq!(Session::new(model, usize::MAX).unwrap_err(), Error::TooLarge);
        assert_eq!(model.run_all(&step.inputs(), 0, 1, None).unwrap_err(), Error::Empty);
        assert_eq!(model.run_all(&step.inputs(), usize::MAX, 2, None).unwrap_err(), Error::TooLarge);
    }
}

#[test]
fn reset() {
    for model in Model::all() {
        let step = Step::new(model, 0..BATCH);
        let mut session = Session::new(model, BATCH).unwrap();
        let initial = bits(session.state());
        let first = session.step_all(&step.inputs()).unwrap().clone();
        let state = session.state().to_vec();
        let second = session.step_all(&step.inputs()).unwrap().clone();
        session.reset_to(&state).unwrap();
        assert_eq!(session.step_all(&step.inputs()).unwrap(), &second);
        session.reset();
        assert_eq!(bits(session.state()), initial);
        assert_eq!(session.step_all(&step.inputs()).unwrap(), &first);
    }
}

#[test]
fn rows_of_a_batch() {
    for model in Model::all() {
        let step = Step::new(model, 0..BATCH);
        let (outputs, _) = model.run_all(&step.inputs(), 1, BATCH, None).unwrap();
        for row in 0..BATCH {
            let step = Step::new(model, row..row + 1);
            let mut session = Session::new(model, 1).unwrap();
            let alone = session.step_all(&step.inputs()).unwrap();
            for output in model.outputs {
                let expected = part(&outputs[output.name], row * output.size..(row + 1) * output.size);
                assert_eq!(alone[output.name], expected, "{}, {}, row {row}", model.name, output.name);
            }
        }
    }
}

fn part(values: &Values, range: std::ops::Range<usize>) -> Values {
    match values {
        Values::Numbers(values) => Values::Numbers(values[range].to_vec()),
        Values::Tokens(values) => Values::Tokens(values[range].to_vec()),
        Values::Truths(values) => Values::Truths(values[range].to_vec()),
    }
}
