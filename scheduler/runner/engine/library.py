"""The binding, imported without the package around it.

`import llama_cpp.llama_cpp` first runs the package's `__init__`, which pulls in the high-level interface and with it
some 30 MB and 300 ms of modules that a runner never uses. A bare module object with the package's search path takes
its place, so that only the ctypes layer is loaded.
"""

import importlib
import importlib.metadata
import importlib.util
import sys
import types
from functools import cache
from typing import Any, Final

BINDING_VERSION: Final = "0.3.36"
"""Struct layouts change between releases of the binding: another version would corrupt memory."""


class IncompatibleBinding(RuntimeError):
    """The installed llama-cpp-python is not the one this runner was written for."""


@cache
def native() -> Any:
    """The ctypes module over libllama.

    Raises `IncompatibleBinding` when the installed version or the layout of its structs is not the expected one.
    """
    version = importlib.metadata.version("llama-cpp-python")
    if version != BINDING_VERSION:
        raise IncompatibleBinding(f"llama-cpp-python {BINDING_VERSION} is needed, {version} is installed")
    if "llama_cpp" not in sys.modules:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None or spec.submodule_search_locations is None:
            raise IncompatibleBinding("llama-cpp-python is installed without its package folder")
        shell = types.ModuleType("llama_cpp")
        shell.__path__ = list(spec.submodule_search_locations)
        shell.__spec__ = spec
        sys.modules["llama_cpp"] = shell
    module: Any = importlib.import_module("llama_cpp.llama_cpp")
    if module.llama_model_default_params().n_gpu_layers != -1 or module.llama_context_default_params().n_ctx != 512:
        raise IncompatibleBinding("libllama does not fit its Python binding: reinstall llama-cpp-python")
    return module
