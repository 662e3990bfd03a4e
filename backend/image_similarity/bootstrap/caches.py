"""Open the cache that the settings choose."""

from __future__ import annotations

import hashlib
import platform

from image_similarity.bootstrap.deployment import Deployment
from image_similarity.cache.base import Cache
from image_similarity.cache.local import LocalCache
from image_similarity.cache.redis import RedisCache
from image_similarity.cache.tiered import TieredCache
from image_similarity.domain.errors import InvalidRequest
from image_similarity.settings import Settings
from image_similarity.telemetry.logging import get_logger
from image_similarity.telemetry.metrics import Metrics


async def open_cache(settings: Settings, metrics: Metrics) -> Cache:
    """Return L1, with L2 behind it if there is a Redis, and warm it. Raises InvalidRequest for an invalid REDIS_URL."""
    local = LocalCache(
        max_entries=settings.cache_max_entries,
        max_bytes=settings.cache_max_bytes,
        ttl=settings.cache_ttl,
        metrics=metrics,
    )
    url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    if not url and not settings.redis_host:
        return local
    # In a URL, an IPv6 address needs brackets.
    host = f"[{settings.redis_host}]" if ":" in settings.redis_host else settings.redis_host
    password = settings.redis_password
    try:
        shared = RedisCache(
            url or f"redis://{host}:{settings.redis_port}",
            password=password.get_secret_value() if password else None,
            namespace=cache_namespace(settings),
            ttl=settings.cache_ttl,
            timeout=settings.redis_timeout,
            metrics=metrics,
            on_change=local.drop_results,
        )
    except ValueError as error:
        raise InvalidRequest(f"REDIS_URL: {error}") from None
    cache = TieredCache(local, shared)
    loaded = await cache.warm(settings.cache_warm_top)
    get_logger().info("cache_warmed", embeddings=loaded, redis=shared.failure() or "ok")
    return cache


def cache_namespace(settings: Settings) -> str:
    """Return the prefix of the keys in Redis: processes have the same one only if they share a collection.

    The prefix of an embedded collection includes the machine and the folder. The prefix of a collection on a Qdrant
    server does not include the server's address, because replicas may use different names for it; two deployments that
    share a Redis need different values of REDIS_PREFIX.
    """
    shared = f"{settings.redis_prefix}:{settings.qdrant_collection_name}"
    folder = Deployment.of(settings).folder
    if folder is None:
        return shared
    place = f"{platform.node()}:{folder.resolve()}"
    return f"{shared}:{hashlib.sha256(place.encode()).hexdigest()[:12]}"
