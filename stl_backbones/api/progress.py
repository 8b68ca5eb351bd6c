"""A bar of a sweep's progress, at a terminal and in a notebook."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from stl_backbones.robustness.progress import OnProgress, SweepProgress


@contextmanager
def show_progress(progress: bool | Callable[[Any], None]) -> Iterator[OnProgress | None]:
    """What a sweep reports to.

    Args:
        progress: Whether a bar is shown; or a function that is called instead.
    """
    if not isinstance(progress, bool):
        yield progress
        return
    if not progress:
        yield None
        return
    from tqdm.auto import tqdm  # timm's and huggingface_hub's own

    with ExitStack() as held:
        bar = held.enter_context(tqdm(total=0, unit="image"))
        lines: list[Any] = []  # below the bar, one for each target of a sweep that may stop early

        def update(state: SweepProgress) -> None:
            for text in state.targets[len(lines) :]:
                own = tqdm(total=0, bar_format="{desc}", desc=text, leave=False)
                lines.append(held.enter_context(own))
            for line, text in zip(lines, state.targets, strict=False):
                line.set_description_str(text)
            if bar.total != state.total or bar.desc != state.dataset:
                bar.reset(state.total)
                bar.set_description_str(state.dataset, refresh=False)
            bar.n = state.done
            bar.set_postfix_str(_scores(state), refresh=True)

        yield update


def _scores(state: SweepProgress) -> str:
    pairs = (("clean", state.clean), ("corrupted", state.corrupted))
    known = [
        f"{name} {f'{100 * score:.1f} %' if state.is_share else f'{score:.1f}'}"
        for name, score in pairs
        if not math.isnan(score)
    ]
    return f"{state.metric}: {', '.join(known)}" if known else ""


__all__ = ["show_progress"]
