"""The folder: written whole or not at all, and read only if it is what was written."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rnn_export
from rnn_export.bundle.bundle import MANIFEST, Bundle, Manifest, manifest_text, staged
from rnn_export.errors import BundleError
from tests.support.cases import ModelCase, each_case
from tests.support.exports import Exported


@each_case
def test_opens_with_everything_in_it(case: ModelCase, exported: Exported) -> None:
    bundle = Bundle.open(exported(case).folder)
    forms = {*(f"variants/{form}.onnx" for form in ("scan", "operator", "gated")), "model.c", "model.h"}
    assert set(bundle.manifest.files) - forms == {
        "model.pt",
        "model.onnx",
        *(["step.onnx"] if bundle.signature.streamable else []),
        "variants/loop.onnx",
        "golden/index.json",
        "golden/tensors.bin",
        "report.html",
        "README.md",
    }
    assert bundle.manifest == exported(case).manifest


def test_a_bundle_is_shown_in_three_lines(rnn: ModelCase, exported: Exported) -> None:
    bundle = exported(rnn)
    name, call, files = repr(bundle).splitlines()
    assert name == f"Bundle 'rnn' in {bundle.folder}"
    assert call == (
        "  call: inputs float32 [time, batch, 4], state_0 float32 [batch, 6]"
        " -> outputs float32 [time, batch, 3], state_0_out float32 [batch, 6]"
    )
    assert files.startswith(
        "  files: README.md, model.c, model.h, model.onnx, model.pt, report.html, step.onnx and "
    )
    assert files.endswith(" bytes")


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["model.pt", "model.onnx", "variants/loop.onnx", "golden/tensors.bin"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "is missing"),
        (append, r"has \d+ bytes, expected \d+"),
        (truncate, r"has \d+ bytes, expected \d+"),
        (flip, "has sha256 [0-9a-f]{64}, expected [0-9a-f]{64}"),
    ],
)
def test_a_damaged_file_is_named(
    tmp_path: Path,
    rnn: ModelCase,
    exported: Exported,
    file: str,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    damage(folder / file)
    with pytest.raises(BundleError, match=f"{file} {message}. The bundle was changed"):
        Bundle.open(folder)


def test_an_extra_file_is_named(tmp_path: Path, rnn: ModelCase, exported: Exported) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    (folder / "golden" / "more.bin").touch()
    with pytest.raises(BundleError, match=r"golden/more.bin is not in the manifest"):
        Bundle.open(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 1}, "format version: expected 2, got 1. Export the bundle again"),
        ({"format_version": 3}, "format version: expected 2, got 3. Update rnn-export"),
        ({"format": "zip"}, "is not the manifest of a bundle"),
        ({"signature": {}}, "missing required field `inputs`"),
        ({"color": "red"}, "contains unknown field `color`. Export"),
    ],
)
def test_another_manifest_is_named(
    tmp_path: Path, rnn: ModelCase, exported: Exported, change: dict[str, object], message: str
) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    manifest = folder / MANIFEST
    manifest.write_text(manifest_text({**json.loads(manifest.read_text()), **change}))
    with pytest.raises(BundleError, match=message):
        Bundle.open(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "null"])
def test_a_manifest_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match="is not the manifest of a bundle"):
        Bundle.open(tmp_path)


def test_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"expected a folder with manifest.json, got no such path"):
        Bundle.open(tmp_path / "nowhere")


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "parent" / "bundle"
    with staged(target, overwrite=False) as staging:
        (staging / "file").write_text("new")
        assert not target.exists()
    assert (target / "file").read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["bundle"]


def existing(tmp_path: Path) -> Path:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / MANIFEST).write_text("old")
    return target


def test_an_error_leaves_nothing_behind_and_the_old_bundle_alone(tmp_path: Path) -> None:
    target = existing(tmp_path)
    with pytest.raises(ZeroDivisionError), staged(target, overwrite=True) as staging:  # noqa: PT012
        (staging / MANIFEST).write_text("new")
        raise ZeroDivisionError
    assert (target / MANIFEST).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_overwrite_replaces_the_whole_folder(tmp_path: Path) -> None:
    target = existing(tmp_path)
    (target / "stale").touch()
    with staged(target, overwrite=True) as staging:
        (staging / MANIFEST).write_text("new")
    assert [path.name for path in target.iterdir()] == [MANIFEST]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_an_existing_bundle_is_not_replaced_unasked(tmp_path: Path) -> None:
    target = existing(tmp_path)
    with (
        pytest.raises(BundleError, match=r"bundle exists. Name another folder, or pass overwrite=True"),
        staged(target, overwrite=False),
    ):
        pytest.fail("was entered")


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_a_bundle_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").touch()
    for target in (tmp_path, tmp_path / "thesis.tex"):
        with (
            pytest.raises(BundleError, match="expected no such path, or a bundle, got something else"),
            staged(target, overwrite=overwrite),
        ):
            pytest.fail("was entered")


def test_a_folder_that_appeared_meanwhile_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with pytest.raises(BundleError, match="bundle exists"), staged(target, overwrite=False) as staging:  # noqa: PT012
        (staging / MANIFEST).write_text("mine")
        existing(tmp_path)
    assert (target / MANIFEST).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_could_not_be_read_is_not_written(
    tmp_path: Path, rnn: ModelCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnn_export.bundle.untrusted.json_text.JSON_BYTES", 1000)
    with pytest.raises(BundleError, match=r"manifest.json: expected at most 1000 bytes, got \d+"):
        rnn_export.export(*rnn.build(), tmp_path / "bundle")
    assert not [*tmp_path.iterdir()]


def test_a_copy_is_what_was_opened(tmp_path: Path, rnn: ModelCase, exported: Exported) -> None:
    bundle = exported(rnn)
    bundle.copy(tmp_path / "copy")
    assert Bundle.open(tmp_path / "copy").manifest == bundle.manifest
    for path in [*bundle.folder.rglob("*.*")]:
        assert (tmp_path / "copy" / path.relative_to(bundle.folder)).read_bytes() == path.read_bytes()


@pytest.mark.usefixtures("as_nobody")
def test_a_folder_that_cannot_be_written_is_named() -> None:
    with (
        pytest.raises(BundleError, match=r"/var/bundle cannot be written: .*Permission denied"),
        staged(Path("/var/bundle"), overwrite=False),
    ):
        pytest.fail("was entered")


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(BundleError, match=r"cannot be written: .* Name a folder that you may write to"),
        staged(tmp_path / "file" / "bundle", overwrite=False),
    ):
        pytest.fail("was entered")


def test_every_bit_of_the_manifest_is_covered_by_its_digest(rnn: ModelCase, exported: Exported) -> None:
    content = bytearray((exported(rnn).folder / MANIFEST).read_bytes())
    where = exported(rnn).folder / MANIFEST
    Manifest.from_json(bytes(content), where)
    chosen = random.Random(0)
    for _ in range(300):
        place, bit = chosen.randrange(len(content)), 1 << chosen.randrange(8)
        content[place] ^= bit
        with pytest.raises(BundleError):
            Manifest.from_json(bytes(content), where)
        content[place] ^= bit


def test_calls_with_nan_are_in_a_list_of_their_own(rnn: ModelCase, exported: Exported) -> None:
    bundle = exported(rnn)
    index = json.loads((bundle.folder / "golden" / "index.json").read_text())
    names = {case.name for case in bundle.cases if not np.isfinite(case.inputs[0]).all()}
    assert names == {entry["name"] for entry in index["non_finite"]} != set()
    assert not names & {entry["name"] for entry in index["cases"]}
