//! generate NAME PROMPT LENGTH SEED: continue a text, one character at a time, the state fed back.

use std::error::Error;
use std::io::{self, Write};
use std::process::exit;

use recurrent::{Inputs, Model, Session};

const TEMPERATURE: f64 = 0.6; // below 1: safer; above 1: wilder

struct Arguments {
    name: String,
    prompt: String,
    length: usize,
    seed: u32,
}

fn main() {
    let arguments = parse().unwrap_or_else(|| {
        eprintln!("usage: generate NAME PROMPT LENGTH SEED");
        exit(2);
    });
    if let Err(error) = generate(arguments) {
        eprintln!("error: {error}");
        exit(1);
    }
}

fn parse() -> Option<Arguments> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, prompt, length, seed] = <[String; 4]>::try_from(words).ok()?;
    // Of a seed that is larger, or negative, mulberry32 takes the last 32 bits.
    let seed = seed.parse::<i64>().ok()? as u32;
    Some(Arguments { name, prompt, length: length.parse().ok()?, seed })
}

fn generate(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { name, prompt, length, mut seed } = arguments;
    let model = Model::find(&name)?;
    let vocabulary =
        model.vocabulary.ok_or_else(|| format!("expected a model with a vocabulary, got {name}"))?;
    let vocabulary: Vec<char> = vocabulary.chars().collect();
    let mut session = Session::new(model, 1)?;
    let mut logits = None;
    for token in tokens_of(&prompt, &vocabulary)? {
        logits = Some(session.step(Inputs::Tokens(&[token]))?.to_vec());
    }
    let mut logits = logits.ok_or("expected a prompt, got an empty one")?;
    let mut stdout = io::stdout().lock();
    write!(stdout, "{prompt}")?;
    for _ in 0..length {
        let token = choose(&logits, mulberry32(&mut seed));
        let character =
            vocabulary.get(token).ok_or("expected a character for each of the model's outputs")?;
        write!(stdout, "{character}")?;
        stdout.flush()?;
        logits.copy_from_slice(session.step(Inputs::Tokens(&[token as i64]))?);
    }
    Ok(writeln!(stdout)?)
}

fn tokens_of(text: &str, vocabulary: &[char]) -> Result<Vec<i64>, String> {
    let token_of = |character| vocabulary.iter().position(|known| *known == character);
    let unknown = |character| format!("expected characters of the model's vocabulary, got {character:?}");
    text.chars().map(|c| token_of(c).map(|token| token as i64).ok_or_else(|| unknown(c))).collect()
}

/// Draw a uniform number in [0, 1): Tommy Ettinger's mulberry32, public domain.
fn mulberry32(seed: &mut u32) -> f64 {
    *seed = seed.wrapping_add(0x6D2B_79F5);
    let mut mixed = (*seed ^ *seed >> 15).wrapping_mul(*seed | 1);
    mixed ^= mixed.wrapping_add((mixed ^ mixed >> 7).wrapping_mul(mixed | 61));
    f64::from(mixed ^ mixed >> 14) / 4_294_967_296.0
}

/// Draw a token from the softmax of the logits, by where a uniform number falls in its sum.
fn choose(logits: &[f32], uniform: f64) -> usize {
    let scaled: Vec<f64> = logits.iter().map(|logit| f64::from(*logit) / TEMPERATURE).collect();
    let largest = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let add = |sum: &mut f64, value: &f64| {
        *sum += (value - largest).exp();
        Some(*sum)
    };
    let cumulative: Vec<f64> = scaled.iter().scan(0.0, add).collect();
    let total = cumulative.last().copied().unwrap_or(0.0);
    let token = cumulative.iter().position(|sum| *sum > uniform * total);
    token.unwrap_or(logits.len() - 1)
}
