"""The virtual environment and the pip inside it.

Debian splits `ensurepip` off into python3-venv, which cannot be had without root. So the environment is made without
pip, and one pinned pip wheel, checked against its hash, installs itself: a wheel is a zip file that Python can run.
"""

import os
import re
import shutil
import ssl
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .commands import capture, say
from .errors import CommandFailed, DownloadFailed, InstallError
from .wheels import sha256

PIP_VERSION: Final = "26.3"
PIP_WHEEL: Final = f"pip-{PIP_VERSION}-py3-none-any.whl"
PIP_SHA256: Final = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
_TIMEOUT: Final = 60
_OVERRIDES: Final = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PYTHONHOME", "PYTHONPATH")


class Environment:
    """One virtual environment. `python` exists once `create` has run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"

    def create(self, cache: Path) -> None:
        """Make what is missing: the environment, the pip in it. What works already is left alone."""
        if capture([str(self.python), "-c", ""])[0] != 0:
            say(f"creating {self.folder}")
            shutil.rmtree(self.folder, ignore_errors=True)
            command = [sys.executable, "-m", "venv", "--without-pip", str(self.folder)]
            status, output = capture(command)
            if status:
                raise CommandFailed(" ".join(command), status, output)
        status, version = capture([str(self.python), "-c", "import pip; print(pip.__version__)"])
        if status or version.strip() != PIP_VERSION:
            self._install_pip(cache)

    def _install_pip(self, cache: Path) -> None:
        wheel = pip_wheel(cache)
        # By name and out of that folder alone, so that pip replaces an older self instead of finding it good enough.
        source = ["--no-index", "--find-links", str(wheel.parent), f"pip=={PIP_VERSION}"]
        status, output = capture(
            [str(self.python), str(wheel / "pip"), "install", "--force-reinstall", *source], self.variables()
        )
        if status:
            raise CommandFailed("installing pip", status, output)

    def pip(self, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        """Run pip quietly. Raises CommandFailed with what it said."""
        status, output = capture([*self.pip_command, *arguments], variables or self.variables())
        if status:
            raise CommandFailed(f"pip {arguments[0]}", status, output)

    @property
    def pip_command(self) -> list[str]:
        return [str(self.python), "-m", "pip"]

    def variables(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Variables for pip: the user's (index, proxy, certificates) without those that would install elsewhere."""
        kept = {name: value for name, value in environ.items() if name not in _OVERRIDES}
        return {
            **kept,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "VIRTUAL_ENV": str(self.folder),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}",
        }


def pip_wheel(cache: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The pinned pip wheel, fetched once. Raises DownloadFailed."""
    wheel = cache / PIP_WHEEL
    if wheel.exists() and sha256(wheel) == PIP_SHA256:
        return wheel
    index = (environ.get("PIP_INDEX_URL") or "https://pypi.org/simple").rstrip("/")
    cache.mkdir(parents=True, exist_ok=True)
    context = tls(environ)
    page = f"{index}/pip/"
    url = find_link(_get(page, context).decode(errors="replace"), page)
    if url is None:
        raise DownloadFailed(page, f"it does not list {PIP_WHEEL}")
    with tempfile.NamedTemporaryFile(dir=cache, prefix=".pip-", delete=False) as file:
        fresh = Path(file.name)
        try:
            file.write(_get(url, context))
            file.flush()
            if sha256(fresh) != PIP_SHA256:
                raise DownloadFailed(url, f"its SHA-256 is {sha256(fresh)}, expected {PIP_SHA256}")
            fresh.chmod(0o644)
            fresh.replace(wheel)
        finally:
            fresh.unlink(missing_ok=True)
    return wheel


def find_link(page: str, base: str) -> str | None:
    """Address of the pip wheel in an index page (PEP 503), without its fragment."""
    for href in re.findall(r"""<a\b[^>]*?\bhref\s*=\s*["']([^"']+)["']""", page, re.IGNORECASE):
        address = urllib.parse.urldefrag(urllib.parse.urljoin(base, href.replace("&amp;", "&"))).url
        if urllib.parse.unquote(urllib.parse.urlsplit(address).path).rsplit("/", 1)[-1] == PIP_WHEEL:
            return address
    return None


def tls(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Trust what pip is told to trust. Raises InstallError when that file is not there."""
    bundle = environ.get("PIP_CERT") or None
    try:
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise InstallError(f"PIP_CERT={bundle}: {error.strerror}") from None


def _get(url: str, context: ssl.SSLContext) -> bytes:
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise DownloadFailed(url, "not an http address")
    request = urllib.request.Request(url, headers={"Accept": "text/html, */*;q=0.1", "User-Agent": "llamad-install"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT, context=context) as answer:
            return answer.read()
    except (OSError, ValueError) as error:
        raise DownloadFailed(url, str(getattr(error, "reason", error))) from None
