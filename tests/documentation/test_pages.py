"""Links of all pages lead somewhere, the menu has every page, and `make docs` has its packages."""

import re

import pytest

from tests.documentation.commands import PAGES, ROOT

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(#[^)\s]*)?\)")


def anchors(path):
    """Those of a page's headings, as GitHub and MkDocs make them."""
    heads = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize(
    "path", [*PAGES, ROOT / "benchmarks/README.md"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_links_lead_somewhere(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for place, anchor in LINK.findall(text):
        target = path.parent / place if place else path
        assert target.is_file(), (path, place)
        if anchor and "commands.md" not in place:  # whose headings are made with the site
            assert re.sub("-+", "-", anchor[1:]) in {
                re.sub("-+", "-", one) for one in anchors(target)
            }, (path, place, anchor)


def test_the_menu_has_every_page():
    menu = (ROOT / "mkdocs.yml").read_text().split("\nnav:")[1]
    named = re.findall(r"[\w/-]+\.md", menu)
    assert sorted(named) == sorted(
        str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")
    )


def test_the_extra_and_the_pins_name_the_same():
    extra = re.search(r"^DOCS = \[(.*)\]", (ROOT / "setup.py").read_text(), re.MULTILINE)[1]
    names = {re.match(r"[\w-]+", name)[0].lower() for name in re.findall(r'"(.*?)"', extra)}
    pins = (ROOT / "requirements/docs.txt").read_text()
    assert names <= set(re.findall(r"^([\w-]+)(?:\[\w+\])?==", pins.lower(), re.MULTILINE))


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


WORDS = (
    r"\b(tells?|told|settled?|settles|foreign)\b|without a word|in words of its own|a kill loses"
)


def test_words_of_the_glossary_are_kept():
    files = [
        *(ROOT / "stl_backbones").rglob("*.py"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "README.md",
    ]
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        if path.name != "glossary.md"
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(WORDS, line, re.IGNORECASE) and ".tell()" not in line
    ]
    assert found == []
