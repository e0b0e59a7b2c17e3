"""The built-in templates, one for each well-known chat format that a GGUF may be made for.

Each is written from the prompt it has to produce. Most formats are one marker in front of a turn and one behind it;
`_turns` builds those. In the others the system text waits for the next user turn (`_held`).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class NamedTemplate:
    """A Go template with the parameters that belong to it."""

    name: str
    text: str
    stop: tuple[str, ...]

    @property
    def parameters(self) -> dict[str, list[str]]:
        """Content of the params layer."""
        return {"stop": list(self.stop)}


_EACH: Final = "{{ range $i, $m := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"


def _answer(prefix: str, suffix: str, opening: str) -> str:
    """The assistant's branch, and what asks for the next answer. The last answer is left open to be continued."""
    return (
        f'{{{{ else if eq .Role "assistant" }}}}{prefix}{{{{ .Content }}}}{{{{ if not $last }}}}{suffix}{{{{ end }}}}'
        f'{{{{ end }}}}{{{{ if and $last (ne .Role "assistant") }}}}{opening}{{{{ end }}}}{{{{ end }}}}'
    )


def _turns(
    system: tuple[str, str], user: tuple[str, str], assistant: tuple[str, str], opening: str | None = None
) -> str:
    """Every message between the markers of its role; `opening` asks for an answer, by default the assistant's mark."""
    return (
        f'{_EACH}{{{{ if eq .Role "system" }}}}{system[0]}{{{{ .Content }}}}{system[1]}'
        f'{{{{ else if eq .Role "user" }}}}{user[0]}{{{{ .Content }}}}{user[1]}'
        f"{_answer(*assistant, assistant[0] if opening is None else opening)}"
    )


def _held(
    user: tuple[str, str],
    system: tuple[str, str],
    assistant: tuple[str, str],
    opening: str | None = None,
    bare: str = "",
) -> str:
    """System texts, joined, go into the next user turn after its mark; `bare` stands there when there is none."""
    keep = "{{ if $system }}{{ $system = print $system `\n\n` .Content }}{{ else }}{{ $system = .Content }}{{ end }}"
    shown = f"{{{{ if $system }}}}{system[0]}{{{{ $system }}}}{system[1]}{{{{ $system = `` }}}}"
    empty = f"{{{{ else }}}}{bare}" if bare else ""
    return (
        f'{{{{ $system := `` }}}}{_EACH}{{{{ if eq .Role "system" }}}}{keep}'
        f'{{{{ else if eq .Role "user" }}}}{user[0]}{shown}{empty}{{{{ end }}}}{{{{ .Content }}}}{user[1]}'
        f"{_answer(*assistant, assistant[0] if opening is None else opening)}"
    )


def _marked(role: str, text: str) -> str:
    return f"<|START_OF_TURN_TOKEN|><|{role}_TOKEN|>{text}"


# The instruction formats print the system text in front of the mark of the user's turn.


def _instruction(mark: str, answer: str, end: str) -> str:
    return _held(("", "\n\n"), ("", f"\n\n{mark}\n"), (f"{answer}\n", f"{end}\n\n"), bare=f"{mark}\n")


_GEMMA3: Final = (
    "{{ range $i, $m := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
    '{{ if eq .Role "user" }}<start_of_turn>user\n{{ if and (eq $i 1) $.System }}{{ $.System }}\n\n{{ end }}'
    '{{ .Content }}<end_of_turn>\n{{ else if eq .Role "assistant" }}<start_of_turn>model\n{{ .Content }}'
    "<end_of_turn>\n{{ end }}{{ if $last }}<start_of_turn>model\n\n{{ end }}{{ end }}"
)

_COMMAND_R_SYSTEM: Final = (
    "{{ if or .Tools .System }}" + _marked("SYSTEM", "")
    + "{{ if .Tools }}# Safety Preamble\n"
    "Answer only what can be answered safely.\n\n# System Preamble\n"
    "## Basic Rules\nUse the tools below where they help to answer the user's last question.\n\n# User Preamble\n"
    "{{ end }}{{ .System }}"
    "{{ if .Tools }}\n\n## Available Tools\nHere is a list of tools that you have available to you:\n\n"
    "{{ range .Tools }}```python\ndef {{ .Function.Name }}("
    "{{ range $name, $p := .Function.Parameters.Properties }}{{ $name }}: {{ $p.Type }}, {{ end }}) -> List[Dict]:\n"
    '    """{{ .Function.Description }}\n\n    Args:\n'
    "{{ range $name, $p := .Function.Parameters.Properties }}"
    "        {{ $name }} ({{ $p.Type }}): {{ $p.Description }}\n{{ end }}"
    '    """\n    pass\n```\n\n{{ end }}{{ end }}<|END_OF_TURN_TOKEN|>{{ end }}'
)  # fmt: skip
_COMMAND_R_CALLS: Final = (
    '\nAction: ```json{{ "\\n[\\n" }}{{ range $j, $call := .ToolCalls }}{{ if $j }},\n{{ end }}    {\n'
    '        "tool_name": "{{ $call.Function.Name }}",\n'
    '        "parameters": {{ $call.Function.Arguments }}\n    }{{ end }}]```'
)
_COMMAND_R: Final = (
    f'{_COMMAND_R_SYSTEM}{{{{ range $i, $m := .Messages }}}}{{{{ if eq .Role "user" }}}}'
    + _marked("USER", "{{ .Content }}<|END_OF_TURN_TOKEN|>{{ if $.Tools }}")
    + _marked(
        "SYSTEM", "Write 'Action:' followed by a json-formatted list of the tools to call, with their parameters,"
    )
    + " that help to answer the last user message.<|END_OF_TURN_TOKEN|>{{ end }}"
    '{{ else if eq .Role "assistant" }}'
    + _marked("CHATBOT", "{{ .Content }}{{ if .ToolCalls }}")
    + _COMMAND_R_CALLS
    + '{{ end }}<|END_OF_TURN_TOKEN|>{{ else if eq .Role "tool" }}'
    + _marked("SYSTEM", "<results>\nconsole_output: {{ .Content }}\n</results><|END_OF_TURN_TOKEN|>")
    + "{{ end }}{{ end }}<|END_OF_TURN_TOKEN|>"
    + _marked("CHATBOT", "\n")
)


def _same(prefix: str, suffix: str) -> str:
    """Turns that differ only in the name of the role."""
    first, second, third = ((prefix.replace("ROLE", role), suffix) for role in ("system", "user", "assistant"))
    return _turns(first, second, third)


_TEMPLATES: Final = (
    NamedTemplate(
        "alfred",
        _same("<start_ROLE>", "<end_message>"),
        ("<start_system>", "<end_message>", "<start_user>", "<start_assistant>"),
    ),
    NamedTemplate(
        "alpaca", _instruction("### Instruction:", "### Response:", ""), ("### Instruction:", "### Response")
    ),
    NamedTemplate("chatml", _same("<|im_start|>ROLE\n", "<|im_end|>\n"), ("<|im_start|>", "<|im_end|>")),
    NamedTemplate(
        "chatqa",
        _turns(("System: ", "\n\n"), ("User: ", "\n\n"), ("Assistant: ", "\n\n"), "Assistant:"),
        ("System:", "User:", "Assistant:", "<|begin_of_text|>"),
    ),
    NamedTemplate(
        "codellama-70b-instruct",
        _turns(
            *((f"Source: {role}\n\n ", " <step> ") for role in ("system", "user", "assistant")),
            opening="Source: assistant\nDestination: user\n\n ",
        ),
        ("Source:", "Destination:", "<step>"),
    ),
    NamedTemplate("command-r", _COMMAND_R, ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>")),
    NamedTemplate(
        "falcon-instruct",
        _turns(("System: ", "\n"), ("User:\n", "\n"), ("Falcon:\n", "\n")),
        ("User:", "Assistant:"),
    ),
    NamedTemplate(
        "gemma-instruct",
        _held(("<start_of_turn>user\n", "<end_of_turn>\n"), ("", "\n"), ("<start_of_turn>model\n", "<end_of_turn>\n")),
        ("<start_of_turn>", "<end_of_turn>"),
    ),
    NamedTemplate("gemma3-instruct", _GEMMA3, ("<end_of_turn>",)),
    NamedTemplate(
        "granite-instruct",
        _turns(("System:\n", "\n\n"), ("Question:\n", "\n\n"), ("Answer:\n", "\n\n")),
        ("System:", "Question:", "Answer:"),
    ),
    NamedTemplate(
        "llama2-chat",
        _held(("[INST] <<SYS>>", " [/INST]"), ("\n", "\n<</SYS>>\n\n"), (" ", "</s><s>"), "", bare="<</SYS>>\n\n"),
        ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    ),
    NamedTemplate(
        "llama3-instruct",
        _same("<|start_header_id|>ROLE<|end_header_id|>\n\n", "<|eot_id|>"),
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    NamedTemplate("magicoder", _instruction("@@ Instruction", "@@ Response", ""), ("@@ Instruction", "@@ Response")),
    NamedTemplate(
        "mistral-instruct",
        _held(("[INST] ", "[/INST]"), ("", "\n\n"), (" ", "</s>"), ""),
        ("<|im_start|>", "<|im_end|>"),
    ),
    NamedTemplate(
        "openchat",
        _turns(
            *((f"GPT4 Correct {role}: ", "<|end_of_turn|>") for role in ("System", "User", "Assistant")),
            opening="GPT4 Correct Assistant:",
        ),
        ("<|end_of_turn|>",),
    ),
    NamedTemplate("phi-3", _same("<|ROLE|>\n", "<|end|>\n"), ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")),
    NamedTemplate(
        "solar-instruct",
        _turns(("### System:\n", "\n\n"), ("### User:\n", "\n\n"), ("### Assistant:\n", "</s>\n\n")),
        ("### System:", "### User:", "### Assistant"),
    ),
    NamedTemplate(
        "starcoder2-instruct",
        _instruction("### Instruction", "### Response", "<|endoftext|>"),
        ("### Instruction", "### Response", "<|endoftext|>"),
    ),
    NamedTemplate(
        "vicuna",
        _held(("", "\n"), ("", "\n\nUSER: "), ("ASSISTANT: ", "</s>\n"), "ASSISTANT:", bare="USER: "),
        ("USER:", "ASSISTANT:"),
    ),
    NamedTemplate("zephyr", _same("<|ROLE|>\n", "</s>\n"), ("<|system|>", "</s>", "<|user|>", "<|assistant|>")),
)

NAMED: Final = {template.name: template for template in _TEMPLATES}
"""All built-in templates by name."""
