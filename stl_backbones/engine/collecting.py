"""What the processes of a job scored, brought to the main one without files."""

from __future__ import annotations

import itertools
from typing import Any

from mmengine.dist import dist as mmengine_dist

from stl_backbones.engine.distributed import Ranks


def collect_through_group(ranks: Ranks) -> None:
    """Have mmengine's metrics, of any config, send their results through the process group.

    With ``collect_device='cpu'``, the default, mmengine writes them into a folder ``.dist_test`` of
    the working directory, which several hosts need not share.

    Args:
        ranks: The job's processes.
    """

    def collect(result_part: list[Any], size: int, tmpdir: str | None = None) -> list[Any] | None:
        del tmpdir  # no file is written
        parts = ranks.gather_on_main(result_part)
        if parts is None:
            return None
        # Samplers deal the samples out one by one, and wrap around where they do not come out even.
        dealt = itertools.chain.from_iterable(itertools.zip_longest(*parts, fillvalue=_NONE))
        return [result for result in dealt if result is not _NONE][:size]

    mmengine_dist.collect_results_cpu = collect


_NONE = object()

__all__ = ["collect_through_group"]
