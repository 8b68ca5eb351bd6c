"""ONNX files in onnxruntime, whose errors become one line of the user's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from stl_backbones.errors import InputError

CPU = "CPUExecutionProvider"


def open_session(
    file: bytes | Path, *, providers: Sequence[str] = (CPU,), name: str = "the file"
) -> Any:
    """Open a file, or its content.

    As many threads as torch takes, which do not spin while they wait: the processes that load and
    corrupt images need the cores.

    Args:
        file: Where it is, or its content.
        providers: Names of execution providers, in the order of preference.
        name: The file in a message.

    Raises:
        InputError: If onnxruntime cannot run it, or it gives nothing.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is fatal; errors are raised too
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with explained(name):
        session = onnxruntime.InferenceSession(
            file if isinstance(file, bytes) else str(file), options, providers=list(providers)
        )
        outputs = session.get_outputs()
        for one in (*session.get_inputs(), *outputs):  # raises for what is no UTF-8
            _ = one.name, one.type, one.shape
    if not outputs:
        raise InputError(f"{name} has no outputs")
    return session


@contextmanager
def explained(name: str, *, hint: str = "") -> Iterator[None]:
    """Turn onnxruntime's errors into the user's.

    Args:
        name: The file in a message.
        hint: What to do, after the message.

    Raises:
        InputError: For what onnxruntime raises.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    try:
        yield
    except (
        errors.EPFail, errors.Fail, errors.InvalidArgument, errors.InvalidGraph,
        errors.InvalidProtobuf, errors.NoSuchFile, errors.NotImplemented, errors.RuntimeException,
        UnicodeDecodeError,
    ) as error:  # fmt: skip
        raise InputError(
            f"onnxruntime {onnxruntime.__version__} cannot run {name}: {reason(error)}{hint}"
        ) from error


def reason(error: BaseException) -> str:
    """The first line of what began it; torch wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


__all__ = ["CPU", "explained", "open_session", "reason"]
