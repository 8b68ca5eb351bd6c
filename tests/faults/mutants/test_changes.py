"""Small faults of a source: which are made, and that all of them are Python."""

import ast

import pytest

from faults.mutants.changes import draw_changes, list_changes


def changed(source):
    return {change.after for change in list_changes("m.py", source.encode())}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b >= c", {"a <= b >= c", "a < b > c"}),
        ("a is not b", {"a is b"}),
        ("(a) not in (b)", {"(a) in (b)"}),
        ("(a + b) * c", {"(a - b) * c", "(a + b) / c"}),
        ("a ** b // c", {"a * b // c", "a ** b / c"}),
        ("-a", {"a"}),
        ("a and b and not c", {"a or b and not c", "a and b or not c", "a and b and c"}),
        ("x = True", {"x = False"}),
        ("x = 7, 0.5", {"x = 8, 0.5", "x = 7, 1.5"}),
        ("x = a if b else c", {"x = a if (not b) else c"}),
        ("f(a)", {"pass"}),
        ("a.b = c", {"pass"}),
        ("a = b", set()),
        ("'''Text.'''", set()),
        ("x: int | None = a", set()),
        ("f'{a + 1}'", set()),
        ("x = zip(a, b, strict=True)", set()),
        ("if TYPE_CHECKING:\n    f(1)", set()),
        ("def f(a: int | str) -> int | str:\n    return a", {"return None"}),
        ("def f():\n    return None", set()),
    ],
)
def test_changes_of_a_line(source, expected):
    assert changed(source) == expected


def test_an_operator_is_found_between_brackets_comments_and_wide_characters():
    source = "x = ('äö€',  # a + b\n     (a  # < ä\n      ) < (b))\n"
    assert changed(source) == {") <= (b))"}


def test_changes_are_python_and_differ():
    with open(__file__, "rb") as file:
        source = file.read()
    changes = list_changes("m.py", source)
    assert len({change.key for change in changes}) == len(changes) > 10
    for change in changes:
        assert ast.dump(ast.parse(change.apply(source))) != ast.dump(ast.parse(source))


def test_a_larger_draw_adds_to_a_smaller_one():
    changes = list_changes("m.py", b"x = a + b < 3\ny = c - 5\nf(y)\n")
    drawn = draw_changes(changes, count=9, seed="s")
    assert sorted(drawn, key=str) == sorted(changes, key=str)
    assert draw_changes(changes, count=3, seed="s") == drawn[:3]
    assert draw_changes(changes[::-1], count=3, seed="s") == drawn[:3]
