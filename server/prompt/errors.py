"""Why a conversation cannot become a prompt.

    PromptError
    ├── BrokenTemplate       the GGUF's chat template is no Jinja, fails on this conversation, or exceeds its limits
    ├── TemplateRefusal      the template itself calls the conversation wrong (raise_exception)
    ├── UnsupportedTool      a tool that the reference's engine does not take
    │   └── UnknownToolType
    ├── RendererRefusal      a built-in renderer has no form for the conversation
    └── PrefillConflict      a half-written answer where none can be continued

`message` is the text for the client, `status` the HTTP status that fits it. Go templates raise
`modelstore.template.TemplateExecutionError` instead, whose text is Go's.
"""

import json
from typing import ClassVar


class PromptError(Exception):
    """Base of all errors of this package."""

    status: ClassVar[int] = 400

    def __init__(self, detail: str) -> None:
        self.detail = detail
        """What is wrong, without the envelope."""
        self.message = _envelope(self.status, detail)
        super().__init__(self.message)


class BrokenTemplate(PromptError):
    status = 500


class TemplateRefusal(PromptError): ...


class UnsupportedTool(PromptError): ...


class UnknownToolType(UnsupportedTool):
    status = 500


class PrefillConflict(PromptError): ...


class RendererRefusal(PromptError):
    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.message = detail


def _envelope(status: int, detail: str) -> str:
    """The engine's error body; the reference passes it on as the text of the error."""
    kind = "invalid_request_error" if status == 400 else "server_error"
    error = {"code": status, "message": detail, "type": kind}
    return json.dumps({"error": error}, ensure_ascii=False, separators=(",", ":"))
