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
use recurrent::{Inputs, Kind, Model, Outputs, Session, Values};
use report::Report;
use tensor::Tensor;

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

/// Refuse a manifest of another format.
fn check_manifest(manifest: &Json) -> Result<(), String> {
    let version = manifest.get("format_version").number();
    if version != FORMAT_VERSION {
        let expected = format!("expected manifest format {FORMAT_VERSION}, got {version}");
        return Err(format!("{expected}; export and scaffold with one rnn-export"));
    }
    Ok(())
}

impl<'a> Bundle<'a> {
    fn whole(&self, case: &Json<'a>, report: &mut Report) -> Outcome<()> {
        let [steps, batch] = ["time", "batch"].map(|size| case.get(size).number() as usize);
        let tensors = self.inputs(case)?;
        let values: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor.values())).collect();
        let (outputs, state) = self.model.run_all(&given(&values), steps, batch, Some(&self.state(case)?))?;
        report.whole += 1;
        self.compare(case, "whole", &outputs, &state, report)
    }

    fn streamed(&self, case: &Json<'a>, report: &mut Report) -> Outcome<()> {
        let tensors = self.inputs(case)?;
        let mut session = Session::new(self.model, case.get("batch").number() as usize)?;
        session.reset_to(&self.state(case)?)?;
        let mut outputs = Outputs::new();
        for output in self.model.outputs {
            let like = self.tensor(case.get("float32"), "outputs", output.name)?;
            outputs.insert(output.name, like.values());
        }
        for step in 0..case.get("time").number() as usize {
            let values: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor.step(step))).collect();
            let given = session.step_all(&given(&values))?;
            for (name, all) in &mut outputs {
                let like = self.tensor(case.get("float32"), "outputs", name)?;
                like.place(step, &given[name], all);
            }
        }
        report.streamed += 1;
        self.compare(case, "streamed", &outputs, session.state(), report)
    }

    fn inputs(&self, case: &Json<'a>) -> Outcome<Vec<(&'static str, Tensor<'a>)>> {
        let read = |name| Ok((name, self.tensor(case.get("call"), "inputs", name)?));
        self.model.inputs.iter().map(|tensor| read(tensor.name)).collect()
    }

    fn compare(
        &self,
        case: &Json<'a>,
        how: &str,
        outputs: &Outputs,
        state: &[f32],
        report: &mut Report,
    ) -> Outcome<()> {
        for (name, values) in outputs {
            self.compare_one(case, how, name, &tensor::doubles(values), report)?;
        }
        let mut rest = state;
        for leaf in self.signature.get("state").list() {
            let (name, dtype) = (leaf.get("output_name").text(), leaf.get("dtype").text());
            let count = self.leaf(case.get("float64"), name)?.doubles().len();
            let floats = count * if dtype == "int64" { 2 } else { 1 };
            let (own, others) = rest.split_at(floats.min(rest.len()));
            self.compare_one(case, how, name, &tensor::leaf(own, dtype), report)?;
            rest = others;
        }
        Ok(())
    }

    fn compare_one(
        &self,
        case: &Json<'a>,
        how: &str,
        name: &str,
        got: &[f64],
        report: &mut Report,
    ) -> Outcome<()> {
        let expected = self.leaf(case.get("float64"), name)?.doubles();
        let mut undecided = match case.get("undecided").get(name) {
            Json::Nothing => vec![0.0; expected.len()],
            entry => Tensor::new(self.tensors, entry, &Json::Nothing)?.doubles(),
        };
        let every = tensor::every(case.get("float64").get(name));
        for (_, open) in undecided.iter_mut().enumerate().filter(|(at, _)| at % every != 0) {
            *open = 1.0; // a number that the file does not hold
        }
        Ok(report.compare(case, how, name, [&expected, &undecided], got)?)
    }

    /// Put the leaves of a case's state one after another, as the model takes them.
    fn state(&self, case: &Json<'a>) -> Outcome<Vec<f32>> {
        let mut state = Vec::new();
        for leaf in self.signature.get("state").list() {
            state.extend(self.leaf(case.get("call"), leaf.get("name").text())?.floats());
        }
        Ok(state)
    }

    /// Read an input or an output in a part of a case.
    fn tensor(&self, part: &Json<'a>, side: &str, name: &str) -> Result<Tensor<'a>, String> {
        let spec = self.signature.get(side).list().iter().find(|spec| spec.get("name").text() == name);
        Tensor::new(self.tensors, part.get(name), spec.unwrap_or(&Json::Nothing))
    }

    fn leaf(&self, part: &Json<'a>, name: &str) -> Result<Tensor<'a>, String> {
        Tensor::new(self.tensors, part.get(name), &Json::Nothing)
    }
}

/// Give named values as a model takes them.
fn given<'v>(values: &'v [(&'static str, Values)]) -> Vec<(&'static str, Inputs<'v>)> {
    let inputs = |values: &'v Values| match values {
        Values::Numbers(numbers) => Inputs::Numbers(numbers),
        Values::Tokens(tokens) => Inputs::Tokens(tokens),
        Values::Truths(truths) => Inputs::Truths(truths),
    };
    values.iter().map(|(name, values)| (*name, inputs(values))).collect()
}

/// Measure the microseconds of a step of one row: the median of some rounds, after one to warm up.
fn time_step(model: &'static Model) -> Outcome<f64> {
    let mut session = Session::new(model, 1)?;
    let zeros = |size, kind| match kind {
        Kind::Numbers => Values::Numbers(vec![0.0; size]),
        Kind::Tokens => Values::Tokens(vec![0; size]),
        Kind::Truths => Values::Truths(vec![false; size]),
    };
    let values: Vec<_> =
        model.inputs.iter().map(|tensor| (tensor.name, zeros(tensor.size, tensor.kind))).collect();
    let inputs = given(&values);
    let alone = model.inputs.len() == 1 && model.outputs.len() == 1;
    let alone = alone && model.outputs[0].kind == Kind::Numbers;
    let mut round = |steps: usize| -> Outcome<f64> {
        let start = Instant::now();
        for _ in 0..steps {
            if alone {
                session.step(inputs[0].1)?;
            } else {
                session.step_all(&inputs)?;
            }
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
        let told = check_manifest(&Json::parse(r#"{"format_version": 1}"#).unwrap()).unwrap_err();
        let words = "expected manifest format 2, got 1; export and scaffold";
        assert!(told.starts_with(words), "expected {words:?}, got {told:?}");
    }
}
