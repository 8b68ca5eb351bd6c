"""What an aggregate is of: typed, so that a corruption's name is never taken for a mean's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.report.read.metrics import CellMetric, TaskMetrics

Kind = Literal[
    "clean", "average", "retention", "mce", "relative_mce", "group", "corruption", "mean", "set",
    "set-retention", "cell", "class", "break", "shape_bias",
    "effective_robustness",
]  # fmt: skip


@dataclass(frozen=True)
class Key:
    """What an aggregate is of.

    Attributes:
        kind: What it is.
        name: Which group, corruption, mean, set or cell; empty for the others.
        metric: Key of its number; empty for the task's main one.
    """

    kind: Kind
    name: str = ""
    metric: str = ""

    def of(self, task: TaskMetrics, metric: CellMetric) -> Key:
        """The same of another number."""
        return replace(self, metric="" if metric is task.main else metric.key)

    @property
    def text(self) -> str:
        """A name that nothing else has: ``'average'``, ``'group:blur'``, ``'ece:corruption:fog'``.

        Kinds are no names of metrics, and names hold no colon.
        """
        return self._of_metric(f"{self.kind}:{self.name}" if self.name else self.kind)

    @property
    def short(self) -> str:
        """The name in common use: ``'average'``, ``'blur'``, ``'ece:fog'``."""
        return self._of_metric(self.place)

    @property
    def place(self) -> str:
        """The short name without the metric's."""
        if self.kind == "set-retention":
            return f"{self.name}-retention"
        return self.name or self.kind

    def _of_metric(self, place: str) -> str:
        return f"{self.metric}:{place}" if self.metric else place

    def spellings(self, task: TaskMetrics) -> Iterator[str]:
        """All names by which a requirement may ask for it."""
        typed = replace(self, metric="").text
        aliases = (alias for alias, place in task.aliases.items() if place == self.kind)
        metric = self.metric or task.main.key
        for place in dict.fromkeys((self.place, typed, *aliases)):
            yield f"{metric}:{place}"
            if not self.metric:
                yield place
        if self.kind == "clean":
            yield metric


CLEAN_KEY, AVERAGE, RETENTION = Key("clean"), Key("average"), Key("retention")


def average_key(protocol: Protocol) -> Key:
    """The mean over a protocol; of a choice of its cells under another name."""
    return Key("mean", "chosen") if protocol.part_of else AVERAGE


def retention_key(protocol: Protocol) -> Key:
    """That mean's share of the clean score."""
    return Key("mean", "chosen-retention") if protocol.part_of else RETENTION
