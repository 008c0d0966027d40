//! stream NAME: read one time step a line, numbers with blanks between them, and write the outputs of each.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::process::exit;
use std::str::FromStr;

use recurrent::{Inputs, Model, Session};

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
        let words: Vec<String> = outputs.iter().map(f32::to_string).collect();
        writeln!(stdout, "{}", words.join(" "))?;
        stdout.flush()?;
    }
    Ok(())
}

fn step<'a>(session: &'a mut Session, model: &Model, line: &str) -> Result<&'a [f32], Box<dyn Error>> {
    let outputs = if model.token_ids() {
        session.step(Inputs::Tokens(&parse(line)?))?
    } else {
        session.step(Inputs::Numbers(&parse(line)?))?
    };
    Ok(outputs)
}

fn parse<T: FromStr<Err = E>, E: Error>(line: &str) -> Result<Vec<T>, String> {
    line.split_whitespace().map(|word| word.parse().map_err(|error| format!("{word}: {error}"))).collect()
}
