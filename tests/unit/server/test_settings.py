"""The environment becomes settings: kinds, defaults, warnings."""

import os
from pathlib import Path

import pytest

from scheduler.requests import FOREVER
from server.host import Host
from server.settings import Settings, variables


def read(**environ: str) -> Settings:
    return Settings.from_env({"HOME": "/nowhere", **environ})


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = read()
    assert settings.host == Host("http", "127.0.0.1", 11434)
    assert settings.models == Path("/nowhere/.ollama/models")
    assert (settings.keep_alive, settings.load_timeout, settings.drain_timeout) == (300.0, 300.0, 8.0)
    assert (settings.max_queue, settings.num_parallel, settings.context_length) == (512, 0, 0)
    assert settings.flash_attention is settings.go_template is settings.igpu_enable is None
    assert settings.remotes == ("ollama.com",)
    assert settings.spare_runner
    assert not read(LLAMAD_SPARE_RUNNER="0").spare_runner
    assert settings.cloud_source == "none"
    assert settings.warnings == ()


def test_the_longest_body() -> None:
    assert read().max_body == 256 << 20
    assert read(LLAMAD_MAX_BODY="1000").max_body == 1000
    assert read(LLAMAD_MAX_BODY="0").max_body == 0


def test_blanks_and_quotes_around_a_value_do_not_count_and_an_empty_one_is_unset() -> None:
    assert read(OLLAMA_MODELS=" '/m' ").models == Path("/m")
    assert read(OLLAMA_MAX_QUEUE='""').max_queue == 512


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), ("T", True), ("yes", True), ("0", False), ("False", False), ("f", False)],
)
def test_any_text_that_is_not_false_is_true(text: str, value: bool) -> None:
    assert read(OLLAMA_NOPRUNE=text).no_prune is value
    assert read(OLLAMA_FLASH_ATTENTION=text).flash_attention is value


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "99999999999999999999", "٣"])
def test_a_bad_number_is_replaced_with_a_warning(text: str) -> None:
    settings = read(OLLAMA_MAX_QUEUE=text)
    assert settings.max_queue == 512
    wanted = f"invalid environment variable, using default key=OLLAMA_MAX_QUEUE value={text} default=512"
    assert settings.warnings == (wanted,)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("30", 30), ("0", 0), ("-1", FOREVER), ("-5m", FOREVER), ("soon", 300)],
)
def test_keep_alive(text: str, seconds: float) -> None:
    assert read(OLLAMA_KEEP_ALIVE=text).keep_alive == seconds


@pytest.mark.parametrize(("text", "seconds"), [("10m", 600), ("0", 0), ("-1", 0), ("soon", 300)])
def test_load_timeout(text: str, seconds: float) -> None:
    assert read(OLLAMA_LOAD_TIMEOUT=text).load_timeout == seconds


@pytest.mark.parametrize(("text", "level"), [("1", 1), ("true", 1), ("2", 2), ("-1", -1), ("0", 0), ("loud", 0)])
def test_verbosity(text: str, level: int) -> None:
    assert read(OLLAMA_DEBUG=text).verbosity == level


def test_a_bad_port_is_replaced_with_a_warning() -> None:
    settings = read(OLLAMA_HOST=":66000")
    assert settings.host == Host("http", "", 11434)
    assert settings.warnings == ("invalid port, using default port=66000 default=11434",)


@pytest.mark.parametrize(
    ("environ", "config", "source"),
    [
        ({}, "{}", "none"),
        ({"OLLAMA_NO_CLOUD": "1"}, "{}", "env"),
        ({}, '{"disable_ollama_cloud":true}', "config"),
        ({"OLLAMA_NO_CLOUD": "1"}, '{"disable_ollama_cloud":true}', "both"),
        ({}, "no json", "none"),
    ],
)
def test_who_disabled_the_cloud(tmp_path: Path, environ: dict[str, str], config: str, source: str) -> None:
    (tmp_path / ".ollama").mkdir()
    (tmp_path / ".ollama" / "server.json").write_text(config)
    assert read(HOME=str(tmp_path), **environ).cloud_source == source


def test_every_variable_has_a_help_text_and_is_listed_for_the_log() -> None:
    names = [variable.name for variable in variables()]
    assert len(set(names)) == len(names)
    assert all(variable.help for variable in variables())
    assert list(read().listing()) == names


def test_the_listed_variables_come_in_the_order_of_the_help() -> None:
    listed = [variable.name for variable in variables() if variable.listed]
    assert listed[0] == "OLLAMA_DEBUG"
    assert listed[-1] == "OLLAMA_LOAD_TIMEOUT"
    assert len(listed) == 21


def test_the_listing_is_for_people() -> None:
    listing = read(OLLAMA_KEEP_ALIVE="-1", OLLAMA_ORIGINS="a,b", OLLAMA_NOPRUNE="1").listing()
    assert listing["OLLAMA_KEEP_ALIVE"] == "forever"
    assert listing["OLLAMA_LOAD_TIMEOUT"] == "5m0s"
    assert listing["OLLAMA_ORIGINS"] == "a,b"
    assert listing["OLLAMA_NOPRUNE"] == "true"
    assert listing["OLLAMA_FLASH_ATTENTION"] == ""


def test_further_models_directories() -> None:
    settings = read(OLLAMA_MODELS_EXTRA=f" /a {os.pathsep}{os.pathsep}/b c")
    assert settings.models_extra == (Path("/a"), Path("/b c"))
    assert settings.listing()["OLLAMA_MODELS_EXTRA"] == f"/a{os.pathsep}/b c"
    assert read().models_extra == ()
    assert read().listing()["OLLAMA_MODELS_EXTRA"] == ""
