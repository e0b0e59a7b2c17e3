"""Messages → prompt. Pure: values in, text out; nothing here loads a model or answers a request.

    conversation   the list a request stands for: for_chat, for_generate, without_old_thinking
    truncate       fit(messages, Room(…), render=…, count=…) drops the oldest messages of a long list
    images         places [img-n] marks: place (Go templates, native generate), append (native chat), leave (renderers)
    gotemplate     render(template, messages, tools=…, think=…, prompt=…, suffix=…)
    jinja          JinjaPrompt(text, bos, eos).render(messages, tools, think), in the `sandbox`

The usual order is conversation → truncate (which renders) → images → render.
"""

from server.prompt import conversation, gotemplate, images
from server.prompt.errors import BrokenTemplate, PrefillConflict, PromptError, TemplateRefusal, UnsupportedTool
from server.prompt.jinja import JinjaPrompt
from server.prompt.truncate import Room, Window, fit

__all__ = [
    "BrokenTemplate",
    "JinjaPrompt",
    "PrefillConflict",
    "PromptError",
    "Room",
    "TemplateRefusal",
    "UnsupportedTool",
    "Window",
    "conversation",
    "fit",
    "gotemplate",
    "images",
]
