"""Settings: one environment variable a field, checked at start, secrets kept to themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from image_similarity.settings import Settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the machine that runs the tests, and no `.env` of its working folder."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


PROMISED = {
    "APP_NAME": ("app_name", "Photos", "Photos"),
    "API_PORT": ("api_port", "9000", 9000),
    "LOG_LEVEL": ("log_level", "DEBUG", "DEBUG"),
    "MODEL_NAME": ("model_name", "mini", "mini"),
    "DEVICE": ("device", "cpu", "cpu"),
    "BATCH_SIZE": ("batch_size", "8", 8),
    "QDRANT_COLLECTION_NAME": ("qdrant_collection_name", "cats_2", "cats_2"),
    "CACHE_TTL": ("cache_ttl", "0.5", 0.5),
    "STORAGE_URL": ("storage_url", "s3://photos/here", "s3://photos/here"),
    "DATA_DIR": ("data_dir", "/srv/photos", Path("/srv/photos")),
    "STORE_ORIGINALS": ("store_originals", "false", False),
    "MAX_QUEUE": ("max_queue", "5", 5),
    "REDIS_HOST": ("redis_host", "cache.internal", "cache.internal"),
    "REDIS_PORT": ("redis_port", "6380", 6380),
}


@pytest.mark.parametrize(("variable", "field", "text", "value"), [(name, *rest) for name, rest in PROMISED.items()])
def test_each_variable_sets_its_field(
    monkeypatch: pytest.MonkeyPatch, variable: str, field: str, text: str, value: Any
) -> None:
    monkeypatch.setenv(variable, text)

    assert getattr(Settings(), field) == value


def test_without_any_variable_it_runs_on_a_laptop() -> None:
    settings = Settings()

    assert (settings.api_host, settings.api_port) == ("127.0.0.1", 8000)
    assert settings.data_dir == Path("data")
    assert settings.storage_url is None
    assert settings.api_keys == settings.cors_origins == []
    assert settings.decode_threads >= 2


def test_every_field_is_explained() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_dotenv_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API_PORT=9001\nBATCH_SIZE=4\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("API_PORT", "9002")
    settings = Settings()

    assert (settings.api_port, settings.batch_size) == (9002, 4)


@pytest.mark.parametrize("variable", ["STORAGE_URL", "MODEL_NAME", "API_PORT", "API_KEYS", "DATA_DIR"])
def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    without = Settings()
    monkeypatch.setenv(variable, "")

    assert Settings() == without
    assert variable.lower() not in Settings().model_fields_set


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://a.example", ["https://a.example"]),
        (" https://a.example , https://b.example,", ["https://a.example", "https://b.example"]),
        (" , ", []),
    ],
)
def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, text: str, origins: list[str]) -> None:
    monkeypatch.setenv("CORS_ORIGINS", text)

    assert Settings().cors_origins == origins


@pytest.mark.parametrize("text", [" , ", ",", " "])
def test_keys_that_are_none_open_no_server(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("API_KEYS", text)

    with pytest.raises(ValidationError, match="holds no key"):
        Settings()


@pytest.mark.parametrize("text", ["https://a.example", "a.example:8000", "*.", "a*"])
def test_what_is_no_name_of_a_host_is_not_allowed_as_one(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", text)

    with pytest.raises(ValidationError, match="no name of a host"):
        Settings()


def test_keys_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "first-secret, second-secret")
    settings = Settings()

    assert settings.api_keys == [SecretStr("first-secret"), SecretStr("second-secret")]
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "secret" not in shown.lower().replace("secretstr", "")


def test_a_redis_url_with_a_mistake_in_its_password_does_not_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:pass/word@localhost:6379")

    with pytest.raises(ValidationError, match="%-encoded") as caught:
        Settings()
    assert "pass" not in str(caught.value)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("API_PORT", "70000"),
        ("API_PORT", "http"),
        ("LOG_LEVEL", "LOUD"),
        ("BATCH_SIZE", "0"),
        ("MAX_QUEUE", "0"),
        ("CACHE_TTL", "0"),
        ("DECODE_TIMEOUT", "-1"),
        ("QDRANT_COLLECTION_NAME", "../escape"),
        ("QDRANT_COLLECTION_NAME", "a" * 65),
        ("DEVICE", "quantum"),
        ("REDIS_PORT", "0"),
        ("REDIS_PREFIX", "with space"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis://:pass/word@localhost:6379"),
    ],
)
def test_nonsense_is_refused_at_start_by_name(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    monkeypatch.setenv(variable, text)

    with pytest.raises(ValidationError, match=variable.lower()):
        Settings()


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().api_port = 1


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("true", True), ("false", False)])
def test_fetching_by_url_is_on_off_or_as_the_store_has_it(
    monkeypatch: pytest.MonkeyPatch, text: str, value: Any
) -> None:
    monkeypatch.setenv("ALLOW_URL_FETCH", text)
    assert Settings().allow_url_fetch == value


def test_what_url_fetch_allow_means_is_checked_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URL_FETCH_ALLOW", "10.0.0.0/8, minio.internal")
    assert Settings().url_fetch_allow == ["10.0.0.0/8", "minio.internal"]
    monkeypatch.setenv("URL_FETCH_ALLOW", "http://minio.internal")
    with pytest.raises(ValidationError, match="neither a network"):
        Settings()
