"""Make tests/support/older_collection.tar.xz: a collection as the code of an earlier commit leaves it on disk.

git archive COMMIT backend | tar -x -C OLD && PYTHONPATH=OLD/backend python tests/support/make_older_collection.py

The server of that commit is started as a user starts it, on a fresh folder with the model `mini`, and asked over HTTP
for: four images with metadata, one that is deleted and can be restored, a bulk job of two, and a verdict. Its folder
is packed once it has ended. The archive in git was made by 43543c3, the last commit before the package was
put into folders; make it anew from a later release when what is on disk changes, and keep the older one too.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import httpx
from PIL import Image, ImageDraw

ARCHIVE = Path(__file__).with_name("older_collection.tar.xz")
UNDO_SECONDS = 86_400


def picture(number: int) -> bytes:
    """Return a PNG of bars and a disc, each number's another colour and place."""
    image = Image.new("RGB", (96, 72), (40 * number % 256, 90 * number % 256, 150))
    draw = ImageDraw.Draw(image)
    draw.ellipse((8 * number, 10, 8 * number + 40, 50), fill=(250 - 30 * number, 60, 30 * number))
    draw.rectangle((0, 60 - 6 * number, 96, 66 - 6 * number), fill=(20, 200 - 25 * number, 90))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def fill(http: httpx.Client) -> None:
    for number in range(4):
        metadata = json.dumps({"number": number, "tags": ["old", f"n{number}"]})
        fields = {"image_id": f"image-{number}", "metadata": metadata}
        http.post("/index", files={"image": ("x", picture(number))}, data=fields).raise_for_status()
    http.delete("/images/image-3", params={"undo_seconds": UNDO_SECONDS}).raise_for_status()
    verdict = {"image_id": "image-1", "verdict": "positive", "query": {"image_id": "image-0"}}
    http.post("/feedback", json=verdict).raise_for_status()
    files = [("image", ("x", picture(number))) for number in (4, 5)]
    job = http.post("/index/batch", files=files, data={"image_ids": json.dumps(["image-4", "image-5"])})
    path = job.raise_for_status().headers["location"].removeprefix("/api/v1")
    while http.get(path).json()["state"] != "completed":
        time.sleep(0.1)


def main() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "DATA_DIR": f"{folder}/data", "MODEL_NAME": "mini", "DEVICE": "cpu"}
        command = [sys.executable, "-m", "image_similarity", "serve", "--port", str(port)]
        server = subprocess.Popen(command, env=env, cwd=folder)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=60) as http:
                while server.poll() is None:
                    try:
                        if http.get("/ready").status_code == 200:
                            break
                    except httpx.TransportError:
                        pass
                    time.sleep(0.2)
                fill(http)
        finally:
            server.terminate()
            server.wait(60)
        with tarfile.open(ARCHIVE, "w:xz") as archive:
            archive.add(Path(folder) / "data", "data")


if __name__ == "__main__":
    main()
