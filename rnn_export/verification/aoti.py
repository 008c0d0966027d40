"""A bundle's ``model.pt2`` as a package of AOTInductor: built, compared with eager, and only then written."""

from pathlib import Path

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.layout import MODEL_PT2
from rnn_export.bundle.staging import beside, explained, sync
from rnn_export.errors import BundleError, RuntimeUnavailableError
from rnn_export.runtimes import aoti, torch_export
from rnn_export.signature.signature import identifier
from rnn_export.verification.compare import Check
from rnn_export.verification.shipped import check_passed, compared

ENDING = "_aoti.pt2"


def ship_aoti(folder: str | Path, result: Path) -> tuple[Path, Check]:
    """Write a bundle's ``model.pt2`` as a package of AOTInductor, ``NAME_aoti.pt2``, if it is right.

    Every golden vector is run, whole, cut and step by step, and compared with eager PyTorch as the bundle's
    own files are.

    Returns:
        The file, and what was made of it.

    Raises:
        BundleError: there is no bundle, or a file is not the one that was written; or the result's folder
            cannot be written, or the compiler fails.
        RuntimeUnavailableError: the bundle has no ``model.pt2``, or there is no C++ compiler.
        VerificationError: what was built does not agree with eager PyTorch.
    """
    bundle = Bundle.open(folder)
    if MODEL_PT2 not in bundle.manifest.files:
        raise RuntimeUnavailableError(f"{folder} has no {MODEL_PT2}: {bundle.why_without(MODEL_PT2)}")
    target = result / f"{identifier(bundle.manifest.name)}{ENDING}"
    with explained(result, BundleError), beside(target) as own:
        built = own / target.name
        program = torch_export.program(bundle.folder / MODEL_PT2, bundle.files.read)
        aoti.build(program, bundle.signature, built)
        call = aoti.start(built, bundle.signature)
        check = compared(call, bundle, target.name, aoti.NAME)
        check_passed(check, target)
        sync(own)
        built.replace(target)
    return target, check
