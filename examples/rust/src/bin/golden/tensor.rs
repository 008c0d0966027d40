//! Tensors of `golden/tensors.bin`, which is little-endian, and their time steps.

use std::borrow::Cow;

use crate::json::Json;
use recurrent::Values;

/// A tensor: the sizes of and behind the time axis; with none, it is the same for all, or of the last step.
pub struct Tensor<'a> {
    bytes: Cow<'a, [u8]>,
    dtype: &'a str,
    time: usize,
    inner: usize,
}

impl<'a> Tensor<'a> {
    /// Find a tensor by its entry in the index; `spec`, of the manifest, tells which axis is time.
    pub fn new(file: &'a [u8], entry: &Json<'a>, spec: &Json<'_>) -> Result<Tensor<'a>, String> {
        let dtype = entry.get("dtype").text();
        let shape: Vec<usize> = entry.get("shape").list().iter().map(|size| size.number() as usize).collect();
        let axis = spec.get("shape").list().iter().position(|size| size.text() == "time");
        let (_, behind) = shape.split_at(axis.unwrap_or(shape.len()).min(shape.len()));
        let (time, behind) = behind.split_first().unwrap_or((&1, &[]));
        let (count, every) = (shape.iter().product::<usize>(), every(entry));
        let size = (count / every + usize::from(count % every != 0)) * width(dtype);
        let start = entry.get("offset").number() as usize;
        let bytes = file.get(start..).and_then(|rest| rest.get(..size));
        let bytes = bytes.ok_or_else(|| format!("expected a tensor in tensors.bin, got {entry:?}"))?;
        let bytes = if every == 1 { Cow::from(bytes) } else { apart(bytes, every, count, width(dtype)) };
        Ok(Tensor { bytes, dtype, time: *time, inner: behind.iter().product() })
    }

    pub fn values(&self) -> Values {
        values(&self.bytes, self.dtype)
    }

    /// Give the numbers for comparison.
    pub fn doubles(&self) -> Vec<f64> {
        match self.dtype {
            "float64" => self.bytes.chunks_exact(8).map(|bytes| f64::from_le_bytes(array(bytes))).collect(),
            _ => doubles(&self.values()),
        }
    }

    /// Give a tensor as the model's state has it: an integer takes two floats, a truth value one of 32 bits.
    pub fn floats(&self) -> Vec<f32> {
        match self.dtype {
            "bool" => {
                self.bytes.iter().map(|byte| f32::from_bits(if *byte == 0 { 0 } else { u32::MAX })).collect()
            }
            _ => self.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(array(bytes))).collect(),
        }
    }

    /// Cut out one time step, which lies in pieces if time is not the first axis.
    pub fn step(&self, step: usize) -> Values {
        let piece = self.inner * width(self.dtype);
        let pieces =
            self.bytes.chunks_exact(piece).skip(step.min(self.time - 1)).step_by(self.time).flatten();
        values(&pieces.copied().collect::<Vec<u8>>(), self.dtype)
    }

    /// Put the results of one time step where they belong in all of them.
    pub fn place(&self, step: usize, from: &Values, to: &mut Values) {
        match (from, to) {
            (Values::Numbers(from), Values::Numbers(to)) => self.place_in(step, from, to),
            (Values::Tokens(from), Values::Tokens(to)) => self.place_in(step, from, to),
            (Values::Truths(from), Values::Truths(to)) => self.place_in(step, from, to),
            _ => unreachable!("a model gives a tensor in one kind"),
        }
    }

    fn place_in<T: Copy>(&self, step: usize, from: &[T], to: &mut [T]) {
        // With no time axis, a step replaces the one before: the last one stays.
        let places = to.chunks_exact_mut(self.inner).skip(step.min(self.time - 1)).step_by(self.time);
        for (place, piece) in places.zip(from.chunks_exact(self.inner)) {
            place.copy_from_slice(piece);
        }
    }
}

/// Tell which numbers of a large tensor the file holds: each first, second, third, ... one.
pub fn every(entry: &Json<'_>) -> usize {
    match entry.get("every") {
        Json::Nothing => 1,
        every => (every.number() as usize).max(1),
    }
}

/// Put the numbers that the file holds to their places, zeros between them.
fn apart(stored: &[u8], every: usize, count: usize, width: usize) -> Cow<'static, [u8]> {
    let mut all = vec![0; count * width];
    for (place, number) in all.chunks_exact_mut(width).step_by(every).zip(stored.chunks_exact(width)) {
        place.copy_from_slice(number);
    }
    Cow::from(all)
}

/// Give values as numbers.
pub fn doubles(values: &Values) -> Vec<f64> {
    match values {
        Values::Numbers(values) => values.iter().map(|value| f64::from(*value)).collect(),
        Values::Tokens(values) => values.iter().map(|value| *value as f64).collect(),
        Values::Truths(values) => values.iter().map(|value| f64::from(u8::from(*value))).collect(),
    }
}

/// Give floats of the model's state as the numbers that they stand for.
pub fn leaf(floats: &[f32], dtype: &str) -> Vec<f64> {
    if dtype == "bool" {
        return floats.iter().map(|float| f64::from(u8::from(float.to_bits() != 0))).collect();
    }
    let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
    doubles(&values(&bytes, dtype))
}

fn values(bytes: &[u8], dtype: &str) -> Values {
    let elements = bytes.chunks_exact(width(dtype));
    match dtype {
        "int64" => Values::Tokens(elements.map(|bytes| i64::from_le_bytes(array(bytes))).collect()),
        "bool" => Values::Truths(bytes.iter().map(|byte| *byte != 0).collect()),
        _ => Values::Numbers(elements.map(|bytes| f32::from_le_bytes(array(bytes))).collect()),
    }
}

fn width(dtype: &str) -> usize {
    match dtype {
        "float64" | "int64" => 8,
        "bool" => 1,
        _ => 4,
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("chunks of the element's width")
}
