"""The commands of README and docs, and how a reader's words become a run on mini data."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from stl_backbones.cli.started import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LAUNCHER = re.compile(r"(torchrun|srun) .*?(?:-m stl_backbones|stl) ")


@dataclass(frozen=True)
class Command:
    """One command line of a page.

    Args:
        page: Below the repository.
        text: The line as it is typed, without its comment.
        words: The same as a shell splits it, without a launcher and variables before it.
        launched: By torchrun or srun.
    """

    page: str
    text: str
    words: tuple[str, ...]
    launched: bool

    @property
    def tool(self) -> str | None:
        """``'report.py'``, or None where it is another program's command."""
        name = COMMANDS.get(self.words[1]) if self.words[0] == "stl" and self.words[1:] else None
        return f"{name}.py" if name else None


def blocks(path, language):
    """The texts of a page's fenced blocks."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(path):
    """The command lines of a page, in order; variables that it sets are put in."""
    found, variables = [], {}
    for line in "".join(blocks(path, "sh")).replace("\\\n", " ").splitlines():
        if setting := re.fullmatch(r'([A-Z]+)="(.*)"', line):
            variables[f"${setting[1]}"] = setting[2].split()
            continue
        text = re.sub(r"^[A-Z_]+=\S+ ", "", line)
        bare = LAUNCHER.sub("stl ", text)
        words = [
            part
            for word in shlex.split(bare, comments=True)
            for part in variables.get(word, [word])
        ]
        if words:
            launched = bare != text
            text = " ".join(text.partition(" #")[0].split())
            found.append(Command(str(path.relative_to(ROOT)), text, tuple(words), launched))
    return found


ALL = [command for path in PAGES for command in commands(path)]
