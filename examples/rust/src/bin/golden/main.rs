//! golden FOLDER...: run a bundle's golden vectors, whole and step by step, and compare with eager PyTorch's results.

mod json;
mod report;
mod tensor;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::exit;
use std::time::Instant;

use json::Json;
use recurrent::{Inputs, Model, Session};
use report::Report;
use tensor::{Tensor, Values};

const ROUNDS: usize = 11;
const STEPS: usize = 1000; // of a round, fewer if they take longer than this:
const ROUND: f64 = 1e5; // microseconds
const FORMAT_VERSION: f64 = 2.0; // of manifest.json

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() {
    let folders: Vec<String> = std::env::args().skip(1).collect();
    if folders.is_empty() {
        eprintln!("usage: golden FOLDER...");
        exit(2);
    }
    let mut passed = true;
    for folder in &folders {
        passed &= check(Path::new(folder)).unwrap_or_else(|error| {
            eprintln!("error: {folder}: {error}");
            false
        });
    }
    exit(if passed { 0 } else { 1 });
}

/// A bundle's folder: what its model and its golden vectors are.
struct Bundle<'a> {
    model: &'static Model,
    signature: &'a Json<'a>,
    tensors: &'a [u8],
}

fn check(folder: &Path) -> Outcome<bool> {
    let read = |name| fs::read_to_string(folder.join(name)).map_err(|error| format!("{name}: {error}"));
    let (manifest, index) = (read("manifest.json")?, read("golden/index.json")?);
    let (manifest, index) = (Json::parse(&manifest)?, Json::parse(&index)?);
    check_manifest(&manifest)?;
    let tensors = fs::read(folder.join("golden/tensors.bin"))?;
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let model = Model::find(name)?;
    let bundle = Bundle { model, signature: manifest.get("signature"), tensors: &tensors };
    let mut report = Report::new(name);
    for case in index.get("cases").list() {
        bundle.whole(case, &mut report)?;
        if case.get("kind").text() == "run" {
            bundle.streamed(case, &mut report)?;
        }
    }
    let passed = report.passed()?;
    if passed {
        writeln!(io::stdout(), "{report}, {:.2} us per step", time_step(model)?)?;
    }
    Ok(passed)
}

/// Refuse a manifest of another format, and one of a net that takes or gives several tensors.
fn check_manifest(manifest: &Json) -> Result<(), String> {
    let version = manifest.get("format_version").number();
    if version != FORMAT_VERSION {
        let expected = format!("expected manifest format {FORMAT_VERSION}, got {version}");
        return Err(format!("{expected}; export and scaffold with one rnn-export"));
    }
    let [inputs, outputs] =
        ["inputs", "outputs"].map(|part| manifest.get("signature").get(part).list().len());
    if (inputs, outputs) != (1, 1) {
        let expected = "expected one tensor of inputs and one of outputs";
        return Err(format!("{expected}, got {inputs} and {outputs}; call its files as report.html shows"));
    }
    Ok(())
}

impl<'a> Bundle<'a> {
    fn whole(&self, case: &Json<'a>, report: &mut Report) -> Outcome<()> {
        let inputs = self.tensor(case.get("call"), "inputs")?;
        let batch = case.get("batch").number() as usize;
        let state = self.state(case)?;
        let (outputs, state) =
            self.model.run(as_inputs(&inputs.values())?, inputs.time, batch, Some(&state))?;
        report.whole += 1;
        self.compare(case, "whole", &outputs, &state, report)
    }

    fn streamed(&self, case: &Json<'a>, report: &mut Report) -> Outcome<()> {
        let inputs = self.tensor(case.get("call"), "inputs")?;
        let like = self.tensor(case.get("float32"), "outputs")?;
        let mut session = Session::new(self.model, case.get("batch").number() as usize)?;
        session.reset_to(&self.state(case)?)?;
        let mut outputs = vec![0.0; like.count()];
        for step in 0..inputs.time {
            like.place(step, session.step(as_inputs(&inputs.step(step))?)?, &mut outputs);
        }
        report.streamed += 1;
        self.compare(case, "streamed", &outputs, session.state(), report)
    }

    fn compare(
        &self,
        case: &Json<'a>,
        how: &str,
        outputs: &[f32],
        state: &[f32],
        report: &mut Report,
    ) -> Outcome<()> {
        let expected = self.tensor(case.get("float64"), "outputs")?.values().doubles();
        report.compare(case, how, "outputs", &expected, &tensor::leaf(outputs, "float32"))?;
        let mut rest = state;
        for leaf in self.leaves() {
            let (name, dtype) = (leaf.get("output_name").text(), leaf.get("dtype").text());
            let expected = self.leaf(case.get("float64"), name)?.values().doubles();
            let floats = expected.len() * if dtype == "int64" { 2 } else { 1 };
            let (own, others) = rest.split_at(floats.min(rest.len()));
            report.compare(case, how, name, &expected, &tensor::leaf(own, dtype))?;
            rest = others;
        }
        Ok(())
    }

    /// Put the leaves of a case's state one after another, as the model takes them.
    fn state(&self, case: &Json<'a>) -> Outcome<Vec<f32>> {
        let mut state = Vec::new();
        for leaf in self.leaves() {
            state.extend(self.leaf(case.get("call"), leaf.get("name").text())?.floats());
        }
        Ok(state)
    }

    fn leaves(&self) -> &'a [Json<'a>] {
        self.signature.get("state").list()
    }

    /// Read the inputs or the outputs in a part of a case.
    fn tensor(&self, part: &Json<'a>, name: &str) -> Result<Tensor<'a>, String> {
        Tensor::new(self.tensors, part.get(name), &self.signature.get(name).list()[0])
    }

    fn leaf(&self, part: &Json<'a>, name: &str) -> Result<Tensor<'a>, String> {
        Tensor::new(self.tensors, part.get(name), &Json::Nothing)
    }
}

fn as_inputs(values: &Values) -> Result<Inputs<'_>, String> {
    match values {
        Values::Floats(numbers) => Ok(Inputs::Numbers(numbers)),
        Values::Integers(tokens) => Ok(Inputs::Tokens(tokens)),
        Values::Doubles(_) => Err("expected inputs of float32 or int64, got float64".into()),
    }
}

/// Measure the microseconds of a step of one row: the median of some rounds, after one to warm up.
fn time_step(model: &'static Model) -> Outcome<f64> {
    let mut session = Session::new(model, 1)?;
    let (numbers, tokens) = (vec![0.0; model.input_size], vec![0; model.input_size]);
    let inputs = if model.token_ids() { Inputs::Tokens(&tokens) } else { Inputs::Numbers(&numbers) };
    let mut round = |steps: usize| -> Outcome<f64> {
        let start = Instant::now();
        for _ in 0..steps {
            session.step(inputs)?;
        }
        Ok(start.elapsed().as_secs_f64() * 1e6)
    };
    let steps = ((ROUND / round(1)?) as usize).clamp(1, STEPS);
    round(steps)?;
    let mut rounds = (0..ROUNDS).map(|_| round(steps)).collect::<Outcome<Vec<f64>>>()?;
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[ROUNDS / 2] / steps as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_that_this_program_cannot_run_are_told() {
        for (manifest, words) in [
            (r#"{"format_version": 1}"#, "expected manifest format 2, got 1; export and scaffold"),
            (
                r#"{"format_version": 2, "signature": {"inputs": [{}, {}], "outputs": [{}]}}"#,
                "expected one tensor of inputs and one of outputs, got 2 and 1; call its files",
            ),
        ] {
            let told = check_manifest(&Json::parse(manifest).unwrap()).unwrap_err();
            assert!(told.starts_with(words), "expected {words:?}, got {told:?}");
        }
    }
}
