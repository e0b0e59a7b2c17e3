"""What is accepted as a result."""

from pathlib import Path

import pytest

from modelstore.quantize.errors import QuantizeFailed
from modelstore.quantize.outcome import check
from tests.unit.modelstore.quantize import files

F32, F16, Q8_0 = 0, 1, 8
TEXT, SEEING = ("w.weight", (32, 4)), ("v.w.weight", (32, 4))


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (files.model("llama", (*TEXT, Q8_0), (*SEEING, F16), general__file_type=7), None),
        (files.model("llama", (*TEXT, F16), (*SEEING, F16), general__file_type=7), None),
        (files.model("llama", (*TEXT, Q8_0), (*SEEING, F16), general__file_type=15), "another type"),
        (files.model("llama", (*TEXT, Q8_0), (*SEEING, Q8_0), general__file_type=7), '"v.w.weight" was not carried'),
        (files.model("llama", (*TEXT, Q8_0), general__file_type=7), '"v.w.weight" was not carried'),
        (files.model("llama", ("w.weight", (32, 2), F16), (*SEEING, F16), general__file_type=7), '"w.weight" was not'),
        (
            files.model("llama", (*TEXT, Q8_0), (*SEEING, F16), ("x", (32,), F32), general__file_type=7),
            '"x" came from nowhere',
        ),
        (b"", "unusable: invalid file magic"),
        (files.model("llama", (*TEXT, Q8_0), (*SEEING, F16), general__file_type=7)[:-64], "unusable: tensor"),
        (None, "unusable: there is none"),
    ],
)
def test_a_result_has_every_tensor_and_the_type(tmp_path: Path, result: bytes | None, words: str | None) -> None:
    header = files.header(tmp_path / "source", files.model("llama", (*TEXT, F16), (*SEEING, F16)))
    if result is not None:
        (tmp_path / "result").write_bytes(result)
    if words is None:
        assert check([header], tmp_path / "result", "Q8_0").file_type == "Q8_0"
        return
    with pytest.raises(QuantizeFailed, match=words) as caught:
        check([header], tmp_path / "result", "Q8_0")
    assert str(tmp_path) not in str(caught.value)
