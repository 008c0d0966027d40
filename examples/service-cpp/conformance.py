"""What every server of bundles has to do, whatever it is made of and speaks: one set of expectations.

Wrong requests, which change no sequence; sequences that begin, end, and begin anew; many of them at once; too
many; those of before a restart. With the golden vectors (vectors.py) that is what ``check.py`` asks a service
over HTTP; the tests of other servers ask the same, over gRPC as well.
"""

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple

import numpy as np
from client import Bundle, CheckError, compare, expect
from protocols import Answer, Connection, Named, RefusedError
from vectors import SEQUENCE_IDS, check_metadata, expect_steps, named

from recurrent import Array

AT_ONCE, EACH = 8, 6  # sequences at once, and requests of each


class Fed:
    """A sequence that is fed step by step and compared each time."""

    def __init__(self, server: Connection, bundle: Bundle, sequence_id: str | int) -> None:
        self.server, self.bundle, self.sequence_id = server, bundle, sequence_id
        self.random = np.random.default_rng(4)
        self.state = bundle.model.initial_state(1)
        self.steps = 0

    def step(self, where: str, steps: int = 1, *, end: bool = False) -> None:
        """Feed some time steps; the first ones begin the sequence.

        Raises:
            CheckError: the answer is not right.
        """
        bundle, forms = self.bundle, self.server.protocol.forms
        inputs = bundle.draw(self.random, steps, 1)
        answer = self.server.infer(
            bundle.name,
            named(bundle, inputs),
            bundle.outputs,
            binary=forms[self.steps % len(forms)],
            sequence_id=self.sequence_id,
            sequence_start=self.steps == 0,
            sequence_end=end,
        )
        outputs, self.state = bundle.run(inputs, self.state)
        self.steps += steps
        self.check(where, answer, outputs)

    def check(self, where: str, answer: Answer, outputs: Sequence[Array]) -> None:
        """Compare an answer.

        Raises:
            CheckError: it is not right.
        """
        expect_steps(self.bundle, answer, str(self.sequence_id), self.steps)
        for name, got, expected in zip(self.bundle.outputs, answer.outputs, outputs, strict=True):
            said = f"{self.bundle.name}: a good sequence, {where}"
            if problem := compare(said, name, got, expected, self.bundle.allowed[name]).problem:
                raise CheckError(problem)


class Wrong(NamedTuple):
    """A request that is wrong: its tensors, the outputs that it asks for, and a pattern of the message."""

    what: str
    inputs: Named
    outputs: Sequence[str]
    word: str
    state: bool = False  # it is about no sequence


def wrong_requests(bundle: Bundle, binary: bool) -> list[Wrong]:
    """List what is wrong with all but itself right; NaN where the form can carry it."""
    random = np.random.default_rng(2)
    good, outputs = named(bundle, bundle.draw(random, 1, 1)), bundle.outputs
    state = named(bundle, [*bundle.draw(random, 1, 1), *bundle.model.initial_state(1)])[len(good) :]
    (name, array), *others = good
    two_rows = named(bundle, bundle.draw(random, 1, 2))
    no_steps = named(bundle, bundle.draw(random, 0, 1))
    found = [
        Wrong("another name", [("nothing", array), *others], outputs, "nothing"),
        Wrong("an input twice", [(name, array), *good], outputs, name),
        Wrong("another datatype", [(name, array.astype(np.float16)), *others], outputs, name),
        Wrong("an axis too many", [(name, array[None]), *others], outputs, name),
        Wrong("no time step", no_steps, outputs, name),
        Wrong("two rows in a sequence of one", two_rows, outputs, f"{name}|batch"),
        Wrong("a state in a sequence", [*good, *state], outputs, "state"),
        Wrong("an output that is not there", good, ["nothing"], "nothing"),
        Wrong("a state of another batch", [*two_rows, *state], bundle.names, state[0][0], state=True),
    ]
    if others:
        found.append(Wrong("an input too few", others, outputs, name))
    if len(state) > 1:
        found.append(Wrong("a part of the state", [*good, *state[1:]], outputs, state[0][0], state=True))
    for at, (spec, (name, array)) in enumerate(zip(bundle.inputs, good, strict=True)):
        tokens = [-1, spec["vocabulary"]] if "vocabulary" in spec else []
        changes: list[tuple[str, float]] = [(f"the token id {token}", token) for token in tokens]
        if spec["dtype"] == "float32" and binary:
            changes += [("NaN", np.nan), ("an infinity", np.inf)]
        for what, value in changes:
            other = [*good]
            other[at] = name, np.full_like(array, value)
            found.append(Wrong(f"{what} in {name}", other, outputs, name))
    return found


def refused(status: str, word: str, what: str, ask: Callable[[], object]) -> None:
    """Expect that a request is refused, with a message that names what is wrong.

    Raises:
        CheckError: it is not, or says something else.
    """
    try:
        ask()
    except RefusedError as error:
        expect(f"{what}: the status ({error.message})", status, error.status)
        if not re.search(word, error.message):
            raise CheckError(f"{what}: expected {word!r} in the message, got {error.message!r}") from error
    else:
        raise CheckError(f"{what}: expected that it is refused with {status}, got an answer")


def check_wrong(server: Connection, bundle: Bundle) -> None:
    """Send wrong requests, in a sequence that goes on as if there had been none.

    Raises:
        CheckError: one is not refused as it should be, or changes the sequence.
    """
    sequence = Fed(server, bundle, f"wrong-{next(SEQUENCE_IDS)}")
    sequence.step("the first step")
    for binary in server.protocol.forms:
        for wrong in wrong_requests(bundle, binary):
            for start in (False, True):  # one that would begin it anew leaves it as well
                about = {"sequence_id": sequence.sequence_id, "sequence_start": start}
                how = {"binary": binary, **({} if wrong.state else about)}
                ask = partial(server.infer, bundle.name, wrong.inputs, wrong.outputs, **how)
                if not (start and wrong.what.startswith("two rows")):  # with which one may begin
                    refused(server.protocol.wrong, wrong.word, f"{bundle.name}: {wrong.what}", ask)
            sequence.step(f"after {wrong.what}")
    sequence.step("the last step", end=True)


def check_sequences(server: Connection, bundles: Sequence[Bundle]) -> None:
    """Let sequences of each model begin, end and begin anew, under the same ids.

    Raises:
        CheckError: something is not as it should be.
    """
    for sequence_id in (next(SEQUENCE_IDS), f"a text {next(SEQUENCE_IDS)}"):
        every = [Fed(server, bundle, sequence_id) for bundle in bundles]
        for sequence in every:
            expect_unknown(sequence, "before it has begun")
            sequence.step("one request that begins and ends it", 3, end=True)
            expect_unknown(sequence, "after its end")
        every = [Fed(server, bundle, sequence_id) for bundle in bundles]
        for steps in (1, 2, 1):
            for sequence in every:
                sequence.step("beside one of another model", steps)
        for sequence in every:
            anew = Fed(server, sequence.bundle, sequence_id)
            anew.step("begun anew", 2)
            anew.step("begun anew, the end", end=True)
            expect_unknown(anew, "after its second end")


def expect_unknown(sequence: Fed, when: str) -> None:
    """Expect that a sequence is not there.

    Raises:
        CheckError: it is.
    """
    bundle, server = sequence.bundle, sequence.server
    inputs = named(bundle, bundle.draw(np.random.default_rng(1), 1, 1))
    how = {"binary": server.protocol.forms[0], "sequence_id": sequence.sequence_id}
    ask = partial(server.infer, bundle.name, inputs, bundle.outputs, **how)
    refused(server.protocol.unknown, str(sequence.sequence_id), f"{bundle.name}: a sequence {when}", ask)


def check_at_once(server: Connection, bundle: Bundle) -> None:
    """Feed several sequences at once, each by a thread; then one by several requests at once.

    Raises:
        CheckError: an answer is that of another sequence, or the answers are those of no order.
    """

    def feed(number: int) -> None:
        with server.again() as own:
            sequence = Fed(own, bundle, f"at-once-{number}")
            sequence.random = np.random.default_rng(number)
            for at in range(EACH):
                sequence.step(f"{AT_ONCE} at once", 1 + (number + at) % 3, end=at + 1 == EACH)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        for done in [threads.submit(feed, next(SEQUENCE_IDS)) for _ in range(AT_ONCE)]:
            done.result()
    one = Fed(server, bundle, f"one-{next(SEQUENCE_IDS)}")
    one.step("the first of several requests at once")
    pieces = [bundle.draw(one.random, 1 + at, 1) for at in range(AT_ONCE)]

    def send(piece: Sequence[Array]) -> Answer:
        with server.again() as own:
            inputs, binary = named(bundle, piece), server.protocol.forms[0]
            return own.infer(bundle.name, inputs, bundle.outputs, binary=binary, sequence_id=one.sequence_id)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(send, pieces))
    for answer, piece in sorted(
        zip(answers, pieces, strict=True), key=lambda pair: int(pair[0].parameters["steps"])
    ):
        one.steps += bundle.steps(piece)
        outputs, one.state = bundle.run(piece, one.state)
        one.check("several requests at once", answer, outputs)
    one.step("after several requests at once", end=True)


def check_bounds(server: Connection, bundle: Bundle, most: int, idle: float) -> None:
    """Check a server for so many sequences, which expire after so many seconds, and which has none yet.

    Raises:
        CheckError: something is not as it should be.
    """
    every = [Fed(server, bundle, f"bounded-{at}") for at in range(most + 1)]
    for sequence in every[:most]:
        sequence.step("as many as there may be")
    refused(server.protocol.full, str(most), "a sequence too many", lambda: every[most].step("too many"))
    every[0].step("beside one too many", end=True)
    every[most].step("in the place of one that ended")
    end = time.monotonic() + 2 * idle + 1
    while time.monotonic() < end:
        every[most].step("while another is idle")
        time.sleep(idle / 8)
    expect_unknown(every[1], "that was idle for too long")
    every[most].step("after another was forgotten", end=True)


def check_restart(start: Callable[[], AbstractContextManager[Connection]], bundle: Bundle) -> None:
    """Stop a server that keeps nothing, and start it again: its sequences are gone, and say so.

    Raises:
        CheckError: one goes on, from another state than its own.
    """
    with start() as server:
        Fed(server, bundle, "restarted").step("before a restart", 3)
    with start() as server:
        sequence = Fed(server, bundle, "restarted")
        expect_unknown(sequence, "of before a restart")
        sequence.step("begun anew after a restart", 2)
        sequence.step("after a restart", end=True)


def check(server: Connection, bundles: Sequence[Bundle]) -> None:
    """Check all that one server without bounds of its own can be asked; the golden vectors are apart.

    Raises:
        CheckError: something is not as it should be.
    """
    for bundle in bundles:
        check_metadata(server, bundle)
        check_wrong(server, bundle)
        check_at_once(server, bundle)
    check_sequences(server, bundles)
