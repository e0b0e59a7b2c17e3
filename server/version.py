"""Which versions this program states, each in one place."""

from typing import Final

REFERENCE_VERSION: Final = "0.33.0"
"""The Ollama release whose behaviour is served; `/api/version`, the registry User-Agent, `version is`."""

PROGRAM: Final = "llamad"
PROGRAM_VERSION: Final = "0.1.0"
