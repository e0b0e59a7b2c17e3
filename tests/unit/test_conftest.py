"""The rules of tests/conftest.py, tried on a small test file of its own."""

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"

SAMPLE = """
import pytest

def test_called():
    pytest.skip("no such machine")

@pytest.mark.skipif(True, reason="never")
def test_marked():
    pass

@pytest.mark.xfail(reason="known")
def test_known():
    assert False

def test_good():
    pass
"""


def run(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_bytes(CONFTEST.read_bytes())
    (folder / "test_sample.py").write_text(SAMPLE)
    (folder / "test_module.py").write_text("import pytest\npytest.importorskip('there_is_no_such_module')\n")
    variables = {name: value for name, value in os.environ.items() if name != "LLAMAD_CI"}
    options = ["-p", "no:cacheprovider", "--continue-on-collection-errors", "--rootdir", str(folder)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(folder)],
        env={**variables, **environ},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert "1 passed, 3 skipped, 1 xfailed" in done.stdout
    assert done.returncode == 0


def test_in_ci_every_kind_of_skip_fails_and_an_expected_failure_does_not(tmp_path: Path) -> None:
    done = run(tmp_path, LLAMAD_CI="1")
    assert "1 failed, 1 passed, 1 xfailed, 2 errors" in done.stdout
    assert "was skipped, which CI does not allow: Skipped: no such machine" in done.stdout
    assert "there_is_no_such_module" in done.stdout
    assert done.returncode != 0
