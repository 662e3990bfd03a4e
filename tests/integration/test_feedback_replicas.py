"""Verdicts through several replicas, one of which is killed: what was acknowledged is there, once."""

from __future__ import annotations

import concurrent.futures
import json
import threading
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.support.qdrant_process import QdrantProcess
from tests.support.servers import API, ONCE, free_port, server_process

REPLICAS = 3
VERDICTS = 150
KILL_AFTER = 40


def test_a_replica_killed_among_others_loses_no_verdict_and_repeats_none(qdrant: QdrantProcess, tmp_path: Path) -> None:
    env = {"DATA_DIR": str(tmp_path / "data"), "STORAGE_URL": (tmp_path / "shared").as_uri(), "DEVICE": "cpu"}
    env |= {"MODEL_NAME": "mini", "QDRANT_COLLECTION_NAME": "feedback-replicas"}
    env |= {"QDRANT_URL": qdrant.url, "QDRANT_GRPC_PORT": str(qdrant.grpc_port)}
    ports = [free_port() for _ in range(REPLICAS)]
    urls = [f"http://127.0.0.1:{port}{API}" for port in ports]
    acknowledged: dict[int, str] = {}
    enough = threading.Event()

    def say(number: int) -> None:
        """Try one replica after the other under the same key, as the balancer does."""
        body = {"query": {"text": "dogs"}, "image_id": f"{number}", "verdict": "positive"}
        for attempt in range(REPLICAS):
            try:
                answer = ONCE.post(
                    f"{urls[(number + attempt) % REPLICAS]}/feedback",
                    json=body,
                    headers={"Idempotency-Key": f"verdict-{number}"},
                )
            except httpx.TransportError:
                continue
            assert answer.status_code == 201, answer.text
            acknowledged[number] = answer.json()["event_id"]
            if len(acknowledged) >= KILL_AFTER:
                enough.set()
            return

    with ExitStack() as stack:
        processes = [stack.enter_context(server_process(port, env, tmp_path / f"{port}.log")) for port in ports]
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            running = [clients.submit(say, number) for number in range(VERDICTS)]
            assert enough.wait(60)
            processes[0].kill()
            for one in running:
                one.result()

        assert sorted(acknowledged) == list(range(VERDICTS))
        for url in urls[1:]:
            lines = ONCE.get(f"{url}/feedback/export").text.splitlines()
            kept = {int(event["image_id"]): event["event_id"] for event in map(json.loads, lines)}
            assert kept == acknowledged
            assert len(lines) == VERDICTS
