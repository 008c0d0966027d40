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
//!
//! A net of several inputs or outputs takes and gives them by name: [`Session::step_all`].
#![warn(missing_docs)]

mod call;
mod error;
#[rustfmt::skip]
mod models;

use std::collections::BTreeMap;

use call::{in_order, product, same_size, zeros, Given, Room};
pub use error::Error;

/// A net that this program was built with: its sizes, and what it computes.
#[derive(Debug)]
pub struct Model {
    /// The name of the bundle's folder.
    pub name: &'static str,
    /// What goes in beside the state, in the manifest's order.
    pub inputs: &'static [Tensor],
    /// What comes out beside it.
    pub outputs: &'static [Tensor],
    /// Floats for each row of the state.
    pub state_size: usize,
    /// The character of each token id, of a text model.
    pub vocabulary: Option<&'static str>,
    run: Run,
    initial_state: unsafe extern "C" fn(usize, *mut f32),
}

/// A `NAME_run` of `model.h`: steps, batch, inputs, state in, outputs, state out.
type Run = unsafe fn(usize, usize, &[Given<'_>], *const f32, &mut [Room], *mut f32);

/// An input or an output of a net.
#[derive(Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name in the manifest.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Values for each row, and for each time step if it has such.
    pub size: usize,
    /// It is one of every time step; else the same for a whole call, or what the last time step gives.
    pub every_step: bool,
    /// Token ids are 0 to one less; `None` if that is not known, or if it holds none.
    pub vocabulary_size: Option<usize>,
}

/// What a tensor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `f32`.
    Numbers,
    /// `i64`, such as token ids.
    Tokens,
    /// `bool`.
    Truths,
}

/// What a net reads, densely, with the axes in the model's own order.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// Numbers, unless the model has token ids.
    Numbers(&'a [f32]),
    /// Token ids; one that is not in the model's vocabulary is an error.
    Tokens(&'a [i64]),
    /// Truth values.
    Truths(&'a [bool]),
}

/// What a net gives.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // as of Inputs
pub enum Values {
    Numbers(Vec<f32>),
    Tokens(Vec<i64>),
    Truths(Vec<bool>),
}

/// Several outputs, by name.
pub type Outputs = BTreeMap<&'static str, Values>;

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

    /// Run some time steps of a batch; give the outputs and the state behind them.
    ///
    /// `inputs` are `[steps, batch, size]`, the outputs `[steps, batch, size]`, with their axes in the model's own
    /// order. The state is `[batch, state_size]`, its leaves one after another; with none, the sequence begins in
    /// the initial state. For a model of one tensor of inputs, and one of outputs, which are numbers.
    pub fn run(
        &self,
        inputs: Inputs<'_>,
        steps: usize,
        batch: usize,
        state: Option<&[f32]>,
    ) -> Result<(Vec<f32>, Vec<f32>), Error> {
        self.check_one()?;
        let (mut rooms, next) = self.begin(&[inputs], steps, batch, state)?;
        Ok((std::mem::take(rooms[0].numbers()), next))
    }

    /// The same of any model: inputs and outputs by name.
    pub fn run_all(
        &self,
        inputs: &[(&str, Inputs<'_>)],
        steps: usize,
        batch: usize,
        state: Option<&[f32]>,
    ) -> Result<(Outputs, Vec<f32>), Error> {
        let (rooms, next) = self.begin(&in_order(self.inputs, inputs)?, steps, batch, state)?;
        Ok((self.named(&rooms), next))
    }

    fn begin(
        &self,
        inputs: &[Inputs<'_>],
        steps: usize,
        batch: usize,
        state: Option<&[f32]>,
    ) -> Result<(Vec<Room>, Vec<f32>), Error> {
        self.check(inputs, steps, batch)?;
        let mut next = self.initial_state(batch)?;
        if let Some(state) = state {
            replace(&mut next, state)?;
        }
        let mut rooms = self.rooms(steps, batch)?;
        self.call(inputs, steps, batch, &mut next, &mut rooms);
        Ok((rooms, next))
    }

    fn rooms(&self, steps: usize, batch: usize) -> Result<Vec<Room>, Error> {
        self.outputs.iter().map(|output| Room::new(output, steps, batch)).collect()
    }

    fn named(&self, rooms: &[Room]) -> Outputs {
        self.outputs.iter().zip(rooms).map(|(output, room)| (output.name, room.values())).collect()
    }

    /// Give the state `[batch, state_size]` that a sequence begins with.
    pub fn initial_state(&self, batch: usize) -> Result<Vec<f32>, Error> {
        let mut state = zeros(&[batch, self.state_size])?;
        // SAFETY: the function writes batch * state_size floats, which is the length of state.
        unsafe { (self.initial_state)(batch, state.as_mut_ptr()) };
        Ok(state)
    }

    fn check_one(&self) -> Result<(), Error> {
        match (self.inputs, self.outputs) {
            ([_], [output]) if output.kind == Kind::Numbers => Ok(()),
            _ => Err(Error::Several),
        }
    }

    fn check(&self, inputs: &[Inputs<'_>], steps: usize, batch: usize) -> Result<(), Error> {
        if steps == 0 || batch == 0 {
            return Err(Error::Empty);
        }
        self.inputs.iter().zip(inputs).try_for_each(|(tensor, inputs)| tensor.check(*inputs, steps, batch))
    }

    /// Run what `check` has found right, with a state and outputs of the sizes for it.
    fn call(&self, inputs: &[Inputs<'_>], steps: usize, batch: usize, state: &mut [f32], rooms: &mut [Room]) {
        let state = state.as_mut_ptr();
        // SAFETY: the functions read and write as much as model.h says, which are the sizes that the callers
        // and check() made sure of; the two states may be one.
        let run = |given: &[Given<'_>], rooms: &mut [Room]| unsafe {
            (self.run)(steps, batch, given, state, rooms, state)
        };
        match inputs {
            [one] => run(&[Given::from(*one)], rooms), // allocates nothing
            several => run(&several.iter().map(|inputs| Given::from(*inputs)).collect::<Vec<_>>(), rooms),
        }
    }
}

impl Tensor {
    /// Tell how many values it has in a call.
    pub fn count(&self, steps: usize, batch: usize) -> Result<usize, Error> {
        product(&[if self.every_step { steps } else { 1 }, batch, self.size])
    }

    fn check(&self, inputs: Inputs<'_>, steps: usize, batch: usize) -> Result<(), Error> {
        let (kind, got) = match inputs {
            Inputs::Numbers(values) => (Kind::Numbers, values.len()),
            Inputs::Tokens(values) => (Kind::Tokens, values.len()),
            Inputs::Truths(values) => (Kind::Truths, values.len()),
        };
        if kind != self.kind {
            return Err(Error::Type { what: self.name, expected: self.kind });
        }
        same_size(self.name, self.count(steps, batch)?, got)?;
        self.check_tokens(inputs)
    }

    fn check_tokens(&self, inputs: Inputs<'_>) -> Result<(), Error> {
        if let (Inputs::Tokens(tokens), Some(vocabulary_size)) = (inputs, self.vocabulary_size) {
            let unknown = |id: &i64| usize::try_from(*id).map_or(true, |id| id >= vocabulary_size);
            if let Some(at) = tokens.iter().position(unknown) {
                return Err(Error::Token { what: self.name, at, id: tokens[at], vocabulary_size });
            }
        }
        Ok(())
    }
}

/// A sequence of time steps for some rows, and the state in between.
#[derive(Clone, Debug)]
pub struct Session {
    model: &'static Model,
    batch: usize,
    state: Vec<f32>,
    rooms: Vec<Room>,
    outputs: Outputs, // of the last step_all()
}

impl Session {
    /// Begin in the initial state.
    pub fn new(model: &'static Model, batch: usize) -> Result<Session, Error> {
        if batch == 0 {
            return Err(Error::Empty);
        }
        let rooms = model.rooms(1, batch)?;
        Ok(Session { model, batch, state: model.initial_state(batch)?, rooms, outputs: Outputs::new() })
    }

    /// Take one time step: `inputs [batch, size]` give outputs `[batch, size]`.
    ///
    /// After an error the state is as before. Nothing is allocated. For a model of one tensor of inputs, and one
    /// of outputs, which are numbers.
    pub fn step(&mut self, inputs: Inputs<'_>) -> Result<&[f32], Error> {
        self.model.check_one()?;
        self.advance(&[inputs])?;
        Ok(self.rooms[0].numbers())
    }

    /// The same of any model, by name; what is the same for a whole call goes into every step.
    pub fn step_all(&mut self, inputs: &[(&str, Inputs<'_>)]) -> Result<&Outputs, Error> {
        self.advance(&in_order(self.model.inputs, inputs)?)?;
        self.outputs = self.model.named(&self.rooms);
        Ok(&self.outputs)
    }

    fn advance(&mut self, inputs: &[Inputs<'_>]) -> Result<(), Error> {
        self.model.check(inputs, 1, self.batch)?;
        self.model.call(inputs, 1, self.batch, &mut self.state, &mut self.rooms);
        Ok(())
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
