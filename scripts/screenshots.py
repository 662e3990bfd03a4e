"""Take screenshots of every page of the web page, light and dark, on a phone and on a desktop; see screenshots.sh.

Serves an empty folder with the offline model, fills it with the pictures that scikit-image and scikit-learn ship (and
with crops and mirror images of them, so that there are similar images), and drives Chromium.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import skimage
import sklearn
from PIL import Image, ImageEnhance, ImageOps
from playwright.sync_api import Browser, Page, sync_playwright

PHOTOS = {
    "astronaut.png": ("people", 1993, "An astronaut in an orange suit smiles before a flag"),
    "chelsea.png": ("animals", 2012, "A tabby cat looks into the camera"),
    "coffee.png": ("still life", 2013, "A cup of coffee with a spoon on a red saucer"),
    "rocket.jpg": ("space", 2014, "A rocket stands on its launch pad at dusk"),
    "motorcycle_left.png": ("vehicles", 2014, "A motorcycle in a garage full of tools"),
    "hubble_deep_field.jpg": ("space", 2004, "Thousands of galaxies in the night sky"),
    "camera.png": ("people", 1978, "A man with a camera on a tripod"),
    "grass.png": ("textures", 2018, "Grass, seen from above"),
    "coins.png": ("still life", 2009, "Old coins in rows"),
    "china.jpg": ("buildings", 2007, "A temple with red walls under a grey sky"),
    "flower.jpg": ("plants", 2007, "An orange dahlia in full bloom"),
}
FOLDERS = (Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images")
DEVICES = {"desktop": (1440, 900), "phone": (390, 844)}
ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


def main() -> None:
    """Write the screenshots to the folder given on the command line."""
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, serving(Path(data)) as url:
        fill(url)
        query = Path(data) / "my-flower.jpg"
        query.write_bytes(jpeg(variants(load("flower.jpg"))["close"].rotate(12).crop((60, 50, 330, 240))))
        with sync_playwright() as playwright:
            chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=ARGS)
            for scheme in ("light", "dark"):
                for device in DEVICES:
                    photograph(browser, url, query, target, scheme, device)
            browser.close()


def photograph(browser: Browser, url: str, query: Path, target: Path, scheme: str, device: str) -> None:
    """Visit each page once."""
    width, height = DEVICES[device]
    phone = device == "phone"
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=phone,
        is_mobile=phone,
        device_scale_factor=2 if phone else 1,
    )
    page = context.new_page()

    def shoot(name: str) -> None:
        page.wait_for_load_state("networkidle")
        # Animations have ended by then.
        page.wait_for_timeout(1200)
        path = target / f"{name}-{device}-{scheme}.png"
        page.screenshot(path=path)
        print(path)

    page.goto(url)
    shoot("start")
    page.get_by_label("Image to search with").set_input_files(query)
    page.get_by_role("list", name="Images, best first").get_by_role("link").first.wait_for()
    shoot("results")
    if phone:
        page.get_by_role("button", name="Refine").click()
    page.get_by_label("Add a condition").select_option("subject")
    page.get_by_label("space").check()
    shoot("filter")
    page.goto(f"{url}/?text=orange&mode=both")
    shoot("words")
    page.goto(
        f"{url}/?like=animals%2Fchelsea-mirrored.jpg&text=in+the+grass&weight=0.5&like=space%2Frocket-tall.jpg&weight=-0.5"
    )
    shoot("composed")
    page.goto(f"{url}/?like=plants%2Fflower-close.jpg&more=plants%2Fflower-warm.jpg&less=plants%2Fflower-tall.jpg")
    shoot("marked")
    page.goto(f"{url}/?like=animals%2Fchelsea-mirrored.jpg&group=subject&fold=1")
    shoot("groups")
    page.goto(f"{url}/library?view=animals%2Fchelsea-mirrored.jpg")
    shoot("viewer")
    page.get_by_role("button", name="Edit").click()
    shoot("editor")
    page.goto(f"{url}/library")
    shoot("library")
    upload(page, query)
    shoot("upload")
    page.goto(f"{url}/status")
    page.wait_for_timeout(9000)
    shoot("status")
    page.goto(f"{url}/?like=no-such-image")
    shoot("problem")
    context.close()


def upload(page: Page, query: Path) -> None:
    """Add a few files again, and one that is damaged."""
    damaged = query.with_name("torn.jpg")
    damaged.write_bytes(query.read_bytes()[:9000])
    page.get_by_label("Images to add").set_input_files([query, damaged])
    page.get_by_role("heading", name="Added 1 of 2 images").wait_for()


def fill(url: str) -> None:
    """Index all pictures with their variants."""
    with httpx.Client(base_url=f"{url}/api/v1", timeout=120) as client:
        for number, (name, (subject, year, description)) in enumerate(PHOTOS.items()):
            for variant, image in variants(load(name)).items():
                stem = Path(name).stem.replace("_", "-")
                fields = {
                    "image_id": f"{subject.replace(' ', '-')}/{stem}-{variant}.jpg",
                    "metadata": f'{{"subject": "{subject}", "year": {year}, "variant": "{variant}", '
                    f'"description": "{description}", '
                    f'"tags": ["{"colour" if number % 3 else "favourite"}", "{variant}"]}}',
                }
                client.post("/index", files={"image": jpeg(image)}, data=fields).raise_for_status()


def load(name: str) -> Image.Image:
    """Open a picture of one of the two packages."""
    path = next(folder / name for folder in FOLDERS if (folder / name).is_file())
    return Image.open(path).convert("RGB")


def variants(image: Image.Image) -> dict[str, Image.Image]:
    """Return typical variants of a picture: crops, a mirror image, other brightness."""
    width, height = image.size
    return {
        "whole": image,
        "mirrored": ImageOps.mirror(image.crop((0, height // 12, width, height))),
        "close": image.crop((width // 5, height // 6, width * 4 // 5, height * 5 // 6)),
        "tall": image.crop((width // 4, 0, width * 3 // 4, height)),
        "warm": ImageEnhance.Color(ImageEnhance.Brightness(image).enhance(1.15)).enhance(1.3),
    }


def jpeg(image: Image.Image) -> bytes:
    """Write a picture as JPEG, as most cameras do."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


@contextmanager
def serving(data: Path) -> Iterator[str]:
    """Run the server on a free port over an empty folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "DATA_DIR": str(data / "store"), "MODEL_NAME": "mini", "LOG_LEVEL": "WARNING"}
    command = [Path(sys.executable).with_name("image-similarity"), "serve", "--port", str(port)]
    server = subprocess.Popen(command, env=env)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url) as http:
            for _ in range(600):
                try:
                    if http.get("/api/v1/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
