"""`image-similarity evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from image_similarity.cli.console import SHOWN_FAILURES, err, load_settings, out, warn
from image_similarity.domain.errors import InvalidRequest
from image_similarity.engine.search.calibration import QueryKind
from image_similarity.evaluation.calibration import CalibrationFit, fit_calibration, write_calibration
from image_similarity.evaluation.dataset import CaptionedImages, LabelledImages, read_captioned, read_labelled
from image_similarity.evaluation.report import Comparison, Model, Report, compare, to_json
from image_similarity.evaluation.report_html import render
from image_similarity.evaluation.run import EvaluationResult, measure
from image_similarity.evaluation.tasks import OnStep, images_by_caption, images_by_label, images_by_name
from image_similarity.settings import Settings

app = typer.Typer()
"""`cli/main.py` adds its command."""


@app.command(
    epilog="Examples: `image-similarity evaluate ./labelled --html report.html`, "
    "`MODEL_NAME=mini image-similarity evaluate ./labelled --json > mini.json`, "
    "`image-similarity evaluate ./labelled --compare mini.json`"
)
def evaluate(
    folder: Annotated[
        Path, typer.Argument(help="Folder of folders of images, whose names are the labels; or of captioned images.")
    ],
    captions: Annotated[
        Path | None, typer.Option(help="CSV file with the columns image and caption: search with texts, not images.")
    ] = None,
    label_text: Annotated[
        str | None, typer.Option(help="Search with texts made of the labels' names, such as 'a photo of a {}'.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=4, help="Most images; the same sample each time.")] = None,
    worst: Annotated[int, typer.Option(min=0, max=1000, help="Worst queries that the page shows.")] = 10,
    html: Annotated[Path | None, typer.Option(help="Write a page with the worst queries as pictures.")] = None,
    other: Annotated[
        Path | None, typer.Option("--compare", help="What `--json` printed for another model, on the same images.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibrate", help="Write a file for CALIBRATION_FILE: scores as probabilities.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs and for --compare.")] = False,
) -> None:
    """Measure how well the model of the settings finds what belongs together, on images of your own.

    Nothing is written to the collection, and none is opened: a server may go on running.
    """
    settings = load_settings()
    if captions and label_text:
        raise InvalidRequest("--captions is for images with captions, --label-text for images in folders: choose one.")
    _check_paths(html, calibration, other)
    data = read_captioned(folder, captions, limit=limit) if captions else read_labelled(folder, limit=limit)
    measured = _measure(data, label_text, settings, name=folder.resolve().name, worst=worst, compared=other is not None)
    comparison = compare(measured.report, other) if other else None
    _tell(measured.report)
    if html:
        _write(html, render(measured.report, comparison, settings))
    if as_json:
        # Not through Rich, which would wrap long lines.
        typer.echo(orjson.dumps(to_json(measured.report, comparison)))
    else:
        _print_figures(measured.report)
        if comparison:
            _print_comparison(measured.report, comparison)
    # Last, because it fails if there are too few labels; the figures are printed by then.
    if calibration:
        fit = fit_calibration(measured)
        write_calibration(calibration, measured, fit)
        err.print(f"{calibration} written", highlight=False, markup=False, soft_wrap=True)
        if not as_json:
            _print_fit(fit)


def _check_paths(html: Path | None, calibration: Path | None, other: Path | None) -> None:
    """Check the paths before an hour is spent on measuring. Raises InvalidRequest."""
    for path in (html, calibration):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise InvalidRequest(f"{path} cannot be written: it is no file in a folder that is there.")
    if other is not None and not other.is_file():
        raise InvalidRequest(f"{other} cannot be read: there is no such file.")


def _measure(
    data: LabelledImages | CaptionedImages,
    label_text: str | None,
    settings: Settings,
    *,
    name: str,
    worst: int,
    compared: bool,
) -> EvaluationResult:
    # This imports torch, which takes seconds; mistakes in the arguments were reported before.
    from image_similarity.bootstrap.models import load_model

    err.print("Loading the model …", style="dim")
    # Load the text tower now: if it is not available, fail before thousands of images are embedded.
    with_texts = label_text is not None or isinstance(data, CaptionedImages)
    loaded = load_model(settings.model_copy(update={"text_preload": with_texts}))
    encoder, spec = loaded.image, loaded.spec
    if compared and loaded.fallback_reason:
        raise InvalidRequest(
            f"There is no {settings.model_name} to compare: {spec.name} would stand in for it. {loaded.fallback_reason}"
        )
    model = Model(spec.name, spec.dimension, encoder.device, encoder.precision, loaded.fallback_reason)
    with _progress() as on_step:
        if isinstance(data, CaptionedImages):
            task = images_by_caption(encoder, loaded.text, data, settings, on_step)
        elif label_text is not None:
            task = images_by_name(encoder, loaded.text, data, label_text, settings, on_step)
        else:
            task = images_by_label(encoder, data, settings, on_step)
        return measure(task, model, data=name, worst=worst, on_step=on_step)


@contextmanager
def _progress() -> Iterator[OnStep]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("ETA"))
    with Progress(*columns, TimeRemainingColumn(), console=err) as bar:
        steps = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in steps:
                steps[step] = bar.add_task(step, total=total)
            bar.update(steps[step], completed=done, total=total)

        yield show


def _tell(report: Report) -> None:
    """Print warnings and the images that were left out on standard error."""
    if report.model.fallback_reason:
        warn(f"{report.model.name} was measured: {report.model.fallback_reason}")
    for warning in report.warnings:
        warn(warning)
    for image, reason in report.skipped[:SHOWN_FAILURES]:
        err.print(f"  left out {image}: {reason}", style="red", highlight=False, markup=False, soft_wrap=True)
    if len(report.skipped) > SHOWN_FAILURES:
        err.print(f"  … and {len(report.skipped) - SHOWN_FAILURES} more.")


def _print_figures(report: Report) -> None:
    what = "images" if report.kind is QueryKind.IMAGE else "texts"
    out.print(
        f"{report.model.name} on {report.data}: {report.queries} {what} searched with, each among "
        f"{report.candidates} images.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    table = Table("measure", "mean", "95 % interval", box=None, header_style="dim")
    for name, figure in report.figures.items():
        table.add_row(name, f"{figure.mean:.3f}", f"{figure.low:.3f} to {figure.high:.3f}")
    out.print(table)
    out.print(f"Intervals: bootstrap, drawing {report.drawn}.", style="dim", highlight=False)


def _print_comparison(report: Report, comparison: Comparison) -> None:
    models = (escape(report.model.name), escape(comparison.other))
    table = Table("measure", *models, "difference (95 % interval)", "", box=None, header_style="dim")
    for name, each in comparison.differences.items():
        interval = f"{each.difference.mean:+.3f} ({each.difference.low:+.3f} to {each.difference.high:+.3f})"
        table.add_row(name, f"{report.figures[name].mean:.3f}", f"{each.other:.3f}", interval, each.verdict)
    out.print(table)


def _print_fit(fit: CalibrationFit) -> None:
    out.print(
        f"Confidence, on labels or images that the fit had not seen: Brier score {fit.brier:.3f} "
        f"({fit.brier_of_base_rate:.3f} for saying {fit.base_rate:.0%} each time), expected calibration error "
        f"{fit.expected_calibration_error:.3f}.",
        highlight=False,
        soft_wrap=True,
    )
    table = Table("confidence", "hits", "mean", "relevant", box=None, header_style="dim")
    for each in fit.bins:
        table.add_row(f"{each.low:.1f} to {each.high:.1f}", str(each.hits), f"{each.said:.3f}", f"{each.seen:.3f}")
    out.print(table)


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}.") from error
    err.print(f"{path} written", highlight=False, markup=False, soft_wrap=True)
