"""Feeding a parser."""

from collections.abc import Callable, Iterator

from server.parse.parsed import Parsed, Parser


def whole(parser: Parser, *texts: str) -> Parsed:
    """Everything that comes out."""
    parsed = Parsed()
    for text in texts:
        parsed += parser.feed(text)
    return parsed + parser.finish()


def every_way(make: Callable[[], Parser], text: str) -> Iterator[Parsed]:
    """The same text cut at every place, and letter by letter."""
    for place in range(len(text) + 1):
        yield whole(make(), text[:place], text[place:])
    yield whole(make(), *text)
