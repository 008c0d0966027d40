"""Tables of Arrow in, tables of results out: for any engine that hands tables to a function of Python."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from rnn_export.fleets.plan import Asked, plan
from rnn_export.fleets.scorer import Scorer
from rnn_export.runtimes.load import load
from rnn_export.runtimes.table import Runner

ROWS = "a table"  # in errors


class TableScorer:
    """Runs a bundle over the rows of tables: ``results = scorer(table)``.

    It can be pickled: another process loads the bundle again, from the same folder. :meth:`batches` is what
    Spark's ``mapInArrow`` takes.

    Args:
        bundle: its folder, or a runner of it.
        columns: the column of a tensor, where it is called differently: ``{"inputs": "features"}``.
        keep: the columns that are copied; ``None`` copies all that the model does not take.
        state: whether the new state is written, too.
        cast: whether numbers of another type may be rounded to the model's.
        runtime: as :func:`rnn_export.load` takes it.

    Raises:
        BundleError: there is no bundle.
        RuntimeUnavailableError: it does not run in this runtime.
    """

    def __init__(
        self,
        bundle: str | Path | Runner,
        *,
        columns: Mapping[str, str] | None = None,
        keep: Sequence[str] | None = None,
        state: bool = False,
        cast: bool = False,
        runtime: str = "c",
    ) -> None:
        self._runner = bundle if isinstance(bundle, Runner) else load(bundle, runtime)
        self._asked = Asked(dict(columns or {}), keep if keep is None else tuple(keep), state, cast)
        self._scorer = lru_cache(self._planned)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the runner, which is loaded again, and what is asked."""
        return _made, (self._runner, self._asked)

    def _planned(self, schema: Any) -> Scorer:
        return Scorer(self._runner, plan(self._runner.signature, schema, self._asked, ROWS))

    def __call__(self, table: Any) -> Any:
        """Give the results of a table's rows, in their order.

        Raises:
            InputError: a column is missing, or has another type, or a row is not what the model takes.
        """
        return self._scorer(table.schema)(table, ROWS)

    def batches(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Give the results of record batches of Arrow, as record batches."""
        for batch in batches:
            yield from self(pa.Table.from_batches([batch])).to_batches()


def _made(runner: Runner, asked: Asked) -> TableScorer:
    return TableScorer(runner, columns=asked.columns, keep=asked.keep, state=asked.state, cast=asked.cast)
