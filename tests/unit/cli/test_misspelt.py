"""Names that are nearly settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_similarity.cli.misspelt import among, misspelt_settings
from image_similarity.settings import Settings


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("API_PROT", "API_PORT"),
        ("api_prot", "API_PORT"),
        ("MODEL_NAM", "MODEL_NAME"),
        ("BATCHSIZE", "BATCH_SIZE"),
        ("QDRANT_ULR", "QDRANT_URL"),
        ("QDRANT_HNSW_EF_CONSTRUCTION", "QDRANT_HNSW_EF_CONSTRUCT"),
    ],
)
def test_a_typo_is_found(name: str, meant: str) -> None:
    assert among([name]) == {name: meant}


def test_settings_and_the_variables_of_others_are_none() -> None:
    # The last ones are what Kubernetes puts into every container beside a Service, and Qdrant's own settings.
    others = ("PATH", "HOME", "LANG", "TERM", "HOSTNAME", "XDG_DATA_DIRS", "HF_HOME", "AWS_REGION", "PYTHONPATH")
    others += ("WEB_CONCURRENCY", "TEST_QDRANT_GRPC_PORT", "TEST_QDRANT_URL", "RABBITMQ_PASSWORD", "API_URL")
    services = ("REDIS_PORT_6379_TCP", "REDIS_SERVICE_HOST", "QDRANT_SERVICE_PORT", "QDRANT__SERVICE__API_KEY")
    assert among([*others, *services]) == {}
    assert among([name.upper() for name in Settings.model_fields]) == {}


def test_the_dotenv_file_is_looked_at_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("MODEL_NMAE=mini\nMODEL_NAME=mini\nGRAFANA_PASSWORD=x\n")
    assert misspelt_settings()["MODEL_NMAE"] == "MODEL_NAME"
    assert "GRAFANA_PASSWORD" not in misspelt_settings()
