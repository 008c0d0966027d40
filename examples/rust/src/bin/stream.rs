//! stream NAME: read one time step a line, numbers with blanks between them, and write the outputs of each.
//!
//! Of several inputs the numbers stand one after another, in the manifest's order; truth values are 0 and 1.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::process::exit;
use std::str::FromStr;

use recurrent::{Inputs, Kind, Model, Outputs, Session, Tensor, Values};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.len() != 1 {
        eprintln!("usage: stream NAME < STEPS");
        exit(2);
    }
    if let Err(error) = stream(&arguments[0]) {
        eprintln!("error: {error}");
        exit(1);
    }
}

fn stream(name: &str) -> Result<(), Box<dyn Error>> {
    let model = Model::find(name)?;
    let mut session = Session::new(model, 1)?;
    let mut stdout = io::stdout().lock();
    for (at, line) in (1..).zip(io::stdin().lock().lines()) {
        let line = line.map_err(|error| format!("line {at}: {error}"))?;
        let outputs = step(&mut session, model, &line).map_err(|error| format!("line {at}: {error}"))?;
        let words = model.outputs.iter().flat_map(|output| written(&outputs[output.name]));
        writeln!(stdout, "{}", words.collect::<Vec<_>>().join(" "))?;
        stdout.flush()?;
    }
    Ok(())
}

fn step<'a>(session: &'a mut Session, model: &Model, line: &str) -> Result<&'a Outputs, Box<dyn Error>> {
    let mut words = line.split_whitespace();
    let read = |tensor: &Tensor| -> Result<Values, String> {
        let own: Vec<&str> = words.by_ref().take(tensor.size).collect();
        match tensor.kind {
            Kind::Numbers => parse(&own).map(Values::Numbers),
            Kind::Tokens => parse(&own).map(Values::Tokens),
            Kind::Truths => own.iter().map(|word| truth(word)).collect::<Result<_, _>>().map(Values::Truths),
        }
    };
    let values = model.inputs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if let Some(word) = words.next() {
        let expected: usize = model.inputs.iter().map(|tensor| tensor.size).sum();
        return Err(format!("expected {expected} numbers, got more: {word}").into());
    }
    let named = model.inputs.iter().zip(&values).map(|(tensor, values)| (tensor.name, inputs(values)));
    Ok(session.step_all(&named.collect::<Vec<_>>())?)
}

fn inputs(values: &Values) -> Inputs<'_> {
    match values {
        Values::Numbers(values) => Inputs::Numbers(values),
        Values::Tokens(values) => Inputs::Tokens(values),
        Values::Truths(values) => Inputs::Truths(values),
    }
}

fn parse<T: FromStr<Err = E>, E: Error>(words: &[&str]) -> Result<Vec<T>, String> {
    words.iter().map(|word| word.parse().map_err(|error| format!("{word}: {error}"))).collect()
}

fn truth(word: &str) -> Result<bool, String> {
    match word {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(format!("expected 0 or 1, got {word}")),
    }
}

fn written(values: &Values) -> Vec<String> {
    match values {
        Values::Numbers(values) => values.iter().map(f32::to_string).collect(),
        Values::Tokens(values) => values.iter().map(i64::to_string).collect(),
        Values::Truths(values) => values.iter().map(|truth| u8::from(*truth).to_string()).collect(),
    }
}
