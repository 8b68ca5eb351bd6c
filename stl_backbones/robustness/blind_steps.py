"""Steps of a pipeline that never look at the image, run once for all versions of it.

Such as those that load label maps. That a step is one is found by what happens: it is given the
results without the image, and must not ask for it. One that asks is left alone from then on.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Results = dict[str, Any]  # what goes from one step of a pipeline to the next
Step = Callable[[Results], Any]
_IMAGE = "img"


@dataclass(frozen=True)
class Work:
    """What a step did to the results, by the names of their entries.

    Attributes:
        given: What it was given, as bytes to compare.
        changed: What it put there.
        removed: What it took away.
    """

    given: dict[str, bytes]
    changed: Results
    removed: frozenset[str]


class BlindSteps:
    """The blind steps of a pipeline."""

    def __init__(self) -> None:
        self._seeing: set[Any] = set()

    def run(self, key: Any, step: Step, results: Results, done: dict[Any, Work]) -> Any:
        """Run a step, or repeat what it did to the same results of another version.

        Args:
            key: Names the step.
            step: The step.
            results: Given to it; they hold the image.
            done: What was done for the image's earlier versions; filled.

        Returns:
            What the step returns.
        """
        work = None if key in self._seeing else self._find(key, step, results, done)
        if work is None:
            return step(results)
        for name in work.removed:
            del results[name]
        results.update(copy.deepcopy(work.changed))
        return results

    def _find(self, key: Any, step: Step, results: Results, done: dict[Any, Work]) -> Work | None:
        try:
            given = _as_bytes(results)
            if key not in done or done[key].given != given:
                blind = {name: value for name, value in results.items() if name != _IMAGE}
                done[key] = _try(step, copy.deepcopy(blind), given)
            return done[key]
        except Exception:  # whatever a step raises that misses the image
            self._seeing.add(key)
            return None


def _try(step: Step, values: Results, given: dict[str, bytes]) -> Work:
    unseen = _Unseen(values)
    out = step(unseen)
    if out is not unseen or unseen.asked or dict.__contains__(unseen, _IMAGE):
        raise _SeesError
    left = dict(dict.items(unseen))
    after = _as_bytes(left)
    changed = {name: left[name] for name, value in after.items() if given.get(name) != value}
    return Work(given, changed, frozenset(given.keys() - after.keys()))


def _as_bytes(results: Results) -> dict[str, bytes]:
    return {name: pickle.dumps(value) for name, value in results.items() if name != _IMAGE}


class _SeesError(Exception):
    """The step looks at the image."""


class _Unseen(Results):
    """Results without the image, that notice questions about it, or about all at once."""

    asked = False

    def __missing__(self, name: str) -> Any:
        self.asked |= name == _IMAGE
        raise KeyError(name)


def _noticing(method: str, *, by_name: bool) -> Callable[..., Any]:
    original = getattr(dict, method)

    def call(self: _Unseen, *args: Any) -> Any:
        if not by_name or args[0] == _IMAGE:
            self.asked = True
        return original(self, *args)

    return call


for _method in ("__contains__", "__delitem__", "get", "pop", "setdefault"):
    setattr(_Unseen, _method, _noticing(_method, by_name=True))
for _method in ("__iter__", "__len__", "__or__", "__reduce_ex__", "copy", "items", "keys",
                "popitem", "values"):  # fmt: skip
    setattr(_Unseen, _method, _noticing(_method, by_name=False))

__all__ = ["BlindSteps", "Work"]
