"""The cost beside the model."""

from benchmarks import hotpath


def test_vectors_are_written_and_timed() -> None:
    assert hotpath.vectors(8, 3) > 0


def test_requests_never_end_by_themselves() -> None:
    for request in (hotpath.completion, hotpath.chat):
        path, body = request(3)
        assert path.startswith("/api/")
        assert body["options"]["seed"] == 3
        assert set(body["options"]["logit_bias"].values()) == {-100.0}
