"""Settings of the shell that replicas and workers of a cluster get, and settings that the cluster decides itself."""

from __future__ import annotations

from collections.abc import Mapping

from image_similarity.cli.cluster.qdrant import Source
from image_similarity.cli.cluster.services import BALANCER_SETTINGS
from image_similarity.settings import Settings

_OWN = {
    *("API_HOST", "API_PORT", "WORKER_PORT", "DRAIN_SECONDS", "MODEL_FALLBACK"),
    *("DATA_DIR", "STORAGE_URL", "BROKER_URL", "REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD"),
}
_OF_STARTED_NODES = {
    *("QDRANT_URL", "QDRANT_HOST", "QDRANT_PORT", "QDRANT_GRPC_PORT", "QDRANT_API_KEY", "QDRANT_EXPECTED_PEERS")
}
_OF_GIVEN_NODES = {"QDRANT_URL", "QDRANT_HOST", "QDRANT_PORT"}


def passed_on(shell: Mapping[str, str], source: Source) -> tuple[dict[str, str], list[str]]:
    """Return the settings that replicas and workers get, and the names of those that the cluster decides instead.

    Every setting of the program is one or the other; so are OpenTelemetry's own variables and the balancer's.
    """
    known = {name.upper() for name in Settings.model_fields} | set(BALANCER_SETTINGS)
    given = {
        name.upper(): value
        for name, value in shell.items()
        if value and (name.upper() in known or name.startswith("OTEL_"))
    }
    own = _OWN | (_OF_GIVEN_NODES if source.url else _OF_STARTED_NODES)
    # Not reported if the caller named the server: the caller knows that this one is used.
    reported = own - (_OF_GIVEN_NODES if source.url else set())
    return (
        {name: value for name, value in given.items() if name not in own},
        sorted(name for name in given if name in reported),
    )
