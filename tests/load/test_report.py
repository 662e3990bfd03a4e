"""From outcomes that are made up to figures that are known."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from load_test.page import page
from load_test.plots import Series, line_plot, nice_ticks, steps
from load_test.report import Report, block, document, percent_text, percentile, summarise
from load_test.run import Operation, Outcome, Plan, Recording

INDEX, SEARCH = Operation.INDEX, Operation.SEARCH


def report_of(*outcomes: Outcome, seconds: float = 10) -> Report:
    recording = Recording(Plan(seconds, clients=4), "id", outcomes=list(outcomes), seconds=seconds)
    return summarise(recording, title="A <test>", url="http://localhost:1", started_at=datetime(2026, 1, 2, tzinfo=UTC))


def hundred() -> list[Outcome]:
    """One hundred searches of 1 to 100 ms in the first second, every fourth of them from a cache."""
    return [Outcome(SEARCH, 0.5, number / 1000, cached=number % 4 == 0) for number in range(1, 101)]


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, percent) for percent in (0, 50, 95, 99, 99.5, 100)] == [1, 50, 95, 99, 100, 100]
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7
    assert percentile([1.0, 2.0, 3.0], 50) == 2


def test_figures_are_of_what_was_answered_and_errors_are_counted_by_kind() -> None:
    failures = [Outcome(INDEX, 1, 60, error="timeout"), *[Outcome(INDEX, 2, 0.1, error="503 overloaded")] * 2]
    report = report_of(*hundred(), *failures, Outcome(INDEX, 3, 0.25))

    search, index = report.by_operation[SEARCH], report.by_operation[INDEX]
    assert (search.count, search.p50_ms, search.p95_ms, search.p99_ms) == (100, *map(pytest.approx, (50, 95, 99)))
    assert search.mean_ms == pytest.approx(50.5)
    assert search.throughput == pytest.approx(10)
    assert (index.count, index.p50_ms, index.max_ms) == (1, 250, 250)
    assert report.errors == {"503 overloaded": 2, "timeout": 1}
    assert (report.operations, report.failed) == (104, 3)
    assert report.success_percent == pytest.approx(100 * 101 / 104)
    assert report.cached_percent == 25
    assert report.total.count == 101


def test_time_is_cut_into_equal_slices_that_hold_every_outcome() -> None:
    report = report_of(*hundred(), Outcome(INDEX, 9.5, 0.5), Outcome(INDEX, 4.2, 0.1, error="timeout"))
    assert [part.start for part in report.slices] == pytest.approx(range(10))
    assert [part.operations[SEARCH].count for part in report.slices] == [100] + [0] * 9
    assert [part.operations[INDEX].count for part in report.slices] == [0] * 9 + [1]
    assert [part.errors for part in report.slices] == [0] * 4 + [1] + [0] * 5
    assert report.slices[0].operations[SEARCH].throughput == pytest.approx(100)


def test_nothing_at_all_is_no_success_and_can_be_reported() -> None:
    report = report_of(seconds=0)
    assert report.success_percent == 0
    assert report.cached_percent is None
    assert "success rate        0.000 %" in block(report)
    assert json.loads(json.dumps(document(report)))["search"]["p50_ms"] is None
    assert "Nothing was answered." in page(report)


def test_a_rate_below_a_hundred_is_never_written_as_a_hundred() -> None:
    assert percent_text(100) == "100.000 %"
    assert percent_text(100 * 299_999 / 300_000) == "99.999 %"
    assert percent_text(99.9999) == "99.999 %"


def test_the_block_has_every_figure_in_its_order() -> None:
    text = block(report_of(*hundred(), Outcome(INDEX, 3, 1.5), Outcome(INDEX, 2, 0.1, error="503 overloaded")))
    names = [line[:22].strip() for line in text.splitlines()[1:]]
    per_operation = ["count", "mean", "P50", "P95", "P99", "throughput"]
    assert names == [
        *("total duration", "operations", "errors", "success rate"),
        *("INDEX", *per_operation, "SEARCH", *per_operation, "from cache"),
        "TOTAL THROUGHPUT",
    ]
    assert "1  (503 overloaded: 1)" in text
    assert "1.50 s" in text
    assert text.endswith("10.10 ops/s")


def test_the_page_is_whole_escapes_what_it_shows_and_loads_nothing() -> None:
    html = page(report_of(*hundred(), Outcome(INDEX, 3, 0.2), Outcome(INDEX, 2, 0.1, error="503 <b>")))
    assert "A &lt;test&gt;" in html
    assert "503 &lt;b&gt;" in html
    assert "<script" not in html
    assert "src=" not in html
    assert "href=" not in html
    assert "15.81 ops/s" in html
    assert "prefers-color-scheme: dark" in html
    plots = [part[: part.index("</svg>")] + "</svg>" for part in html.split("<svg")[1:]]
    assert len(plots) == 5
    for plot in plots:
        # Well formed, and every number in it is one.
        ElementTree.fromstring("<svg" + plot)
        assert "nan" not in plot
        assert "inf" not in plot


def test_ticks_are_round_and_reach_the_largest_value() -> None:
    assert nice_ticks(10) == [0, 2, 4, 6, 8, 10]
    assert nice_ticks(0) == [0, 1]
    for most in (0.003, 0.7, 1, 9.99, 47, 12_600):
        ticks = nice_ticks(most)
        assert ticks[0] == 0
        assert ticks[-1] >= most
        assert 3 <= len(ticks) <= 7


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    broken = line_plot(
        [Series("search", "search", [(0, 1), (1, 2), (2, None), (3, 1), (4, 2)])], label="", x_label="", y_label=""
    )
    assert broken.count("<polyline") == 2
    assert broken.count("<circle") == 4


def test_the_outline_of_a_histogram_begins_and_ends_on_the_ground() -> None:
    assert steps([0, 1, 2], [3, 5]) == [(0, 0), (0, 3), (1, 3), (1, 5), (2, 5), (2, 0)]
