"""Small faults of a Python module, each a replacement of a few bytes of its source.

Numba's kernels, decorated functions and constants of modules are changed like all other code. Left
out is what no test can notice: annotations, blocks for type checkers, and ``strict=`` of ``zip``,
which only fails where other code is wrong; and the inside of f-strings, whose positions
Python 3.11 does not know.
"""

from __future__ import annotations

import ast
import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS = {
    "Lt": ("<", "<="), "LtE": ("<=", "<"), "Gt": (">", ">="), "GtE": (">=", ">"),
    "Eq": ("==", "!="), "NotEq": ("!=", "=="), "Is": ("is", "is not"), "IsNot": (r"is\s+not", "is"),
    "In": ("in", "not in"), "NotIn": (r"not\s+in", "in"),
}  # fmt: skip
_ARITHMETIC = {
    "Add": ("+", "-"), "Sub": ("-", "+"), "Mult": ("*", "/"), "Div": ("/", "*"),
    "FloorDiv": ("//", "/"), "Mod": ("%", "*"), "Pow": ("**", "*"), "BitAnd": ("&", "|"),
    "BitOr": ("|", "&"), "LShift": ("<<", ">>"), "RShift": (">>", "<<"),
}  # fmt: skip
_Place = tuple[str, int, int, bytes]


@dataclass(frozen=True)
class Change:
    """One fault.

    Attributes:
        module: Path in the checkout.
        kind: comparison, arithmetic, boolean, number, condition, return or statement.
        before: The lines it is in, joined by single spaces.
        after: The same, changed.
        start: Byte of the source at which the replacement begins.
        end: Byte after it.
        new: What stands there instead.
    """

    module: str
    kind: str
    before: str
    after: str
    start: int
    end: int
    new: bytes

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it, wherever its lines have moved to."""
        return self.module, self.before, self.after

    def apply(self, source: bytes) -> bytes:
        """The changed source."""
        return source[: self.start] + self.new + source[self.end :]


def list_changes(module: str, source: bytes) -> list[Change]:
    """All changes of a module; of equal ones in equal lines the first."""
    changes: dict[tuple[str, str, str], Change] = {}
    for kind, start, end, new in _Places(source).visit(ast.parse(source)):
        first = source.rfind(b"\n", 0, start) + 1
        last = (source.find(b"\n", end) + 1 or len(source) + 1) - 1
        lines = source[first:last], source[first:start] + new + source[end:last]
        before, after = (" ".join(line.decode().split()) for line in lines)
        change = Change(module, kind, before, after, start, end, new)
        changes.setdefault(change.key, change)
    return list(changes.values())


def draw_changes(changes: list[Change], *, count: int, seed: str) -> list[Change]:
    """Draw kinds evenly, and of each kind its places; a larger count adds to a smaller one's."""
    rng = random.Random(seed)
    kinds: dict[str, list[Change]] = {}
    for change in sorted(changes, key=lambda change: (change.kind, change.key)):
        kinds.setdefault(change.kind, []).append(change)
    drawn = []
    while kinds and len(drawn) < count:
        kind = rng.choice(list(kinds))
        drawn.append(kinds[kind].pop(rng.randrange(len(kinds[kind]))))
        if not kinds[kind]:
            del kinds[kind]
    return drawn


class _Places:
    """Yields kind, start, end and replacement for everything that can be changed."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.lines = [0]
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def span(self, node: ast.AST) -> tuple[int, int]:
        start = self.lines[node.lineno - 1] + node.col_offset
        return start, self.lines[node.end_lineno - 1] + node.end_col_offset

    def visit(self, node: ast.AST) -> Iterator[_Place]:
        if isinstance(node, ast.JoinedStr) or _is_check(node):
            return
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is not None:
            yield from method(node)
        for name, value in ast.iter_fields(node):
            if name not in ("annotation", "returns"):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from self.visit(child)

    def _between(
        self, left: ast.AST, right: ast.AST, kind: str, old: str, new: str
    ) -> Iterator[_Place]:
        """The operator between two operands, where brackets and comments may be, too."""
        (_, start), (end, _) = self.span(left), self.span(right)
        gap = re.sub(rb"#[^\n]*", lambda found: b" " * len(found[0]), self.source[start:end])
        found = re.search(old.encode(), gap)
        yield kind, start + found.start(), start + found.end(), new.encode()

    def _compare(self, node: ast.Compare) -> Iterator[_Place]:
        operands = [node.left, *node.comparators]
        for (left, right), operator in zip(itertools.pairwise(operands), node.ops, strict=True):
            old, new = _COMPARISONS[type(operator).__name__]
            yield from self._between(left, right, "comparison", old, new)

    def _binop(self, node: ast.BinOp) -> Iterator[_Place]:
        known = _ARITHMETIC.get(type(node.op).__name__)
        if known and not isinstance(node.left, ast.JoinedStr):
            yield from self._between(
                node.left, node.right, "arithmetic", re.escape(known[0]), known[1]
            )

    def _boolop(self, node: ast.BoolOp) -> Iterator[_Place]:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in itertools.pairwise(node.values):
            yield from self._between(left, right, "boolean", old, new)

    def _unaryop(self, node: ast.UnaryOp) -> Iterator[_Place]:
        start, _ = self.span(node)
        if isinstance(node.op, ast.Not):
            yield "boolean", start, start + len("not"), b""
        elif isinstance(node.op, ast.USub):
            yield "arithmetic", start, start + len("-"), b""

    def _constant(self, node: ast.Constant) -> Iterator[_Place]:
        if isinstance(node.value, bool):
            yield "boolean", *self.span(node), str(not node.value).encode()
        elif isinstance(node.value, int | float):
            yield "number", *self.span(node), repr(node.value + 1).encode()

    def _if(self, node: ast.If | ast.IfExp) -> Iterator[_Place]:
        if isinstance(node.test, ast.Name | ast.Call | ast.Attribute):
            start, end = self.span(node.test)
            yield "condition", start, end, b"(not " + self.source[start:end] + b")"

    _ifexp = _if

    def _return(self, node: ast.Return) -> Iterator[_Place]:
        if node.value is not None and not _is_false(node.value):
            yield "return", *self.span(node), b"return None"

    def _dropped(self, node: ast.AST) -> Iterator[_Place]:
        yield "statement", *self.span(node), b"pass"

    _raise = _augassign = _continue = _break = _dropped

    def _expr(self, node: ast.Expr) -> Iterator[_Place]:
        if isinstance(node.value, ast.Call):
            yield from self._dropped(node)

    def _assign(self, node: ast.Assign) -> Iterator[_Place]:
        if all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
            yield from self._dropped(node)


def _is_check(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _is_false(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value in (None, False)
