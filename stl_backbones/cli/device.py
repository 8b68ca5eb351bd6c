"""``--device``: where torch computes, chosen before anything of it begins."""

from __future__ import annotations

import argparse
import os
import re
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
            visible = before.split(",") if before else []
            number = int(found[1])
            os.environ[_VISIBLE] = (
                visible[number] if number < len(visible) else "" if visible else found[1]
            )
        import torch  # heavy: only when a GPU is asked for

        if not torch.cuda.is_available():
            if before is None:
                os.environ.pop(_VISIBLE, None)
            else:
                os.environ[_VISIBLE] = before
            parser.error(f"{option_string} {values}: torch {torch.__version__} sees no such GPU")


__all__ = ["add_device"]
