"""What can go wrong with a template, in the words of Go's text/template.

    TemplateError
    ├── TemplateSyntaxError      the text is no template
    └── TemplateExecutionError   it is one, but fails on these values or exceeds the limits of a run

The message is the whole text a client sees; `line` and, where known, `column` (in bytes, from 0) say where.
"""


class TemplateError(Exception):
    """Base of all errors of this package."""

    def __init__(self, message: str, line: int = 0, column: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


class TemplateSyntaxError(TemplateError):
    """The text cannot be parsed."""


class TemplateExecutionError(TemplateError):
    """The template was parsed, but executing it failed."""
