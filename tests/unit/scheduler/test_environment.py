"""What a runner's environment adds to ours."""

import os

from hypothesis import given
from hypothesis import strategies as st

from scheduler.environment import (
    NO_GPUS,
    SOURCE_ROOT,
    glibc_version,
    runner_environment,
    sees_no_gpu,
    with_huge_pages,
)

HUGE = "glibc.malloc.hugetlb=1"


def test_everything_is_inherited_and_the_devices_override() -> None:
    seen = runner_environment({"A": "1", "B": "2"}, {"B": "3"}, glibc=None)
    assert (seen["A"], seen["B"], seen["GGML_NO_BACKTRACE"]) == ("1", "3", "1")
    assert "GLIBC_TUNABLES" not in seen


def test_the_packages_are_found_once_and_first() -> None:
    root = str(SOURCE_ROOT)
    assert runner_environment({}, {}, glibc=None)["PYTHONPATH"] == root
    again = runner_environment({"PYTHONPATH": f"/x{os.pathsep}{root}"}, {}, glibc=None)["PYTHONPATH"]
    assert again == f"{root}{os.pathsep}/x"


def test_huge_pages_from_glibc_2_35_on() -> None:
    assert runner_environment({}, {}, glibc=(2, 35))["GLIBC_TUNABLES"] == HUGE
    assert "GLIBC_TUNABLES" not in runner_environment({}, {}, glibc=(2, 34))
    kept = runner_environment({"GLIBC_TUNABLES": "glibc.malloc.check=3"}, {}, glibc=(2, 36))["GLIBC_TUNABLES"]
    assert kept == f"glibc.malloc.check=3:{HUGE}"


def test_a_user_s_own_choice_of_huge_pages_stands() -> None:
    assert with_huge_pages("glibc.malloc.hugetlb=0") == "glibc.malloc.hugetlb=0"


@given(st.lists(st.from_regex(r"glibc\.[a-z]+=[0-9]+", fullmatch=True)))
def test_other_tunables_are_kept_in_order(settings: list[str]) -> None:
    merged = with_huge_pages(":".join(settings)).split(":")
    assert merged == [*settings, HUGE]
    assert with_huge_pages(":".join(merged)) == ":".join(merged)


def test_the_version_of_the_c_library_is_read_or_unknown() -> None:
    version = glibc_version()
    assert version is None or version >= (2, 0)


def test_gpus_of_other_libraries_are_hidden_where_those_of_one_are_chosen() -> None:
    seen = runner_environment({"GGML_VK_VISIBLE_DEVICES": "1"}, {"CUDA_VISIBLE_DEVICES": "GPU-1"}, glibc=None)
    assert [seen[name] for name in NO_GPUS] == ["GPU-1", "-1", "-1"]
    seen = runner_environment({}, {"ROCR_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "0"}, glibc=None)
    assert [seen[name] for name in NO_GPUS] == ["0", "0", "-1"]
    assert not set(NO_GPUS) & set(runner_environment({}, {"A": "1"}, glibc=None))
    seen = runner_environment({"CUDA_VISIBLE_DEVICES": "1"}, {"GGML_VK_VISIBLE_DEVICES": "-1"}, glibc=None)
    assert seen["CUDA_VISIBLE_DEVICES"] == "1", "to hide some is not to choose others"


def test_a_runner_sees_no_gpu_only_where_all_are_hidden() -> None:
    assert sees_no_gpu(runner_environment({"CUDA_VISIBLE_DEVICES": "0"}, NO_GPUS, glibc=None))
    assert not sees_no_gpu({})
    assert not any(sees_no_gpu({**NO_GPUS, name: "0"}) for name in NO_GPUS)
