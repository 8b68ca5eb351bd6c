"""``--device``: where torch computes, chosen before anything of it begins."""

from __future__ import annotations

import argparse
import os
import re
import warnings
from collections.abc import Sequence
from typing import Any

_NAME = re.compile(r"cpu|cuda(?::(\d+))?")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a device."""
    parser.add_argument(
        "--device",
        action=_Device,
        metavar="DEVICE",
        help="cpu, cuda or cuda:N; default: a GPU where there is one",
    )


class _Device(argparse.Action):
    """Shows CUDA the one device, or none: whatever asks for a GPU then finds that."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        found = _NAME.fullmatch(str(values))
        if found is None:
            parser.error(f"{option_string}: expected cpu, cuda or cuda:N, got '{values}'")
        setattr(namespace, self.dest, values)
        before = os.environ.get(_VISIBLE)
        if values == "cpu":
            os.environ[_VISIBLE] = ""
            return
        if found[1]:
            os.environ[_VISIBLE] = _nth(before, int(found[1]))
        import torch  # heavy: only when a GPU is asked for

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            is_there = torch.cuda.is_available()
        if not is_there:
            if before is None:
                os.environ.pop(_VISIBLE, None)
            else:
                os.environ[_VISIBLE] = before
            parser.error(f"{option_string} {values}: {_why_none(before, said)}")


def _nth(visible: str | None, number: int) -> str:
    """What shows CUDA one of the devices that it sees; nothing if there are not so many."""
    if visible is None:
        return str(number)
    names = visible.split(",")
    return names[number] if number < len(names) else ""


def _why_none(visible: str | None, said: Sequence[warnings.WarningMessage]) -> str:
    """Why torch sees no GPU, as far as is known."""
    import torch

    text = f"torch {torch.__version__} sees no such GPU"
    if said:  # torch warns of a driver that fails, or that is too old
        return f"{text}: {' '.join(str(said[0].message).split())}"
    if torch.version.cuda is None and torch.version.hip is None:
        return f"{text}: it was built for CPUs"
    return text if visible is None else f"{text}; {_VISIBLE} is '{visible}'"


__all__ = ["add_device"]
