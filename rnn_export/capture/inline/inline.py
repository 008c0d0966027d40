"""A ``forward`` in which loops stand one after another, as a model around submodules that run one each.

::

    for t in range(T): h = f(x[:, t], h)                       loop_0(x, h)
    for t in reversed(range(T)): g = b(x[:, t], g)     =>      loop_1(flip(x), g)
    return linear(cat([stack(...), stack(...)]))               linear(cat([..., flip(...)]))

For what TorchScript does not compile. Traces of several numbers of time steps are compared: what stands
there more often for more of them is a loop, whatever Python it was written in; other numbers that change are
made of the time steps. That it does what the user's module does is checked by running both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, islice, product
from operator import attrgetter

import torch
from torch import Tensor, fx, nn

from rnn_export.capture.inline.body import Loop, loop_at
from rnn_export.capture.inline.ends import with_all, without_added
from rnn_export.capture.inline.entries import Along, put_together, with_entries
from rnn_export.capture.inline.free_steps import with_free_steps
from rnn_export.capture.inline.modules import LoopOf, Plain
from rnn_export.capture.inline.repeats import Repeat, operators, repeats
from rnn_export.capture.inline.replaced import Replaced
from rnn_export.capture.inline.time_step import step_of
from rnn_export.capture.roll.agree import gives_the_same
from rnn_export.capture.roll.traced import Traced, known_sizes, name_of, traced
from rnn_export.capture.roll.windows import NotRolledError
from rnn_export.capture.traceable import set_at
from rnn_export.errors import CaptureError
from rnn_export.failures import typed
from rnn_export.module.subject import Subject
from rnn_export.program.quiet import RUNNING, unprinted
from rnn_export.signature.sizes import fit

FEWEST = 7  # time steps of a trace, beyond the fewest that the module takes
TRACES = 4
MOST_PLACES = 64  # of what repeats, at which a time step is tried to begin
# Time steps, beyond the fewest, and rows for which the two are compared.
TRIED = (0, 2), (1, 1), (2, 3), (13, 2), (30, 1), (2, 33), (300, 1), (1025, 1)


def apart(subject: Subject) -> Subject:
    """Give a module with loops in its ``forward`` as one with a submodule for each.

    Raises:
        CaptureError: there is no loop in it, it cannot be traced, or what is made of it gives something else.
    """
    signature = subject.signature
    with typed("a trace of it", CaptureError, "Please report it."):
        try:
            graph = _graph(subject)
        except NotRolledError as error:
            raise CaptureError(f"its loops cannot be taken apart: {error}") from error
    outputs = tuple(spec.name for spec in signature.outputs)
    calling = replace(
        subject.calling,
        gives={"tuple": [*outputs]},
        outputs=outputs,
        listed=False,
        in_place=False,
    )
    made = replace(subject, model=Plain(graph).eval(), calling=calling)
    with unprinted(RUNNING):
        if gives_the_same(subject, made, [(signature.least + more, rows) for more, rows in TRIED]):
            return made
    raise CaptureError("its loops cannot be taken apart: what a trace shows is not what the module gives")


def _graph(subject: Subject) -> fx.GraphModule:
    """Give what a module computes, each of its loops a call of a submodule.

    Raises:
        NotRolledError: there is none, or what is around them is another one for other time steps.
        Exception: whatever upstream raises that cannot trace it.
    """
    signature, known = subject.signature, known_sizes(subject)
    if not signature.timed:
        raise NotRolledError("it takes no sequence")
    if signature.state:  # files for whole sequences are run without one
        raise NotRolledError("it takes a state, and keeps more than that")
    usual = (steps for steps in count(signature.least + FEWEST) if steps not in known)
    traces = {steps: traced(subject, steps) for steps in islice(usual, TRACES)}
    root = _with_weights(subject, [*traces.values()])
    graphs = {steps: each.module.graph for steps, each in traces.items()}
    for graph in graphs.values():
        with_entries(graph)
    timed, axis = next(
        (place, spec.time_axis) for place, spec in enumerate(signature.inputs) if spec.time_axis is not None
    )
    loops = 0
    while found := _next_loop([*graphs.values()], (timed, axis)):
        _take_out(graphs, found, f"loop_{loops}", root, signature.least)
        loops += 1
    if not loops:
        raise NotRolledError("nothing in it stands there as often as there are time steps")
    for graph in graphs.values():
        put_together(graph)
    made = fx.GraphModule(root, with_free_steps(graphs, timed, axis))
    for name, weight in root.named_parameters():  # each by the name that the user's module has for it
        set_at(made, name, weight)
    return made


def _with_weights(subject: Subject, traces: Sequence[Traced]) -> nn.Module:
    """Give a module that has the weights of traces, by the names that the user's module has, and constants.

    A constant of the same numbers has one name in all traces: each trace counts its own.
    """
    root, flat, constants = nn.Module(), subject.flat(), dict[str, Tensor]()
    prefix = next(name for name, module in flat.named_modules() if module is subject.original)
    for trace in traces:
        _compute(trace)
        for node in trace.module.graph.find_nodes(op="get_attr"):
            name, value = str(node.target), attrgetter(str(node.target))(trace.module)
            node.target = name.removeprefix(f"{prefix}.")
            if name in trace.weights:
                set_at(root, node.target, value)
            else:
                node.target = name_of(value, constants) or f"{node.target}_{len(constants)}"
                constants.setdefault(node.target, value)
    for name, constant in constants.items():
        set_at(root, name, constant, persistent=False)
    for trace in traces:
        trace.module.graph.owning_module = root  # type: ignore[assignment]  # any module does
        _read_once(trace.module.graph)
    return root


def _compute(trace: Traced) -> None:
    """Compute what is made of constants alone, in their dtype: it would stand in each iteration of a loop."""
    graph, constants = trace.module.graph, dict[fx.Node, Tensor]()
    for node in [*graph.nodes]:
        if node.op == "get_attr" and str(node.target) not in trace.weights:
            constants[node] = attrgetter(str(node.target))(trace.module)
        given = node.all_input_nodes
        if node.op != "call_function" or not given or not constants.keys() >= {*given}:
            continue
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            continue
        args, kwargs = fx.map_arg((node.args, node.kwargs), constants.__getitem__)
        value, name = node.target(*args, **kwargs), f"_computed_{len(constants)}"
        if isinstance(value, Tensor):
            trace.module.register_buffer(name, value)
            with graph.inserting_before(node):
                made = graph.get_attr(name)
            made.meta, constants[made] = dict(node.meta), value
            node.replace_all_uses_with(made)
            graph.erase_node(node)


def _read_once(graph: fx.Graph) -> None:
    """Let one node read an attribute for all: a trace has one for each time step of a constant."""
    known = dict[object, fx.Node]()
    for node in graph.find_nodes(op="get_attr"):
        if known.setdefault(node.target, node) is not node:
            node.replace_all_uses_with(known[node.target])
            graph.erase_node(node)


def _next_loop(graphs: Sequence[fx.Graph], timed: tuple[int, int]) -> list[Loop] | None:
    """Find a loop, in each of the traces; ``timed`` are the number and the time axis of an input."""
    nodes = [operators(graph) for graph in graphs]
    for places in repeats(nodes):
        for ways in _ways(places):
            found = [*filter(None, (_loops(nodes, places, timed, *way) for way in ways))]
            if found:  # one that begins within a time step has more states
                best = min(found, key=lambda loops: (-loops[0].count, len(loops[0].states)))
                for loop in best:
                    without_added(loop)
                return best
    return None


def _ways(places: Sequence[Repeat]) -> Iterator[list[tuple[int, int]]]:
    """List in which places of what repeats a time step may begin, with the first one or without.

    The first time step may be another. What stands in front may repeat by chance, as the last time step does
    in part: then it begins later.
    """
    more, size = max(place.more for place in places), places[0].size
    yield [*product((0, 1), range(more + 1))]
    yield [*product((0, 1), range(more + 1, min(size, MOST_PLACES)))]


def _loops(
    nodes: Sequence[Sequence[fx.Node]],
    places: Sequence[Repeat],
    timed: tuple[int, int],
    first: int,
    phase: int,
) -> list[Loop] | None:
    """Take what repeats for a loop, in each of the traces."""
    places = [
        replace(place, start=place.start + first * place.size, count=place.count - first) for place in places
    ]
    try:
        loops = [with_all(loop_at(own, place, phase)) for own, place in zip(nodes, places, strict=True)]
    except NotRolledError:
        return None
    for loop in loops:
        if not loop.reads:  # it goes along nothing: an input counts its time steps
            loop.reads.append(_counting(loop, timed))
    alike = all(loop.is_like(loops[0]) for loop in loops)
    return loops if alike and all(loop.is_of_tensors and loop.is_steady for loop in loops) else None


def _counting(loop: Loop, timed: tuple[int, int]) -> Along:
    """Let a loop go along an input, of which it reads nothing."""
    place, axis = timed
    source = loop.rows[0][0].graph.find_nodes(op="placeholder")[place]
    return Along(source, axis, 0, 1, loop.count)


def _take_out(
    graphs: Mapping[int, fx.Graph], loops: Sequence[Loop], name: str, root: nn.Module, least: int
) -> None:
    """Let a submodule be called in the place of a loop, in each of the traces.

    Raises:
        NotRolledError: how often it is run is not made of the time steps, or what it takes of what it gives.
    """
    first, carried = loops[0], loops[0].carried
    runs = fit(dict(zip(graphs, (loop.count for loop in loops), strict=True)))
    if runs is None:
        raise NotRolledError("how often a loop is run is not made of the time steps")
    never = runs.of(least) < 1
    read = [loop.outside for loop in loops]
    places = sorted({place for each in read for place in each})
    # What is read of the last time step alone is the state that comes out, if it is one.
    ends = [
        place
        for place in places
        if place in carried
        and not never
        and all(each.get(place) == {loop.count - 1} for each, loop in zip(read, loops, strict=True))
    ]
    results = [place for place in places if place not in ends] or carried[:1]
    step, axes = fx.GraphModule(root, step_of(first, results)), [read.axis for read in first.reads]
    root.add_module(name, LoopOf(step, axes, len(first.contexts), len(results)).eval())
    for graph, loop in zip(graphs.values(), loops, strict=True):
        Replaced(graph, loop, results, ends, never=never).call(name)
