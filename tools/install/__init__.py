"""Puts everything that llamad needs into `.venv`; runs with nothing but a Python and its standard library.

    python3 -m tools.install [--venv DIR] [--lock FILE]

Reads ACCEL, LLAMAD_ISA, LLAMAD_AMX and CMAKE_ARGS (see `choices`), and pip's own variables.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  an old interpreter gets as far as this line, and no further
    raise SystemExit(
        f"llamad needs Python 3.11 or newer, and {sys.executable} is {sys.version_info[0]}.{sys.version_info[1]}. "
        "Name another one: make PYTHON=python3.12 install"
    )
