"""All corruptions of a protocol on one image, at every severity, as one picture."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from stl_backbones.corruptions.engine import corrupt_all
from stl_backbones.corruptions.protocols import Protocol
from stl_backbones.display import shown_one_by_one
from stl_backbones.drawing import (
    GREY,
    INK,
    LINE,
    Pixels,
    canvas,
    fitted,
    font,
    grid,
    resized,
    stacked,
    text_width,
)
from stl_backbones.records import CLEAN, CorruptionEngine

_FACTS = 320  # pixels, at least, for what the sheet shows


def draw_sheet(
    image: Pixels,
    protocol: Protocol,
    *,
    key: str,
    engine: CorruptionEngine,
    corruptions: Sequence[str] | None = None,
    severities: Sequence[int] | None = None,
    panel: int = 240,
) -> Image.Image:
    """Draw an image's versions, a row a corruption and a column a severity.

    Each is corrupted at the image's own size, as in a sweep whose id of it is the key, and then
    made smaller.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        protocol: Whose corruptions.
        key: The image's id, of which the draws depend.
        engine: How it is corrupted.
        corruptions: Only these, or groups of the protocol.
        severities: Only these.
        panel: Width of a version in the picture, in pixels.

    Raises:
        InputError: If the image or an argument is not as above.
        UnknownNameError: If a corruption is unknown.
    """
    cells = [
        cell
        for cell in protocol.cells(corruptions=corruptions, severities=severities)
        if cell != CLEAN
    ]
    names = list(dict.fromkeys(cell.corruption for cell in cells))
    levels = sorted({cell.severity for cell in cells})
    beside = max(text_width(text) for text in [*names, "clean"])
    clean = resized(image, panel)
    height, width = image.shape[:2]
    facts = [f"protocol {protocol.name}", f"engine {engine.mode}, seed {engine.seed}",
             f"{key}, {width}x{height}"]  # fmt: skip
    heads = [_words([f"severity {level}"], panel) for level in levels]
    rows = [
        [_words(["clean"], beside), clean, _words(facts, max(panel * (len(levels) - 1), _FACTS))],
        [_words([""], beside), *heads],
    ]
    for name in shown_one_by_one(names, key, "corruptions"):
        own = [cell.severity for cell in cells if cell.corruption == name]
        made = {
            one.severity: resized(one.image, panel)
            for one in corrupt_all(image, [name], own, key=key, engine=engine)
        }
        empty = canvas(panel, clean.height, (238, 238, 238))[0]
        rows.append([_words([name], beside), *(made.get(level, empty) for level in levels)])
    return _joined(rows)


def _words(lines: Sequence[str], width: int) -> Image.Image:
    made, pen = canvas(width, LINE * len(lines))
    for place, line in enumerate(lines):
        pen.text((0, LINE * place), fitted(line, width), INK if place == 0 else GREY, font())
    return made


def _joined(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """The clean row, which is wider in its last part, above the grid of the others."""
    return stacked([grid([rows[0]]), grid(rows[1:])])


__all__ = ["draw_sheet"]
