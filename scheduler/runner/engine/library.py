"""The binding, imported without the package around it.

`import llama_cpp.llama_cpp` first runs the package's `__init__`, which pulls in the high-level interface and with it
some 30 MB and 300 ms of modules that a runner never uses. A bare module object with the package's search path takes
its place, so that only the ctypes layer is loaded.
"""

import importlib
import importlib.util
import re
import sys
import types
from collections.abc import Mapping
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Final

from scheduler.environment import sees_no_gpu

BINDING_VERSION: Final = "0.3.36"
"""Struct layouts change between releases of the binding: another version would corrupt memory."""
_VERSION: Final = re.compile(r"""^__version__\s*=\s*["']([^"']+)""", re.MULTILINE)


class IncompatibleBinding(RuntimeError):
    """The installed llama-cpp-python is not the one this runner was written for, or its library cannot be loaded."""


@cache
def native() -> Any:
    """The ctypes module over libllama.

    Raises `IncompatibleBinding` when the installed version or the layout of its structs is not the expected one.
    """
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        raise IncompatibleBinding("llama-cpp-python is not installed")
    _check_version(Path(spec.submodule_search_locations[0]))
    module = _import(spec)
    if module.llama_model_default_params().n_gpu_layers != -1 or module.llama_context_default_params().n_ctx != 512:
        raise IncompatibleBinding("libllama does not fit its Python binding: reinstall llama-cpp-python")
    return module


@cache
def ready() -> Any:
    """`native()`, with its backends found and initialised: a build for every processor has them in libraries of their
    own. Raises `IncompatibleBinding`."""
    lib = native()
    lib.llama_backend_init()
    return lib


def prepare(environ: Mapping[str, str]) -> None:
    """Do what can be done before the model is known, if that takes no memory of a GPU.

    The environment says which devices this process may see. Where it hides them all, the backends are made ready.
    Otherwise nothing is loaded: what a GPU's library takes at its start has not been measured. What fails here fails
    again, and is said, when there is a model to load.
    """
    if sees_no_gpu(environ):
        try:
            ready()
        except IncompatibleBinding:
            pass


def _check_version(folder: Path) -> None:
    """Read from the file: `importlib.metadata` alone would take longer to import than the library to load."""
    try:
        found = _VERSION.search((folder / "__init__.py").read_text(encoding="utf-8"))
    except OSError as error:
        raise IncompatibleBinding(f"llama-cpp-python cannot be read: {error}") from error
    version = found[1] if found else "one without a version"
    if version != BINDING_VERSION:
        raise IncompatibleBinding(f"llama-cpp-python {BINDING_VERSION} is needed, {version} is installed")


def _import(spec: ModuleSpec) -> Any:
    if "llama_cpp" not in sys.modules:
        shell = types.ModuleType("llama_cpp")
        shell.__path__ = list(spec.submodule_search_locations or ())
        shell.__spec__ = spec
        sys.modules["llama_cpp"] = shell
    try:
        return importlib.import_module("llama_cpp.llama_cpp")
    except (OSError, RuntimeError) as error:
        raise IncompatibleBinding(f"libllama cannot be loaded: {error}") from error
