//! What a bundle's golden vectors have shown.

use std::fmt;

use crate::json::Json;

#[derive(Default)]
pub struct Report {
    name: String,
    pub whole: usize,
    pub streamed: usize,
    worst: f64,
    share: f64, // the largest part of what is allowed
    failure: Option<String>,
}

impl Report {
    pub fn new(name: &str) -> Report {
        Report { name: name.to_owned(), ..Report::default() }
    }

    /// Compare a result with what a case expects, and keep the first number that is off.
    pub fn compare(
        &mut self,
        case: &Json<'_>,
        how: &str,
        name: &str,
        [expected, undecided]: [&[f64]; 2],
        got: &[f64],
    ) -> Result<(), String> {
        if got.len() != expected.len() {
            return Err(format!("{name}: expected {} numbers, got {}", expected.len(), got.len()));
        }
        let allowed = case.get("tolerance").get(name).number();
        for (at, (want, have)) in expected.iter().zip(got).enumerate() {
            // Rounding may turn a whole number into another one; an infinity is right where that is the same one.
            let right = have == want || undecided.get(at).map_or(false, |open| *open != 0.0);
            let error = if right { 0.0 } else { (have - want).abs() };
            self.worst = self.worst.max(error);
            if error > self.share * allowed {
                self.share = error / allowed;
            }
            // Not so for NaN, nor for a tolerance that is not there.
            if error <= allowed {
                continue;
            }
            self.failure.get_or_insert_with(|| {
                let (want, have) = (digits(*want), digits(*have));
                let (off, allowed) = (exponent(error), exponent(allowed));
                let case = case.get("name").text();
                format!("{case} {how}: {name}[{at}]: expected {want}, got {have}, off by {off}, allowed {allowed}")
            });
        }
        Ok(())
    }

    /// Tell whether all was well; say what was not.
    pub fn passed(&self) -> Result<bool, &'static str> {
        if self.whole == 0 {
            return Err("expected golden vectors, got none");
        }
        if let Some(failure) = &self.failure {
            eprintln!("{}: {failure}", self.name);
        }
        Ok(self.failure.is_none())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { name, whole, streamed, .. } = self;
        let (worst, share) = (exponent(self.worst), 100.0 * self.share);
        write!(formatter, "{name}: {whole} vectors whole, {streamed} streamed, ")?;
        write!(formatter, "worst error {worst} ({share:.0}% of allowed)")
    }
}

/// Write a number with two significant digits, as C's %.1e does.
fn exponent(number: f64) -> String {
    let text = format!("{number:.1e}");
    match text.split_once('e').map(|(mantissa, exponent)| (mantissa, exponent.parse::<i32>())) {
        Some((mantissa, Ok(exponent))) => format!("{mantissa}e{exponent:+03}"),
        _ => text,
    }
}

/// Write a number with nine significant digits, which tell apart any two floats.
fn digits(number: f64) -> String {
    let magnitude = number.abs().log10().floor() as i32;
    let decimals = 8_i32.saturating_sub(magnitude).clamp(0, 20) as usize;
    format!("{number:.decimals$}")
}
