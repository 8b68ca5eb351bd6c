"""Write the hashes of everything that `make` installs: dev-hashes.txt and build-hashes.txt.

    pip install uv
    python requirements/lock.py

The pins stay in constraints.txt; run this after a change there or in setup.py. All files that
PyPI holds of a pin are listed, so that each Python from 3.10 to 3.12 finds its own, on Linux and
on a Mac of today. build-hashes.txt is the part that mmcv needs to be compiled.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PINS = HERE / "constraints.txt"
TOOLS = ("pip", "setuptools", "wheel", "ninja")
BUILD = (*TOOLS, "numpy", "torch", "torchvision")  # what is installed before mmcv
EXTRAS = ("openmmlab", "onnx", "examples", "dev")
PYTHON, BELOW = "3.10", "3.13"
PLATFORMS = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))


def main() -> int:
    """Ask PyPI, through uv."""
    if shutil.which("uv") is None:
        sys.stderr.write("lock.py: error: uv is not on PATH; pip install uv\n")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "pyproject.toml").write_text(_project(), encoding="utf-8")
        extras = [word for name in EXTRAS for word in ("--extra", name)]
        whole = _compile(place, TOOLS, PINS, [str(HERE.parent / "setup.py"), *extras])
        (place / "whole.txt").write_text(whole, encoding="utf-8")
        part = _compile(place, BUILD, place / "whole.txt")
    for name, text in (("dev", whole), ("build", part)):
        path = HERE / f"{name}-hashes.txt"
        head = "# By requirements/lock.py, from constraints.txt.\n"
        path.write_text(head + text, encoding="utf-8")
        sys.stdout.write(f"wrote {path}: {text.count('==')} pins\n")
    return 0


def _project() -> str:
    """Where uv looks for the systems that the files are for."""
    systems = [
        f"python_version < '{BELOW}' and sys_platform == '{system}' and "
        f"platform_machine == '{machine}'"
        for system, machine in PLATFORMS
    ]
    return (
        f'[project]\nname = "lock"\nversion = "0"\nrequires-python = ">={PYTHON},<{BELOW}"\n'
        f"[tool.uv]\nenvironments = {systems}\n"
    )


def _compile(folder: Path, names: Sequence[str], pins: Path, more: Sequence[str] = ()) -> str:
    """The pins and hashes of some packages and of all that they need."""
    (folder / "names.in").write_text("\n".join(names), encoding="utf-8")
    command = [
        "uv", "pip", "compile", "names.in", *more, "--constraint", str(pins), "--no-header",
        "--no-annotate", "--generate-hashes", "--universal", "--python-version", PYTHON,
        "--no-python-downloads", "--quiet", "--output-file", "hashes.txt",
    ]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True)
    text = (folder / "hashes.txt").read_text(encoding="utf-8")
    (folder / "hashes.txt").unlink()
    return _shorten(text)


def _shorten(text: str) -> str:
    """Leave out of the conditions that it is one of the systems that the file is for."""
    mac, linux = _machines(PLATFORMS[-1:]), _machines(sorted(PLATFORMS[:-1]))
    for long, short in (
        (f"({mac} or {linux})", "*"),
        (f"({linux})", "sys_platform == 'linux'"),
        (f"python_full_version < '{BELOW}' and ", ""),
        (" and *", ""),
        (" ; *", ""),
    ):
        text = text.replace(long, short)
    return text


def _machines(platforms: Iterable[tuple[str, str]]) -> str:
    return " or ".join(
        f"(platform_machine == '{machine}' and sys_platform == '{system}')"
        for system, machine in platforms
    )


if __name__ == "__main__":
    raise SystemExit(main())
