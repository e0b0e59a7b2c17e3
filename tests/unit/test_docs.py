"""The documents that repeat what the code says."""

import re
from pathlib import Path

from modelstore.options import OPTIONS

DOCS = Path(__file__).parents[2] / "docs"


def test_every_option_is_described_with_the_words_of_the_table() -> None:
    text = (DOCS / "options.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", text, re.M))
    assert rows == {option.name: option.help for option in OPTIONS.values()}


def test_no_link_between_documents_is_broken() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
