"""`image-similarity worker` as a user starts it: in a new process, which the other tests of jobs do without."""

from __future__ import annotations

import subprocess
import sys

from tests.integration.jobs.conftest import Stack
from tests.support.jobs import finished, pictures, submit
from tests.support.servers import PATIENCE, environment, free_port, wait_until_ready


def test_a_worker_started_anew_does_a_chunk_and_ends_when_told_to(stack: Stack) -> None:
    port, log = free_port(), stack.folder / "new-worker.log"
    env = environment({**stack.env, "WORKER_PORT": str(port)})
    job_id = submit(stack.http, pictures(4))
    with log.open("ab") as out:
        command = [sys.executable, "-m", "image_similarity", "worker", "--concurrency", "1"]
        worker = subprocess.Popen(command, env=env, stdout=out, stderr=out)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", worker, log)
        job = finished(stack.http, job_id)
        assert (job["state"], job["counts"]["indexed"]) == ("completed", 4)
        worker.terminate()
        assert worker.wait(PATIENCE) == 0, log.read_text()
    finally:
        worker.kill()
        worker.wait(PATIENCE)
