"""The operator's settings: environment variables, read once into a frozen object.

Each field of `Settings` carries its variable, a line of help and its reader. A value is taken without the white space
and the quotes around it; an empty one counts as unset.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from scheduler.requests import FOREVER
from server.gojson import duration
from server.host import Host, parse_host

T = TypeVar("T")

INFO: Final = 0
DEFAULT_DRAIN: Final = 8.0
DEFAULT_MAX_BODY: Final = 256 << 20
_FALSE: Final = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_TRUE: Final = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_UINT64: Final = 2**64


class BadSetting(ValueError):
    """A value that cannot be used, where the default is."""


def is_true(text: str) -> bool:
    """Any text that is no spelling of false is true."""
    return text not in _FALSE


def _read_uint(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:25]) < _UINT64):
        raise BadSetting
    return int(text)


def _read_seconds(text: str) -> float:
    """A Go duration, or whole seconds. What is neither is as good as unset."""
    try:
        return duration.parse(text) / 1e9
    except duration.InvalidDuration:
        pass
    try:
        return float(int(text))
    except ValueError:
        return math.nan


def _read_keep_alive(text: str) -> float:
    seconds = _read_seconds(text)
    return 300.0 if math.isnan(seconds) else FOREVER if seconds < 0 else seconds


def _read_load_timeout(text: str) -> float:
    seconds = _read_seconds(text)
    return 300.0 if math.isnan(seconds) else max(seconds, 0.0)


def _read_drain(text: str) -> float:
    seconds = _read_seconds(text)
    return DEFAULT_DRAIN if math.isnan(seconds) else max(seconds, 0.0)


def _read_verbosity(text: str) -> int:
    """How many steps below INFO the log goes: true is one, 2 is two, -1 hides information."""
    if text in _TRUE:
        return 1
    try:
        return int(text)
    except ValueError:
        return INFO


def _read_list(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _read_paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part.strip()) for part in text.split(os.pathsep) if part.strip())


def _read_hosts(text: str) -> tuple[str, ...]:
    return tuple(host.strip() for host in text.split(",") if host.strip())


@dataclass(frozen=True, slots=True)
class Variable:
    """One setting as documentation shows it."""

    name: str
    help: str
    listed: bool
    """Whether `serve --help` names it."""


def _setting(name: str, read: Callable[[str], T], default: T, help: str, *, listed: bool = True) -> T:
    metadata = {"variable": Variable(name, help, listed), "read": read}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """In the order in which `serve --help` lists them."""

    verbosity: int = _setting(
        "OLLAMA_DEBUG", _read_verbosity, INFO, "Show additional debug information (e.g. OLLAMA_DEBUG=1)"
    )
    host: Host = _setting(  # noqa: RUF009  (a field, as `dataclasses.field` makes one)
        "OLLAMA_HOST", parse_host, Host(), "IP Address for the ollama server (default 127.0.0.1:11434)"
    )
    context_length: int = _setting(
        "OLLAMA_CONTEXT_LENGTH",
        _read_uint,
        0,
        "Context length to use unless otherwise specified (default: 4k/32k/256k based on VRAM)",
    )
    keep_alive: float = _setting(
        "OLLAMA_KEEP_ALIVE",
        _read_keep_alive,
        300.0,
        'The duration that models stay loaded in memory (default "5m")',
    )
    """Seconds; FOREVER."""
    max_loaded_models: int = _setting(
        "OLLAMA_MAX_LOADED_MODELS", _read_uint, 0, "Maximum number of loaded models per GPU"
    )
    """0: chosen by the scheduler."""
    max_transfer_streams: int = _setting(
        "OLLAMA_MAX_TRANSFER_STREAMS",
        _read_uint,
        4,
        "Maximum parallel transfer streams for safetensors model pulls/pushes (default 4)",
    )
    max_queue: int = _setting("OLLAMA_MAX_QUEUE", _read_uint, 512, "Maximum number of queued requests")
    models: Path = _setting(  # noqa: RUF009
        "OLLAMA_MODELS", Path, Path(), "The path to the models directory"
    )
    num_parallel: int = _setting("OLLAMA_NUM_PARALLEL", _read_uint, 0, "Maximum number of parallel requests")
    """0: chosen for each model."""
    no_cloud: bool = _setting(
        "OLLAMA_NO_CLOUD", is_true, False, "Disable Ollama cloud features (remote inference and web search)"
    )
    no_prune: bool = _setting("OLLAMA_NOPRUNE", is_true, False, "Do not prune model blobs on startup")
    origins: tuple[str, ...] = _setting("OLLAMA_ORIGINS", _read_list, (), "A comma separated list of allowed origins")
    sched_spread: bool = _setting("OLLAMA_SCHED_SPREAD", is_true, False, "Always schedule model across all GPUs")
    flash_attention: bool | None = _setting("OLLAMA_FLASH_ATTENTION", is_true, None, "Enabled flash attention")
    kv_cache_type: str = _setting(
        "OLLAMA_KV_CACHE_TYPE", str, "f16", "Quantization type for the K/V cache (default: f16)"
    )
    llm_library: str = _setting("OLLAMA_LLM_LIBRARY", str, "", "Set LLM library to bypass autodetection")
    """cpu, cuda, rocm, vulkan or metal, with or without a version behind it (cuda_v12)."""
    gpu_overhead: int = _setting("OLLAMA_GPU_OVERHEAD", _read_uint, 0, "Reserve a portion of VRAM per GPU (bytes)")
    igpu_enable: bool | None = _setting("OLLAMA_IGPU_ENABLE", is_true, None, "Enable integrated GPUs")
    fit: str = _setting(
        "LLAMA_ARG_FIT", str, "on", 'Enable llama.cpp automatic fit of unset memory options (default "on")'
    )
    fit_target: str = _setting(
        "LLAMA_ARG_FIT_TARGET", str, "", "Target free VRAM margin per device for llama.cpp fit (MiB)"
    )
    load_timeout: float = _setting(
        "OLLAMA_LOAD_TIMEOUT",
        _read_load_timeout,
        300.0,
        'How long to allow model loads to stall before giving up (default "5m")',
    )
    """Seconds; 0 is no limit."""
    require_gpu: bool = _setting(
        "LLAMAD_REQUIRE_GPU",
        is_true,
        False,
        "Refuse to load a model that would run on the CPU, for instance after the GPU was lost, unless a request asks "
        "for the CPU (num_gpu 0)",
        listed=False,
    )
    drain_timeout: float = _setting(
        "LLAMAD_DRAIN_TIMEOUT",
        _read_drain,
        DEFAULT_DRAIN,
        'How long running requests may go on after the first signal to stop (default "8s")',
        listed=False,
    )
    """Seconds."""
    spare_runner: bool = _setting(
        "LLAMAD_SPARE_RUNNER",
        is_true,
        True,
        "Keep one process without a model ready for the next load (some 25 MB)",
        listed=False,
    )
    prefix_memory: int | None = _setting(
        "LLAMAD_PREFIX_MEMORY",
        _read_uint,
        None,
        "Host memory for conversations that have to leave a model's KV cache, in bytes, 0 for none "
        "(default: an eighth of what is free, at most 4 GiB)",
        listed=False,
    )
    max_body: int = _setting(
        "LLAMAD_MAX_BODY",
        _read_uint,
        DEFAULT_MAX_BODY,
        "The longest request body that is read into memory, in bytes, 0 for any (default: 256 MiB); uploads of files "
        "are not bounded",
        listed=False,
    )
    models_extra: tuple[Path, ...] = _setting(
        "OLLAMA_MODELS_EXTRA",
        _read_paths,
        (),
        f"Further models directories, separated by '{os.pathsep}', whose models are listed and run and which are "
        "never written to: of another user, or of the system's service",
        listed=False,
    )
    go_template: bool | None = _setting(
        "OLLAMA_GO_TEMPLATE",
        is_true,
        None,
        "Always (true) or never (false) render with the model's own template where the weights bring one too",
        listed=False,
    )
    log_requests: bool = _setting(
        "OLLAMA_DEBUG_LOG_REQUESTS",
        is_true,
        False,
        "Write the body of each inference request to a temporary directory",
        listed=False,
    )
    remotes: tuple[str, ...] = _setting(
        "OLLAMA_REMOTES", _read_hosts, ("ollama.com",), "Hosts that remote models may point to", listed=False
    )
    vulkan: bool = _setting("OLLAMA_VULKAN", is_true, True, "Look for Vulkan devices", listed=False)
    multiuser_cache: bool = _setting(
        "OLLAMA_MULTIUSER_CACHE", is_true, False, "Spread conversations over the cache", listed=False
    )
    experiment: tuple[str, ...] = _setting("OLLAMA_EXPERIMENT", _read_hosts, (), "Experimental features", listed=False)
    home: Path = Path()
    """Where `.ollama` lies."""
    cloud_source: str = "none"
    """What disabled the cloud features: none, env, config or both."""
    warnings: tuple[str, ...] = ()
    """What was wrong with the environment; for the log."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Never fails: a value that cannot be used is replaced by its default, with a warning."""
        values: dict[str, Any] = {}
        warnings: list[str] = []
        for member in _members():
            text = clean(environ.get(member.metadata["variable"].name, ""))
            if text:
                values[member.name] = _read(member, text, warnings)
        home = Path(environ.get("HOME") or Path.home())
        values.setdefault("models", home / ".ollama" / "models")
        if "host" in values and values["host"].bad_port:
            host: Host = values["host"]
            warnings.append(f"invalid port, using default port={host.bad_port} default={host.port}")
        if "client2" in values.get("experiment", ()):
            warnings.append("OLLAMA_EXPERIMENT=client2 is no longer available. Please remove this environment.")
        source = _cloud_source(values.get("no_cloud", False), home)
        return cls(**values, home=home, cloud_source=source, warnings=tuple(warnings))

    def listing(self) -> dict[str, str]:
        """Each variable with the value in force, for the log."""
        return {member.metadata["variable"].name: _show(getattr(self, member.name)) for member in _members()}


def variables() -> tuple[Variable, ...]:
    """All settings, in the order of `serve --help`; those that it leaves out come last."""
    return tuple(member.metadata["variable"] for member in _members())


def clean(text: str) -> str:
    """A variable's value without blanks and quotes around it."""
    return text.strip().strip("\"'")


def _members() -> list[Field[Any]]:
    return [member for member in fields(Settings) if "variable" in member.metadata]


def _read(member: Field[Any], text: str, warnings: list[str]) -> Any:
    try:
        return member.metadata["read"](text)
    except BadSetting:
        name = member.metadata["variable"].name
        warnings.append(f"invalid environment variable, using default key={name} value={text} default={member.default}")
        return member.default


def _show(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return "forever" if value == FOREVER else duration.format_nanoseconds(int(value * 1e9))
        case tuple():
            items = cast("tuple[object, ...]", value)
            return (os.pathsep if items and isinstance(items[0], Path) else ",").join(map(str, items))
        case _:
            return str(value)


def _cloud_source(disabled_by_env: bool, home: Path) -> str:
    try:
        config = json.loads((home / ".ollama" / "server.json").read_bytes())
    except (OSError, ValueError):
        config = None
    disabled_by_config = isinstance(config, dict) and config.get("disable_ollama_cloud") is True  # pyright: ignore[reportUnknownMemberType]
    if disabled_by_env and disabled_by_config:
        return "both"
    return "env" if disabled_by_env else "config" if disabled_by_config else "none"
