use std::fmt;

use crate::Kind;

/// Why a call did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No model has this name.
    UnknownModel(String),
    /// The model takes and gives several tensors: use the functions that have them by name.
    Several,
    /// The model takes tensors of these names, each once.
    Names(Vec<&'static str>),
    /// The model takes another kind of inputs.
    Type {
        /// Which tensor.
        what: &'static str,
        /// The kind that it takes.
        expected: Kind,
    },
    /// There are too few numbers, or too many.
    Size {
        /// Which numbers: those of a tensor, or the state.
        what: &'static str,
        /// How many the model takes, for the steps and rows of the call.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A token id is not in the model's vocabulary.
    Token {
        /// Which tensor.
        what: &'static str,
        /// Its place in the inputs.
        at: usize,
        /// The id.
        id: i64,
        /// How many ids there are: 0 to one less.
        vocabulary_size: usize,
    },
    /// The call is for no step, or no row.
    Empty,
    /// The results do not fit in memory.
    TooLarge,
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownModel(name) => {
                let names: Vec<_> = crate::Model::all().iter().map(|model| model.name).collect();
                write!(formatter, "expected one of {}, got {name}", names.join(", "))
            }
            Error::Several => {
                write!(formatter, "expected a model of one tensor of inputs and one of numbers as outputs")
            }
            Error::Names(names) => {
                write!(formatter, "expected tensors called {}, each once, got others", names.join(", "))
            }
            Error::Type { what, expected } => {
                let kind = match expected {
                    Kind::Numbers => "numbers",
                    Kind::Tokens => "token ids",
                    Kind::Truths => "truth values",
                };
                write!(formatter, "{what}: expected {kind}, got another kind of inputs")
            }
            Error::Size { what, expected, got } => {
                write!(formatter, "{what}: expected {expected} numbers, got {got}")
            }
            Error::Token { what, at, id, vocabulary_size } => {
                write!(
                    formatter,
                    "{what}[{at}]: expected a token id from 0 to {}, got {id}",
                    vocabulary_size - 1
                )
            }
            Error::Empty => write!(formatter, "expected one or more steps and rows, got none"),
            Error::TooLarge => {
                write!(formatter, "expected results that fit in memory; run fewer steps or rows")
            }
        }
    }
}
