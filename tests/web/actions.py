"""What a person does with a mouse, as events of the browser."""

from __future__ import annotations

import base64

from playwright.sync_api import JSHandle, Locator, Page


def _carrying(page: Page, name: str, data: bytes) -> JSHandle:
    """Return a DataTransfer that holds one image file."""
    return page.evaluate_handle(
        """([name, data]) => {
            const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type: "image/png" }));
            return transfer;
        }""",
        [name, base64.b64encode(data).decode()],
    )


def drop(page: Page, name: str, data: bytes) -> None:
    transfer = _carrying(page, name, data)
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("#main", event, {"dataTransfer": transfer})


def paste(page: Page, data: bytes) -> None:
    transfer = _carrying(page, "image.png", data)
    page.evaluate(
        """(transfer) => document.dispatchEvent(
            new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true }))""",
        transfer,
    )


def swipe(page: Page, over: Locator, right: int) -> None:
    """Move one finger so many pixels to the right, or to the left if that is negative."""
    box = over.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    finger = page.context.new_cdp_session(page)
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in (1, 2, 3):
        points = [{"x": x + right * step / 3, "y": y}]
        finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    finger.detach()


def pinch(page: Page, over: Locator, *, first: int, last: int) -> None:
    """Move two fingers, one beside the other, from so many pixels apart to so many."""
    box = over.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    hand = page.context.new_cdp_session(page)
    for step in range(5):
        half = (first + (last - first) * step / 4) / 2
        points = [{"x": x - half, "y": y, "id": 0}, {"x": x + half, "y": y, "id": 1}]
        kind = "touchMove" if step else "touchStart"
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    hand.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    hand.detach()
