//! Tensors of `golden/tensors.bin`, which is little-endian, and their time steps.

use crate::json::Json;

/// A tensor: the sizes before, of and behind the time axis; with none, it belongs to the last time step.
pub struct Tensor<'a> {
    bytes: &'a [u8],
    dtype: &'a str,
    outer: usize,
    pub time: usize,
    inner: usize,
}

/// The values of a tensor, or of one step of it.
pub enum Values {
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Integers(Vec<i64>),
}

impl<'a> Tensor<'a> {
    /// Find a tensor by its entry in the index; `spec`, of the manifest, tells which axis is time.
    pub fn new(file: &'a [u8], entry: &Json<'a>, spec: &Json<'_>) -> Result<Tensor<'a>, String> {
        let dtype = entry.get("dtype").text();
        let shape: Vec<usize> = entry.get("shape").list().iter().map(|size| size.number() as usize).collect();
        let axis = spec.get("shape").list().iter().position(|size| size.text() == "time");
        let (before, behind) = shape.split_at(axis.unwrap_or(shape.len()).min(shape.len()));
        let (time, behind) = behind.split_first().unwrap_or((&1, &[]));
        let size = shape.iter().product::<usize>() * width(dtype);
        let start = entry.get("offset").number() as usize;
        let bytes = file.get(start..).and_then(|rest| rest.get(..size));
        let bytes = bytes.ok_or_else(|| format!("expected a tensor in tensors.bin, got {entry:?}"))?;
        Ok(Tensor {
            bytes,
            dtype,
            outer: before.iter().product(),
            time: *time,
            inner: behind.iter().product(),
        })
    }

    pub fn count(&self) -> usize {
        self.outer * self.time * self.inner
    }

    pub fn values(&self) -> Values {
        values(self.bytes, self.dtype)
    }

    /// Give a tensor as the model's state has it: an integer takes two floats.
    pub fn floats(&self) -> Vec<f32> {
        self.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(array(bytes))).collect()
    }

    /// Cut out one time step, which lies in pieces if time is not the first axis.
    pub fn step(&self, step: usize) -> Values {
        let piece = self.inner * width(self.dtype);
        let pieces = self.bytes.chunks_exact(piece).skip(step).step_by(self.time).flatten();
        values(&pieces.copied().collect::<Vec<u8>>(), self.dtype)
    }

    /// Put the results of one time step where they belong in all of them.
    pub fn place(&self, step: usize, from: &[f32], to: &mut [f32]) {
        // With no time axis, a step replaces the one before: the last one stays.
        let places = to.chunks_exact_mut(self.inner).skip(step.min(self.time - 1)).step_by(self.time);
        for (place, piece) in places.zip(from.chunks_exact(self.inner)) {
            place.copy_from_slice(piece);
        }
    }
}

impl Values {
    pub fn doubles(self) -> Vec<f64> {
        match self {
            Values::Floats(values) => values.into_iter().map(f64::from).collect(),
            Values::Doubles(values) => values,
            Values::Integers(values) => values.into_iter().map(|value| value as f64).collect(),
        }
    }
}

/// Give floats of the model's state as the numbers that they stand for.
pub fn leaf(floats: &[f32], dtype: &str) -> Vec<f64> {
    let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
    values(&bytes, dtype).doubles()
}

fn values(bytes: &[u8], dtype: &str) -> Values {
    let elements = bytes.chunks_exact(width(dtype));
    match dtype {
        "float64" => Values::Doubles(elements.map(|bytes| f64::from_le_bytes(array(bytes))).collect()),
        "int64" => Values::Integers(elements.map(|bytes| i64::from_le_bytes(array(bytes))).collect()),
        _ => Values::Floats(elements.map(|bytes| f32::from_le_bytes(array(bytes))).collect()),
    }
}

fn width(dtype: &str) -> usize {
    match dtype {
        "float64" | "int64" => 8,
        _ => 4,
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("chunks of the element's width")
}
