//! Recurrent nets from bundles: run whole sequences, or stream them step by step.
//!
//! The nets are C without allocation, and without globals that change: any number of threads may call, each
//! with a session of its own.
//!
//! ```no_run
//! use recurrent::{Inputs, Model, Session};
//!
//! let mut session = Session::new(Model::find("name")?, 1)?; // one row
//! let outputs = session.step(Inputs::Numbers(&[0.5, 1.5]))?;
//! # Ok::<(), recurrent::Error>(())
//! ```
#![warn(missing_docs)]

mod error;
#[rustfmt::skip]
mod models;

pub use error::Error;

/// A net that this program was built with: its sizes, and what it computes.
#[derive(Debug)]
pub struct Model {
    /// The name of the bundle's folder.
    pub name: &'static str,
    /// Numbers for each row and time step of the inputs.
    pub input_size: usize,
    /// Numbers for each row and time step of the outputs.
    pub output_size: usize,
    /// Floats for each row of the state.
    pub state_size: usize,
    /// There are outputs of every time step, not of the last one alone.
    pub every_step: bool,
    /// Token ids are 0 to one less; `None` if that is not known, or if the inputs are none.
    pub vocabulary_size: Option<usize>,
    /// The character of each token id, of a text model.
    pub vocabulary: Option<&'static str>,
    run: Run,
    initial_state: unsafe extern "C" fn(usize, *mut f32),
}

/// A `NAME_run` of `model.h`: steps, batch, inputs, state in, outputs, state out.
type Function<T> = unsafe extern "C" fn(usize, usize, *const T, *const f32, *mut f32, *mut f32);

#[derive(Debug)]
#[allow(dead_code)] // a program's models may all take the same kind of inputs
enum Run {
    Numbers(Function<f32>),
    Tokens(Function<i64>),
}

/// What a net reads, densely, with the axes in the model's own order.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// Numbers, unless the model has token ids.
    Numbers(&'a [f32]),
    /// Token ids; one that is not in the model's vocabulary is an error.
    Tokens(&'a [i64]),
}

impl Model {
    /// Give all the models of this program.
    pub fn all() -> &'static [Model] {
        models::MODELS
    }

    /// Find a model by its name.
    pub fn find(name: &str) -> Result<&'static Model, Error> {
        let found = Model::all().iter().find(|model| model.name == name);
        found.ok_or_else(|| Error::UnknownModel(name.to_owned()))
    }

    /// Tell whether the inputs are token ids, not numbers.
    pub fn token_ids(&self) -> bool {
        matches!(self.run, Run::Tokens(_))
    }

    /// Run some time steps of a batch; give the outputs and the state behind them.
    ///
    /// `inputs` are `[steps, batch, input_size]`, the outputs `[steps, batch, output_size]`, with their axes in
    /// the model's own order. The state is `[batch, state_size]`, its leaves one after another; with none, the
    /// sequence begins in the initial state.
    pub fn run(
        &self,
        inputs: Inputs<'_>,
        steps: usize,
        batch: usize,
        state: Option<&[f32]>,
    ) -> Result<(Vec<f32>, Vec<f32>), Error> {
        self.check(inputs, steps, batch)?;
        let mut next = self.initial_state(batch)?;
        if let Some(state) = state {
            replace(&mut next, state)?;
        }
        let mut outputs = zeros(&[if self.every_step { steps } else { 1 }, batch, self.output_size])?;
        self.call(inputs, steps, batch, &mut next, &mut outputs);
        Ok((outputs, next))
    }

    /// Give the state `[batch, state_size]` that a sequence begins with.
    pub fn initial_state(&self, batch: usize) -> Result<Vec<f32>, Error> {
        let mut state = zeros(&[batch, self.state_size])?;
        // SAFETY: the function writes batch * state_size floats, which is the length of state.
        unsafe { (self.initial_state)(batch, state.as_mut_ptr()) };
        Ok(state)
    }

    fn check(&self, inputs: Inputs<'_>, steps: usize, batch: usize) -> Result<(), Error> {
        let (tokens, got) = match inputs {
            Inputs::Numbers(values) => (false, values.len()),
            Inputs::Tokens(values) => (true, values.len()),
        };
        if tokens != self.token_ids() {
            let expected = if tokens { "numbers" } else { "token ids" };
            return Err(Error::Type { expected });
        }
        if steps == 0 || batch == 0 {
            return Err(Error::Empty);
        }
        same_size("inputs", product(&[steps, batch, self.input_size])?, got)?;
        self.check_tokens(inputs)
    }

    fn check_tokens(&self, inputs: Inputs<'_>) -> Result<(), Error> {
        if let (Inputs::Tokens(tokens), Some(vocabulary_size)) = (inputs, self.vocabulary_size) {
            let unknown = |id: &i64| usize::try_from(*id).map_or(true, |id| id >= vocabulary_size);
            if let Some(at) = tokens.iter().position(unknown) {
                return Err(Error::Token { at, id: tokens[at], vocabulary_size });
            }
        }
        Ok(())
    }

    /// Run what `check` has found right, with a state and outputs of the sizes for it.
    fn call(&self, inputs: Inputs<'_>, steps: usize, batch: usize, state: &mut [f32], outputs: &mut [f32]) {
        let (state, outputs) = (state.as_mut_ptr(), outputs.as_mut_ptr());
        // SAFETY: the functions read and write as much as model.h says, which are the sizes that the callers
        // and check() made sure of; the two states may be one.
        unsafe {
            match (&self.run, inputs) {
                (Run::Numbers(run), Inputs::Numbers(values)) => {
                    run(steps, batch, values.as_ptr(), state, outputs, state)
                }
                (Run::Tokens(run), Inputs::Tokens(values)) => {
                    run(steps, batch, values.as_ptr(), state, outputs, state)
                }
                _ => unreachable!("check() looks at the kind of the inputs"),
            }
        }
    }
}

/// A sequence of time steps for some rows, and the state in between.
#[derive(Clone, Debug)]
pub struct Session {
    model: &'static Model,
    batch: usize,
    state: Vec<f32>,
    outputs: Vec<f32>,
}

impl Session {
    /// Begin in the initial state.
    pub fn new(model: &'static Model, batch: usize) -> Result<Session, Error> {
        if batch == 0 {
            return Err(Error::Empty);
        }
        let outputs = zeros(&[batch, model.output_size])?;
        Ok(Session { model, batch, state: model.initial_state(batch)?, outputs })
    }

    /// Take one time step: `inputs [batch, input_size]` give outputs `[batch, output_size]`.
    ///
    /// After an error the state is as before. Nothing is allocated.
    pub fn step(&mut self, inputs: Inputs<'_>) -> Result<&[f32], Error> {
        self.model.check(inputs, 1, self.batch)?;
        self.model.call(inputs, 1, self.batch, &mut self.state, &mut self.outputs);
        Ok(&self.outputs)
    }

    /// Go back to the initial state.
    pub fn reset(&mut self) {
        // SAFETY: the state has batch * state_size floats since new().
        unsafe { (self.model.initial_state)(self.batch, self.state.as_mut_ptr()) };
    }

    /// Go on from another state, `[batch, state_size]`.
    pub fn reset_to(&mut self, state: &[f32]) -> Result<(), Error> {
        replace(&mut self.state, state)
    }

    /// Give the state, `[batch, state_size]`, its leaves one after another.
    pub fn state(&self) -> &[f32] {
        &self.state
    }
}

fn replace(state: &mut [f32], new: &[f32]) -> Result<(), Error> {
    same_size("state", state.len(), new.len())?;
    state.copy_from_slice(new);
    Ok(())
}

fn same_size(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if got == expected {
        return Ok(());
    }
    Err(Error::Size { what, expected, got })
}

/// Multiply sizes, which may come from outside and be anything.
fn product(sizes: &[usize]) -> Result<usize, Error> {
    let product = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    product.ok_or(Error::TooLarge)
}

fn zeros(sizes: &[usize]) -> Result<Vec<f32>, Error> {
    let count = product(sizes)?;
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| Error::TooLarge)?;
    values.resize(count, 0.0);
    Ok(values)
}
