"""The models that the examples rely on, and answers without what differs from one time to the next."""

import re

import httpx

from modelstore.store import Store
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import install

JSON = "application/json; charset=utf-8"
BARE_JSON = "application/json"
NDJSON = "application/x-ndjson"
PLAIN = "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}"
_DEMO = (
    "{{ if .Tools }}{{ .Tools }}\n{{ end }}{{ range .Messages }}{{ .Role }}: {{ .Content }}"
    "{{ if .ToolCalls }}<tool_call>{{ range .ToolCalls }}"
    '{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}{{ end }}</tool_call>{{ end }}\n{{ end }}'
)
_PONDER = (
    "{{ range .Messages }}{{ .Role }}: {{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}\n"
    "{{ end }}"
)
_FIM = "{{- if .Suffix }}<PRE> {{ .Prompt }} <SUF>{{ .Suffix }} <MID>{{- else }}{{ .Prompt }}{{- end }}"
_VARYING = (
    (
        r'"(created_at|modified_at|expires_at)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?(Z|[+-]\d\d:\d\d)"',
        r'"\1":T',
    ),
    (r'"(total|load)_duration":[1-9]\d*', r'"\1_duration":D'),
    (r'"id":"call_[a-z0-9]{8}"', '"id":I'),
    (r'"digest":"[0-9a-f]{64}"', '"digest":H'),
)


def stock(store: Store) -> None:
    """Install what the examples take for granted."""
    install(store, "demo", template=_DEMO)
    install(store, "ponder", template=_PONDER)
    install(store, "mini-embed", tinygguf.model("bert", pooling_type=1, context_length=256))
    install(store, "fim", template=_FIM)
    install(store, "turns", template=PLAIN)


def told(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, media type and body. Times are T (and have their form), durations D (and are not zero), ids of calls I,
    digests of models H."""
    text = answer.text
    for pattern, letter in _VARYING:
        text = re.sub(pattern, letter, text)
    return answer.status_code, answer.headers.get("content-type", ""), text
