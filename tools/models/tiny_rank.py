"""A very small BERT with a ranking head and fixed random weights, and what it must answer.

It was not trained. The scores are computed here in numpy, from the weights as the file holds them, so that they check
llama.cpp's graph and the way in which a pair is put together: [CLS] query [SEP] document [SEP].

    python -m tools.models.tiny_rank tests/models/tinyrank-f16.gguf tests/models/tinyrank_expected.json.gz
"""

import argparse
import gzip
import json
from pathlib import Path
from typing import Any, Final

from tools.models.bert_to_gguf import Checkpoint, write_gguf
from tools.models.random_bert import Bert, random_bert

WORDS: Final = """
    a an and are at bake baking bread capital cat city do dog does fell flour france green how i in is king kitten loaf
    love market mat moon of oil on oven paris price queen red rose sat sharply shares sits sky stock street sun the to
    today wall warm water what where who why with yeast you . , ? !
""".split()  # noqa: SIM905 (a list of its own would fill the page)
QUERIES: Final = {
    "how do i bake a loaf of bread ?": (
        "bake the loaf in a warm oven .",
        "flour , water and yeast",
        "the stock market fell sharply today .",
        "",
    ),
    "what is the capital of france ?": ("paris is the capital .", "the cat sits on the mat .", "paris"),
    "": ("the sky is red",),
}


def expected(model: Checkpoint) -> dict[str, Any]:
    """Scores of the pairs, with their tokens."""
    bert = Bert(model)

    def pair(query: str, document: str) -> list[int]:
        return [model.vocabulary.index(word) for word in f"[CLS] {query} [SEP] {document} [SEP]".split()]

    return {
        "model": "tinyrank, random weights, not trained",
        "queries": [
            {
                "query": query,
                "documents": list(documents),
                "tokens": sum(len(pair(query, document)) for document in documents),
                "scores": [round(bert.score(pair(query, document)), 6) for document in documents],
            }
            for query, documents in QUERIES.items()
        ],
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, metavar="out.gguf")
    parser.add_argument("answers", type=Path, metavar="expected.json.gz")
    given = parser.parse_args()
    model = random_bert(WORDS, seed=20, width=32, heads=2, layers=2, positions=64, head=True)
    write_gguf(model, given.model, "tinyrank", license="mit")
    text = json.dumps(expected(model), indent=1) + "\n"
    given.answers.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
