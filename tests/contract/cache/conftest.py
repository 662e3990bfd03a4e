"""The Redis that the contract of caches is tested on."""

from __future__ import annotations

from tests.integration.cache.conftest import redis, running_redis

__all__ = ["redis", "running_redis"]
