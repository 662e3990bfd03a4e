"""The report as one self-contained HTML page: figures, labels, and the worst queries as pictures."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from html import escape
from pathlib import Path

from image_similarity.domain.errors import ImageSimilarityError
from image_similarity.engine.search.calibration import QueryKind
from image_similarity.evaluation.intervals import Interval
from image_similarity.evaluation.report import Comparison, Report, Shown, WorstQuery
from image_similarity.images.decode import decode
from image_similarity.images.files import read_image
from image_similarity.images.thumbnail import make_thumbnail
from image_similarity.settings import Settings

THUMBNAIL_SIDE = 160
"""Longer side in pixels."""

SHOWN_SKIPPED = 50

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #57606a; --line: #d0d7de; --paper: #fff; --bar: #0969da;
  --good: #1a7f37; --bad: #b42318; --side: 7.5rem; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --quiet: #9aa5b1; --line: #3d444d; --paper: #0d1117;
  --bar: #4493f8; --good: #3fb950; --bad: #ff7b72; } }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.quiet { color: var(--quiet); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } th, td { padding: .3rem .8rem .3rem 0; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr { border-bottom: 1px solid var(--line); }
td { font-variant-numeric: tabular-nums; }
.scale { position: relative; width: 10rem; height: .5rem; background: var(--line); border-radius: .25rem; }
.scale i { position: absolute; top: 0; bottom: 0; background: var(--bar); border-radius: .25rem; min-width: 3px; }
article { border-top: 1px solid var(--line); padding: .8rem 0; display: flex; flex-wrap: wrap; gap: 1rem 2rem; }
.shelf { display: flex; flex-wrap: wrap; gap: .6rem; }
h3 { font-size: .85rem; margin: 0 0 .3rem; color: var(--quiet); font-weight: 600; }
figure { margin: 0; width: var(--side); font-size: .8rem; line-height: 1.3; }
figure img { width: 100%; height: var(--side); object-fit: contain; background: var(--line); border-radius: .3rem; }
blockquote { margin: 0; max-width: 18rem; font-size: 1.05rem; }
.right { color: var(--good); } .wrong { color: var(--bad); }
@media (max-width: 32rem) { :root { --side: 6.5rem; } .scale { width: 4rem; } }
"""


def render(report: Report, comparison: Comparison | None, settings: Settings) -> str:
    """Return the page; the pictures of the worst queries are read again and embedded as small WebP files."""
    title = f"{report.model.name} on {report.data}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_summary(report))}</p>",
        *(f'<p class="wrong">{escape(warning)}</p>' for warning in report.warnings),
        _figures(report),
        _comparison(report, comparison) if comparison else "",
        _worst(report, settings),
        _labels(report),
        _skipped(report),
    ]
    # No script may run and nothing may be loaded, whatever a file name or a caption contains.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _summary(report: Report) -> str:
    model = report.model
    what = "images" if report.kind is QueryKind.IMAGE else "texts"
    text = (
        f"{report.queries:,} {what} were searched with, each among {report.candidates:,} images. "
        f"{model.dimension} dimensions, {model.precision} on {model.device}."
    )
    if report.unanswerable:
        text += f" {report.unanswerable} images are alone with their label: they were searched among, not with."
    return text


def _figures(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{figure.mean:.3f}</td><td>{figure.low:.3f} to {figure.high:.3f}</td>"
        f"<td>{_scale(figure)}</td></tr>"
        for name, figure in report.figures.items()
    )
    return (
        f"{_table('Figures', ['measure', 'mean', '95 % interval', '0 to 1'], rows)}"
        '<p class="quiet">recall@k: share of queries with a right image among the first k. mAP: mean of the precision '
        "at each right image. nDCG: right images count less the further down they stand, compared with the best "
        "possible order. A query is never among its own results. Intervals: bootstrap, drawing "
        f"{escape(report.drawn)}.</p>"
    )


def _table(name: str, heads: Iterable[str], rows: str) -> str:
    """Return a table; `rows` is HTML already. If it is too wide it scrolls, also by keyboard."""
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide" role="region" aria-label="{escape(name)}" tabindex="0">{table}</div>'


def _scale(figure: Interval) -> str:
    left, width = 100 * figure.low, 100 * (figure.high - figure.low)
    return f'<div class="scale"><i style="left:min({left:.1f}%,100% - 3px);width:{width:.1f}%"></i></div>'


def _comparison(report: Report, comparison: Comparison) -> str:
    colours = {"better": "right", "worse": "wrong"}
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{report.figures[name].mean:.3f}</td><td>{each.other:.3f}</td>"
        f"<td>{each.difference.mean:+.3f} ({each.difference.low:+.3f} to {each.difference.high:+.3f})</td>"
        f'<td class="{colours.get(each.verdict, "quiet")}">{each.verdict}</td></tr>'
        for name, each in comparison.differences.items()
    )
    heads = ("measure", report.model.name, comparison.other, "difference (95 % interval)", "verdict")
    return f"<h2>Compared with {escape(comparison.other)}</h2>{_table('Comparison', heads, rows)}"


def _worst(report: Report, settings: Settings) -> str:
    if not report.worst:
        return ""
    articles = "".join(_article(worst, settings) for worst in report.worst)
    return f"<h2>The {len(report.worst)} worst queries</h2>{articles}"


def _article(worst: WorstQuery, settings: Settings) -> str:
    if worst.path is None:
        query = f"<blockquote>{escape(worst.name)}</blockquote>"
    else:
        query = _figure(worst.path, worst.name, f"<b>{escape(worst.label or '')}</b>", settings)
    return (
        f'<article><section><h3>Query, AP {worst.average_precision:.3f}</h3><div class="shelf">{query}</div></section>'
        f"<section><h3>Found</h3>{_shelf(worst.found, settings)}</section>"
        f"<section><h3>Should have been found</h3>{_shelf(worst.wanted, settings)}</section></article>"
    )


def _shelf(shown: Iterable[Shown], settings: Settings) -> str:
    figures = (
        _figure(
            each.path,
            each.name,
            f'<span class="{"right" if each.relevant else "wrong"}">{"✓" if each.relevant else "✗"} '
            f"{escape(each.label or '')}</span> #{each.rank:,}, {each.score:.3f}",
            settings,
        )
        for each in shown
    )
    return f'<div class="shelf">{"".join(figures)}</div>'


def _figure(path: Path, name: str, caption: str, settings: Settings) -> str:
    """Return a picture with its caption; `caption` is HTML already."""
    try:
        image = decode(
            read_image(path, settings.max_body_bytes),
            max_pixels=settings.max_pixels,
            min_long_side=THUMBNAIL_SIDE,
        ).image
    except ImageSimilarityError:
        # The file was readable a moment ago; render the page without its picture.
        picture = '<p class="quiet">cannot be read any more</p>'
    else:
        data = b64encode(make_thumbnail(image, max_side=THUMBNAIL_SIDE)).decode()
        picture = f'<img src="data:image/webp;base64,{data}" alt="{escape(name)}">'
    return f'<figure title="{escape(name)}">{picture}<figcaption>{caption}</figcaption></figure>'


def _labels(report: Report) -> str:
    if not report.labels:
        return ""
    rows = "".join(
        f"<tr><td>{escape(each.label)}</td><td>{each.queries}</td><td>{each.recall_at_1:.3f}</td>"
        f"<td>{each.mean_average_precision:.3f}</td></tr>"
        for each in report.labels
    )
    return f"<h2>By label, the worst first</h2>{_table('Labels', ['label', 'queries', 'recall@1', 'mAP'], rows)}"


def _skipped(report: Report) -> str:
    if not report.skipped:
        return ""
    items = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in report.skipped[:SHOWN_SKIPPED])
    return f"<h2>{len(report.skipped)} images were left out</h2><ul>{items}</ul>"
