"""Exports that take a tenth of a second, and disks that are full: what the tests of faults need."""

import errno
import io
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rnn_export
from rnn_export.bundle import staging
from rnn_export.bundle.bundle import Bundle, describe_files
from rnn_export.capture import step
from rnn_export.passes import forms
from rnn_export.verification import verify_export
from rnn_export.verification.verify import VerificationReport
from tests.support.cases import ModelCase

FULL = "No space left on device"
Export = Callable[[Path], Bundle]


def quick_export(case: ModelCase, verified: Bundle, monkeypatch: pytest.MonkeyPatch) -> Export:
    """Give the export of a case that overwrites: traced once, and verified as a bundle of it was."""
    for module, name in ((step, "capture"), (forms, "optimize")):
        monkeypatch.setattr(module, name, _once(getattr(module, name)))
    report = VerificationReport.stored(verified.manifest)
    report = report.renamed("model.onnx", f"variants/{verified.manifest.form}.onnx")
    monkeypatch.setattr(verify_export, "check_bundle", lambda *_: report)
    model, example = case.build()
    return lambda folder: rnn_export.export(model, example, folder, name=case.name, overwrite=True)


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    results: list[Any] = []

    def once(*arguments: Any) -> Any:
        if not results:
            results.append(function(*arguments))
        return results[0]

    return once


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def digest(folder: Path) -> dict[str, dict[str, Any]]:
    """Describe every file of a folder."""
    return {**describe_files(folder), "manifest": {"text": (folder / "manifest.json").read_bytes()}}


class Disk:
    """A disk that is full from the n-th time on that something is written, or never."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.last = 0, sys.maxsize
        opened = io.open
        for module, name in ((os, "mkdir"), (os, "rename"), (os, "replace"), (staging, "_rename")):
            monkeypatch.setattr(module, name, self.counted(getattr(module, name)))
        monkeypatch.setattr(
            os, "fsync", self.counted(os.fsync, lambda file: stat.S_ISREG(os.fstat(file).st_mode))
        )
        monkeypatch.setattr(os, "open", self.counted(os.open, lambda _, flags, *__: flags & os.O_CREAT))

        def open_file(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if not {*mode} & {*"wax"}:
                return opened(path, mode, *arguments, **options)
            self.count()
            file = opened(path, mode, *arguments, **options)
            file.write = self.counted(file.write)
            return file

        monkeypatch.setattr(io, "open", open_file)

    def count(self) -> None:
        self.calls += 1
        if self.calls >= self.last:
            raise OSError(errno.ENOSPC, FULL)

    def counted(
        self, function: Callable[..., Any], which: Callable[..., object] = lambda *_: True
    ) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if which(*arguments):
                self.count()
            return function(*arguments, **options)

        return call
