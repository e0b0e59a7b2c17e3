"""A parsed template of a model."""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any, Final

from modelstore.template import survey
from modelstore.template.functions import ALL, BUILTINS
from modelstore.template.nodes import Action, Command, Field, NodeList, Pipe
from modelstore.template.parser import parse
from modelstore.template.program import Program
from modelstore.template.state import DEFAULT_LIMITS, Limits

DEFAULT_TEXT: Final = "{{ .Prompt }}"
"""The template of a model that has none."""
_CACHED: Final = 64


class Template:
    """Immutable, so one may be shared between threads."""

    def __init__(self, text: str) -> None:
        """Prefer `Template.parse`, which remembers. Raises `TemplateSyntaxError`."""
        root, self._definitions = parse(text, ALL.keys())
        used = survey.variables((root, *self._definitions.values()))
        if not used & {"messages", "response"}:
            root = (*root, _RESPONSE)
            used |= {"response"}
        self.text: Final = text
        """As given."""
        self.variables: Final = used
        """Names of all fields and variables it uses, in lower case."""
        self._root: Final[NodeList] = root

    @classmethod
    def parse(cls, text: str) -> "Template":
        """The template of a text. One that shows neither messages nor response gets the response at its end.

        Raises `TemplateSyntaxError` with the text of Go's parser.
        """
        return _parsed(text)

    def thinking_tags(self) -> tuple[str, str] | None:
        """Opening and closing tag of the thinking in past answers, where the template shows both."""
        return survey.thinking_tags(self._root)

    def tool_tag(self) -> str:
        """What stands in front of a tool call in past answers; `{` where the template does not tell."""
        return survey.tool_tag(self._root)

    def render(self, values: Mapping[str, Any], limits: Limits = DEFAULT_LIMITS) -> str:
        """The output over a root map of Go names. Raises `TemplateExecutionError`."""
        return self._whole.run(values, limits)

    def render_open(self, values: Mapping[str, Any], limits: Limits = DEFAULT_LIMITS) -> str:
        """As `render`, but stops after the response: what asks for the next answer in a turn-by-turn template.

        Only Go's own functions are defined there, as in the reference.
        """
        return self._open.run(values, limits)

    @cached_property
    def _whole(self) -> Program:
        return Program(self.text, self._root, self._definitions, ALL)

    @cached_property
    def _open(self) -> Program:
        return Program(self.text, survey.cut_after_response(self._root), self._definitions, BUILTINS)


_RESPONSE: Final = Action(0, Pipe(0, (), False, (Command(0, (Field(0, ("Response",)),)),)))


@lru_cache(_CACHED)
def _parsed(text: str) -> Template:
    return Template(text)
