//! A call of C: what goes in, and room for what comes out. Truth values are `i32` there, true is -1.

use crate::{Error, Inputs, Kind, Tensor, Values};

/// An input as C reads it.
#[derive(Debug)]
pub enum Given<'a> {
    Numbers(&'a [f32]),
    Tokens(&'a [i64]),
    Truths(Vec<i32>),
}

/// Room for an output as C writes it.
#[derive(Clone, Debug)]
pub enum Room {
    Numbers(Vec<f32>),
    Tokens(Vec<i64>),
    Truths(Vec<i32>),
}

impl<'a> From<Inputs<'a>> for Given<'a> {
    fn from(inputs: Inputs<'a>) -> Given<'a> {
        match inputs {
            Inputs::Numbers(values) => Given::Numbers(values),
            Inputs::Tokens(values) => Given::Tokens(values),
            Inputs::Truths(values) => Given::Truths(values.iter().map(|truth| -i32::from(*truth)).collect()),
        }
    }
}

impl Given<'_> {
    /// Give the address of the values, of whatever type they are.
    pub fn address<T>(&self) -> *const T {
        match self {
            Given::Numbers(values) => values.as_ptr().cast(),
            Given::Tokens(values) => values.as_ptr().cast(),
            Given::Truths(values) => values.as_ptr().cast(),
        }
    }
}

impl Room {
    /// Make room for an output of a call.
    pub fn new(tensor: &Tensor, steps: usize, batch: usize) -> Result<Room, Error> {
        let sizes = [tensor.count(steps, batch)?];
        Ok(match tensor.kind {
            Kind::Numbers => Room::Numbers(zeros(&sizes)?),
            Kind::Tokens => Room::Tokens(zeros(&sizes)?),
            Kind::Truths => Room::Truths(zeros(&sizes)?),
        })
    }

    /// Give the address of the room, of whatever type it is.
    pub fn address<T>(&mut self) -> *mut T {
        match self {
            Room::Numbers(values) => values.as_mut_ptr().cast(),
            Room::Tokens(values) => values.as_mut_ptr().cast(),
            Room::Truths(values) => values.as_mut_ptr().cast(),
        }
    }

    /// Give the numbers of a room that is for such.
    pub fn numbers(&mut self) -> &mut Vec<f32> {
        match self {
            Room::Numbers(values) => values,
            _ => unreachable!("check_one() looks at the kind of the outputs"),
        }
    }

    pub fn values(&self) -> Values {
        match self {
            Room::Numbers(values) => Values::Numbers(values.clone()),
            Room::Tokens(values) => Values::Tokens(values.clone()),
            Room::Truths(values) => Values::Truths(values.iter().map(|truth| *truth != 0).collect()),
        }
    }
}

/// Put inputs in the order of the tensors that a model takes.
pub fn in_order<'a>(
    tensors: &'static [Tensor],
    inputs: &[(&str, Inputs<'a>)],
) -> Result<Vec<Inputs<'a>>, Error> {
    let wrong = || Error::Names(tensors.iter().map(|tensor| tensor.name).collect());
    if inputs.len() != tensors.len() {
        return Err(wrong());
    }
    let find = |tensor: &Tensor| inputs.iter().find(|(name, _)| *name == tensor.name).map(|found| found.1);
    tensors.iter().map(|tensor| find(tensor).ok_or_else(wrong)).collect()
}

pub fn same_size(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if got == expected {
        return Ok(());
    }
    Err(Error::Size { what, expected, got })
}

/// Multiply sizes, which may come from outside and be anything.
pub fn product(sizes: &[usize]) -> Result<usize, Error> {
    let product = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    product.ok_or(Error::TooLarge)
}

pub fn zeros<T: Clone + Default>(sizes: &[usize]) -> Result<Vec<T>, Error> {
    let count = product(sizes)?;
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| Error::TooLarge)?;
    values.resize(count, T::default());
    Ok(values)
}
