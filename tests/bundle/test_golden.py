"""Golden vectors are what eager gives, and any language can read them."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from rnn_export.bundle import golden
from rnn_export.bundle.golden import Case, Golden
from rnn_export.errors import BundleError
from rnn_export.signature.tree import tree_build, tree_leaves
from tests.support.cases import ModelCase, each_case
from tests.support.exports import Exported


@each_case
def test_vectors_are_what_eager_gives(case: ModelCase, exported: Exported) -> None:
    bundle = exported(case)
    model, _ = case.build()
    dtype = getattr(torch, bundle.signature.dtype)
    names = [leaf.name for leaf in bundle.signature.state]
    for vector in bundle.cases:
        state = dict(zip(names, map(torch.tensor, vector.state), strict=True))
        with torch.no_grad():
            inputs = map(torch.tensor, vector.inputs)
            result = model.to(dtype)(*inputs, tree_build(bundle.signature.tree, state.get))
        for got, want in zip(tree_leaves(result), vector.results(bundle.signature.dtype), strict=True):
            torch.testing.assert_close(got, torch.tensor(want), equal_nan=True)


@each_case
def test_grid_is_complete(case: ModelCase, exported: Exported) -> None:
    _, (inputs, _) = case.build()
    steps, batch = inputs.shape[:2]
    runs = [vector for vector in exported(case).cases if vector.kind == golden.RUN]
    sizes = {(vector.time, vector.batch) for vector in runs}
    assert {(t, b) for t in (1, 2, 7, steps) for b in (1, 2, 5)} <= sizes
    assert max(t for t, _ in sizes) > steps
    assert batch in {1, 2, 5} or all(b != batch for _, b in sizes)
    random = [vector for vector in runs if "random" in vector.name]
    assert {(t, b) for t in (1, 2, 7, steps) for b in (1, 2, 5)} <= {(v.time, v.batch) for v in random}
    assert all(leaf.any() for vector in random for leaf in vector.state)
    moments = [vector for vector in exported(case).cases if vector.kind == golden.STEP]
    assert len(moments) >= (20 if case.streamable else 0)
    assert all(vector.time == 1 for vector in moments)


def test_a_few_lines_of_any_language_read_them(rnn: ModelCase, exported: Exported) -> None:
    """No numpy: offsets, shapes and little-endian floats are all there is to it."""
    bundle = exported(rnn)
    index = json.loads((bundle.folder / golden.INDEX).read_text())
    blob = (bundle.folder / "golden" / index["tensors"]).read_bytes()
    for entry, vector in zip(index["cases"] + index["non_finite"], bundle.cases, strict=True):
        place = entry["call"]["inputs"]
        count = entry["time"] * entry["batch"] * 4
        assert place["dtype"] == "float32"
        numbers = struct.unpack_from(f"<{count}f", blob, place["offset"])
        np.testing.assert_array_equal(numbers, vector.inputs[0].ravel())
        assert 0 < entry["tolerance"]["outputs"] < 1e-3


def test_what_is_written_is_read(tmp_path: Path, rnn: ModelCase, exported: Exported) -> None:
    signature = exported(rnn).signature
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape).astype("f4") for shape in [(2, 3, 4), (3, 6), (2, 3, 3), (3, 6)]]
    arrays[2][0, 0] = [np.nan, np.inf, -0.0]
    doubles = tuple(array.astype("f8") for array in arrays[2:])
    time, batch, _ = arrays[0].shape
    case = Case("one", golden.RUN, time, batch, (arrays[0],), (arrays[1],), None, tuple(arrays[2:]), doubles)
    golden.write(tmp_path, Golden([case]), signature, {"one": [0.1, 0.2]})
    [back] = golden.read(tmp_path, signature).cases
    for got, want in zip(
        (*back.inputs, *back.state, *back.float32, *back.float64),
        (*case.inputs, *case.state, *case.float32, *case.float64),
        strict=True,
    ):
        assert got.tobytes() == want.tobytes()
        assert got.dtype == want.dtype


@pytest.mark.parametrize(
    "damage", ["not json", '{"cases": [{}]}', '{"cases": [{"call": {"inputs": {"offset": 1e9}}}]}']
)
def test_a_broken_index_is_named(tmp_path: Path, rnn: ModelCase, exported: Exported, damage: str) -> None:
    (tmp_path / "golden").mkdir()
    (tmp_path / golden.TENSORS).write_bytes(b"")
    (tmp_path / golden.INDEX).write_text(damage)
    with pytest.raises(
        BundleError, match=r"index.json(, a field| cannot be read): .* Export the bundle again"
    ):
        golden.read(tmp_path, exported(rnn).signature)
