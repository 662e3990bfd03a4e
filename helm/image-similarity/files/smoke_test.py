"""Index an image, find it, delete it: through the balancer, as a client would. Run by `helm test`."""

from __future__ import annotations

import io
import os
import uuid

import httpx
from PIL import Image

KEY = os.environ.get("API_KEYS", "").split(",")[0]


def picture() -> bytes:
    """Return a new PNG, which is not indexed yet."""
    out = io.BytesIO()
    Image.frombytes("RGB", (64, 64), os.urandom(3 * 64 * 64)).save(out, "PNG")
    return out.getvalue()


def main() -> None:
    """Raise an error if an answer is wrong."""
    image_id, image = f"smoke-test/{uuid.uuid4()}", picture()
    url = f"{os.environ['URL']}/api/v1"
    with httpx.Client(base_url=url, headers={"X-API-Key": KEY} if KEY else {}, timeout=60) as http:
        http.post("/index", files={"image": image}, data={"image_id": image_id}).raise_for_status()
        try:
            found = http.post("/search", files={"image": image}, data={"top_k": "1"}).raise_for_status().json()
            best = found["results"][0]
            if best["image_id"] != image_id or best["score"] < 0.99:
                raise SystemExit(f"Searched for {image_id}, found {best}")
        finally:
            path = f"/images/{image_id.replace('/', '%2F')}"
            http.delete(path).raise_for_status()
    print(f"Indexed {image_id}, found it with a score of {best['score']}, and deleted it.")  # noqa: T201


if __name__ == "__main__":
    main()
