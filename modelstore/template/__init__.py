"""Templates in the language of Go's text/template, which models of the registry carry to build their prompts.

    Template.parse(text)   →  .render(values), .variables, .thinking_tags(), .tool_tag()
    detect(jinja)          →  the built-in template for a GGUF's chat template, if it is a known one
    records                →  what messages and tools become inside a template

Lexing (`lexer`, `stream`), parsing (`parser`, `scope`, `nodes`, `literals`), execution (`program`, `operands`,
`closures`, `lookup`, `state`, `values`), functions (`functions`, `formats`, `printing`, `atoms`), questions to the tree
(`survey`), built-in templates (`named`, `detect`).
"""

from modelstore.template.detect import detect
from modelstore.template.errors import TemplateError, TemplateExecutionError, TemplateSyntaxError
from modelstore.template.named import NamedTemplate
from modelstore.template.state import Limits
from modelstore.template.template import DEFAULT_TEXT, Template

__all__ = [
    "DEFAULT_TEXT",
    "Limits",
    "NamedTemplate",
    "Template",
    "TemplateError",
    "TemplateExecutionError",
    "TemplateSyntaxError",
    "detect",
]
