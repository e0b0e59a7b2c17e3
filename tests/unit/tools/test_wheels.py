"""The cache of compiled wheels, and the record that an installation leaves."""

from dataclasses import replace
from pathlib import Path

import pytest

from tools.install import record
from tools.install.choices import Plan, Wishes, plan
from tools.install.compiler import Compiler
from tools.install.lock import Lock
from tools.install.machine import Cpu, Machine
from tools.install.wheels import WheelCache, cache_folder, key_of, sha256

LOCK = Lock(compiled="llama-cpp-python==0.3.36 --hash=sha256:aa", version="0.3.36", rest="")
GCC = Compiler(cc="gcc", cxx="g++", version="g++ 12", amx_switches=True)
HERE = Machine("Linux", "x86_64", Cpu("Xeon", frozenset({"avx2", "amx_tile"})), (), {}, "apt-get")


def planned(wishes: Wishes | None = None) -> Plan:
    return plan(wishes or Wishes(), HERE)


def test_the_key_can_be_read() -> None:
    assert key_of(LOCK, planned(), HERE, GCC).startswith("0.3.36-cpu-native-x86_64-")
    assert "-native-amx-" in key_of(LOCK, planned(Wishes(amx=True)), HERE, GCC)


def test_whatever_shapes_the_machine_code_makes_another_key() -> None:
    other_cpu = replace(HERE, cpu=Cpu("Xeon", frozenset({"avx2"})))
    keys = [
        key_of(LOCK, planned(), HERE, GCC),
        key_of(replace(LOCK, compiled="llama-cpp-python==0.3.36 --hash=sha256:bb"), planned(), HERE, GCC),
        key_of(LOCK, planned(Wishes(amx=True)), HERE, GCC),
        key_of(LOCK, planned(Wishes(isa="avx2")), HERE, GCC),
        key_of(LOCK, planned(Wishes(cmake_args="-DX=1")), HERE, GCC),
        key_of(LOCK, planned(), other_cpu, GCC),
        key_of(LOCK, planned(), HERE, replace(GCC, version="g++ 13")),
    ]
    assert len(set(keys)) == len(keys)


def test_what_does_not_shape_it_keeps_the_key() -> None:
    hinted = replace(planned(), gpu_found="an NVIDIA GPU", hint="do something")
    assert key_of(LOCK, hinted, HERE, GCC) == key_of(LOCK, planned(), HERE, GCC)
    other_cpu = replace(HERE, cpu=Cpu("Epyc", frozenset({"avx2"})))
    lesser = planned(Wishes(isa="avx2"))
    assert key_of(LOCK, lesser, HERE, GCC) == key_of(LOCK, lesser, other_cpu, GCC)


def test_a_wheel_is_found_again(tmp_path: Path) -> None:
    cache = WheelCache(tmp_path / "cache")
    assert cache.get("key") is None
    built = tmp_path / "a-1-py3-none-any.whl"
    built.write_bytes(b"wheel")
    kept = cache.put("key", built, {"why": "test"})
    assert not built.exists()
    assert cache.get("key") == kept
    assert kept.read_bytes() == b"wheel"
    assert cache.get("other") is None


def test_a_damaged_wheel_is_not_used_and_can_be_replaced(tmp_path: Path) -> None:
    cache = WheelCache(tmp_path / "cache")
    for content in (b"first", b"second"):
        built = tmp_path / "a-1-py3-none-any.whl"
        built.write_bytes(content)
        kept = cache.put("key", built, {})
        kept.write_bytes(content[:-1])
        assert cache.get("key") is None
    assert [path.name for path in (tmp_path / "cache" / "wheels").iterdir()] == ["key"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"wheel": 1, "sha256": 2}', '{"wheel": "no.whl", "sha256": ""}'])
def test_a_damaged_entry_is_no_entry(tmp_path: Path, text: str) -> None:
    entry = tmp_path / "wheels" / "key"
    entry.mkdir(parents=True)
    (entry / "build.json").write_text(text)
    assert WheelCache(tmp_path).get("key") is None


def test_one_installation_at_a_time(tmp_path: Path) -> None:
    cache = WheelCache(tmp_path / "cache")
    with cache.exclusive():
        assert (tmp_path / "cache" / "build.lock").exists()
    with cache.exclusive():
        pass


def test_where_the_cache_lies() -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/var/cache/me"}) == Path("/var/cache/me/llamad")
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache" / "llamad"
    assert cache_folder({}) == Path.home() / ".cache" / "llamad"


def write(folder: Path, mark: str = "m") -> None:
    record.write(folder, mark=mark, key="k", version="0.3.36", plan=planned(), wishes=Wishes(amx=True))


def test_a_record_is_read_back(tmp_path: Path) -> None:
    write(tmp_path)
    found = record.read(tmp_path)
    assert (found["fingerprint"], found["key"], found["accel"], found["amx"]) == ("m", "k", "cpu", False)
    assert found["wishes"] == {"accel": "auto", "amx": True, "cmake_args": "", "isa": "native"}
    assert [path.name for path in tmp_path.iterdir()] == [record.NAME]


def test_an_installation_that_has_begun_is_not_done_but_keeps_its_wishes(tmp_path: Path) -> None:
    record.forget(tmp_path)
    assert record.read(tmp_path) == {}
    write(tmp_path)
    record.forget(tmp_path)
    found = record.read(tmp_path)
    assert "fingerprint" not in found
    assert "key" not in found
    assert found["wishes"]


@pytest.mark.parametrize("text", ["", "[]", "nonsense"])
def test_a_damaged_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / record.NAME).write_text(text)
    assert record.read(tmp_path) == {}


def test_the_fingerprint_follows_lock_plan_and_processor(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    marks = [record.fingerprint(lock, planned(), HERE)]
    lock.write_text("a")
    marks.append(record.fingerprint(lock, planned(), HERE))
    marks.append(record.fingerprint(lock, planned(Wishes(amx=True)), HERE))
    marks.append(record.fingerprint(lock, planned(), replace(HERE, cpu=Cpu("Epyc", frozenset()))))
    assert len(set(marks)) == 4
    assert record.fingerprint(lock, planned(), HERE) == marks[1]


def test_a_file_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf8f01cfea")
