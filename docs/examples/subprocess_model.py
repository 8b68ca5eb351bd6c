"""A model in another program: images go to its standard input, scores come from its output.

The program is started once. For each image it reads a line ``HEIGHT WIDTH`` and the pixels,
``(H, W, 3)`` uint8 RGB as raw bytes, and answers with a line of class scores. Whatever can do so
can be scored: C++, a server's client, another Python.

    model = SubprocessModel(["./classify", "net.engine"], version="2.1")
    stl.evaluate(model, "val", work_dir="sweeps/cpp")
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import numpy as np


class SubprocessModel:
    """A running program.

    Args:
        command: The program and its arguments.
        version: What distinguishes it from others of its name.
    """

    def __init__(self, command: Sequence[str], *, version: str) -> None:
        self.name, self.version = command[0], version
        self.program = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def predict(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """Class scores of each image."""
        return [self._ask(image) for image in images]

    def _ask(self, image: np.ndarray) -> np.ndarray:
        height, width, _ = image.shape
        stdin, stdout = self.program.stdin, self.program.stdout
        stdin.write(f"{height} {width}\n".encode() + np.ascontiguousarray(image).tobytes())
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with exit code {self.program.wait()}")
        return np.array(line.split(), np.float64)
