#!/usr/bin/env python3
"""Measure where rankings by a text are cut (`threshold: "auto"`), for docs/QUALITY-LAB.md.

Texts name what several people saw on photographs that mini's text tower was not trained with, or what other photographs
are labelled with; or they are captions of one photograph each. One half of each is for choosing, the other for judging.
Everything is exact and repeatable; takes four minutes on two cores.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

# What tests use too lies in benchmarks/.
sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import flickr8k
from image_similarity.bootstrap.models import load_encoder
from image_similarity.domain.records import Embedding
from image_similarity.encoders.base import TextEncoder
from image_similarity.encoders.mini import text as mini_text
from image_similarity.engine.search.auto_threshold import FALSE_ALARMS, FALSE_ALARMS_OF_TEXTS, WINDOW, score_cut
from image_similarity.settings import Settings
from measure_selection import SHARED, otsu
from rankings import Rankings, Rule, Scores, best_flat, embed, flat, outcome

TEMPLATES = ("a photo of a {}", "{}")

FEWEST_PHOTOS = 5
"""Photographs on which a subject must occur."""

FEWEST_WITNESSES = 2
"""Captions of a photograph, of five, that must name a subject for the photograph to count."""

SUBJECTS = (
    "dog man girl boy woman water ball snow grass rock player bike child skateboard beach field mountain pool "
    "skateboarder football soccer hat street baseball frisbee boat ocean wall snowboarder guitar wave fence bird slide "
    "race ramp swing sign car fountain motorcycle building jacket bed sand dress skier hill basketball track flower "
    "surfer table helmet bag puddle playground stair toy baby horse bicycle tree crowd jersey park kayak bench"
)
"""Frequent nouns of the captions, chosen before any measurement with them."""

CANDIDATES = (0.003, FALSE_ALARMS, 0.03, 0.05, 0.07, FALSE_ALARMS_OF_TEXTS, 0.14, 0.2, 0.3, 0.5, 1.0)

Flags = NDArray[np.bool_]


def auto(false_alarms: float) -> Rule:
    """The rule of the product, with this rate of false alarms."""

    def rule(scores: Scores, background: Scores, images: int) -> int:
        cut = score_cut(scores[:WINDOW].tolist(), background, images=images, false_alarms=false_alarms)
        return len(scores) if cut is None else int((scores >= cut).sum())

    return rule


@dataclass(frozen=True)
class Halves:
    """Rankings; some queries are for choosing parameters and the others for judging."""

    all: Rankings
    chosen_by: Rankings
    judged_by: Rankings

    @classmethod
    def of(
        cls,
        name: str,
        queries: Embedding,
        candidates: Embedding,
        *,
        subjects: NDArray[np.int64],
        relevant: Flags | None = None,
        left_out: Flags | None = None,
    ) -> Halves:
        """Rank; queries of even subjects are for choosing; without `relevant` no query has a match."""
        none = np.zeros((len(queries), len(candidates)), bool)
        rankings = Rankings.of(
            name,
            queries,
            candidates,
            none if relevant is None else relevant,
            none if left_out is None else left_out,
        )
        even = subjects % 2 == 0
        return cls(rankings, rankings.part(even), rankings.part(~even))


@dataclass(frozen=True)
class Captioned:
    """Photographs that the text tower has not seen, and their captions."""

    photos: list[Path]
    captions: list[str]
    photo_of: NDArray[np.int64]

    @classmethod
    def read(cls, folder: Path) -> Captioned:
        """Read Flickr8k's held-out photographs."""
        read = flickr8k.read_captions(folder)
        _, _, held_out = flickr8k.split(read.photos)
        mine = np.isin(read.photo_of, held_out)
        texts = [text for text, held in zip(read.texts, mine, strict=True) if held]
        return cls([read.photos[i] for i in held_out], texts, np.searchsorted(held_out, read.photo_of[mine]))

    def witnesses(self) -> defaultdict[str, NDArray[np.int64]]:
        """Return how many captions of each photograph contain a word, in singular or plural."""
        found = defaultdict[str, NDArray[np.int64]](lambda: np.zeros(len(self.photos), np.int64))
        for photo, text in zip(self.photo_of, self.captions, strict=True):
            for word in {singular(word) for word in re.findall("[a-z]+", text.lower())}:
                found[word][photo] += 1
        return found


def singular(word: str) -> str:
    """Return a word without the s of its plural."""
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


class Towers:
    """Both towers of mini, for whole lists."""

    def __init__(self) -> None:
        self._images = load_encoder("mini", Settings())
        self._texts: TextEncoder = mini_text.load(device="cpu")

    def photos(self, paths: list[Path]) -> Embedding:
        """Return the embeddings of image files, one per row."""
        return embed(self._images, (path.read_bytes() for path in paths))

    def texts(self, texts: list[str]) -> Embedding:
        """Return the embeddings of texts, one per row."""
        parts = [self._texts.encode_texts(texts[start : start + 32]) for start in range(0, len(texts), 32)]
        return np.stack([each.embedding for part in parts for each in part])

    def names(self, names: list[str]) -> Embedding:
        """Return the embeddings of names in each of the templates, template by template."""
        return self.texts([template.format(name.replace("_", " ")) for template in TEMPLATES for name in names])


@dataclass(frozen=True)
class Texts:
    """All searches."""

    found: list[Halves]
    """Searches with a match."""
    missing: list[Halves]
    """Searches without a match, as far as we know."""

    @property
    def subjects(self) -> Halves:
        """Searches for subjects on the photographs."""
        return self.found[0]

    @property
    def unseen(self) -> Halves:
        """Searches for subjects that are not on the same photographs."""
        return self.missing[0]


def flickr_rankings(towers: Towers, captioned: Captioned, vectors: Embedding, names: list[str]) -> tuple[Halves, ...]:
    """Return searches for subjects of the photographs, for captions, and for names that no caption contains."""
    witnesses = captioned.witnesses()
    seen = [word for word in SUBJECTS.split() if (witnesses[word] >= FEWEST_WITNESSES).sum() >= FEWEST_PHOTOS]
    unseen = [name for name in names if not witnesses[singular(name.lower().split("_")[-1])].any()]
    relevant = np.stack([witnesses[word] >= FEWEST_WITNESSES for word in seen])
    own = captioned.photo_of[:, np.newaxis] == np.arange(len(vectors))
    return (
        Halves.of(
            f"{len(seen)} subjects among Flickr8k",
            towers.names(seen),
            vectors,
            subjects=numbered(len(seen)),
            relevant=np.tile(relevant, (len(TEMPLATES), 1)),
        ),
        Halves.of(
            "captions among Flickr8k",
            towers.texts(captioned.captions),
            vectors,
            subjects=captioned.photo_of,
            relevant=own,
        ),
        Halves.of(
            f"{len(unseen)} names of Caltech-101 among Flickr8k",
            towers.names(unseen),
            vectors,
            subjects=numbered(len(unseen)),
        ),
    )


def numbered(names: int) -> NDArray[np.int64]:
    """Return the index of the name in each text of `Towers.names`."""
    return np.tile(np.arange(names), len(TEMPLATES))


def collect(shared: Path) -> Texts:
    """Embed everything, and rank."""
    towers, captioned = Towers(), Captioned.read(shared / "flickr8k")
    paths = sorted(path for path in (shared / "caltech101").glob("*/*") if path.is_file())
    labels = np.array([path.parent.name for path in paths])
    names = sorted(set(labels.tolist()))
    photos, labelled = towers.photos(captioned.photos), towers.photos(paths)
    subjects, captions, unseen = flickr_rankings(towers, captioned, photos, names)
    named, number = towers.names(names), numbered(len(names))
    same = np.tile(np.array(names)[:, np.newaxis] == labels, (len(TEMPLATES), 1))
    label = np.searchsorted(names, labels)
    both = labelled + named[label]
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    own = np.eye(len(labels), dtype=bool)
    alike = labels[:, np.newaxis] == labels
    noise = np.random.default_rng(1).normal(size=(500, labelled.shape[1])).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    some = slice(None, None, 5)
    return Texts(
        [
            subjects,
            Halves.of("names among Caltech-101", named, labelled, subjects=number, relevant=same),
            captions,
            Halves.of(
                "name and photograph among Caltech-101",
                both,
                labelled,
                subjects=label,
                relevant=alike & ~own,
                left_out=own,
            ),
        ],
        [
            unseen,
            Halves.of("names among Caltech-101 without them", named, labelled, subjects=number, left_out=same),
            Halves.of(
                "captions of Flickr8k among Caltech-101",
                towers.texts(captioned.captions[some]),
                labelled,
                subjects=captioned.photo_of[some],
            ),
            Halves.of("random vectors among Flickr8k", noise, photos, subjects=np.arange(len(noise))),
            Halves.of("name and photograph without the label", both, labelled, subjects=label, left_out=alike),
        ],
    )


def report_choice(texts: Texts) -> None:
    """Print, per rate of false alarms, how often there is an answer with a match, and none without one."""
    print("\n| false alarms | half | found | silent | sum | F1 |\n| --- | --- | --- | --- | --- | --- |")
    for half in ("chosen_by", "judged_by"):
        for number in CANDIDATES:
            there = outcome(getattr(texts.subjects, half), auto(number))
            nothing = outcome(getattr(texts.unseen, half), auto(number))
            figures = (1 - there.empty, nothing.empty, 1 - there.empty + nothing.empty, there.f1)
            print(f"| {number:g} | {half} | {' | '.join(f'{figure:.3f}' for figure in figures)} |")


def report_rules(texts: Texts) -> None:
    """Print the results of rules on the half that was not used for choosing."""
    print("\n| query | rule | precision | recall | F1 | empty | hits |\n| --- | --- | --- | --- | --- | --- | --- |")
    rules = {
        f"auto, {FALSE_ALARMS_OF_TEXTS:g} (for texts)": auto(FALSE_ALARMS_OF_TEXTS),
        f"auto, {FALSE_ALARMS:g} (for images)": auto(FALSE_ALARMS),
        "Otsu, never empty": otsu,
    }
    everywhere = best_flat(texts.subjects.chosen_by)
    for halves in texts.found:
        oracle, other = best_flat(halves.judged_by), best_flat(halves.chosen_by)
        flats = {
            f"flat, {oracle:.3f}: the best for these": flat(oracle),
            f"flat, {other:.3f}: the best for the other half": flat(other),
            f"flat, {everywhere:.3f}: the best for subjects": flat(everywhere),
        }
        show(halves.judged_by, rules | flats)
    for halves in texts.missing:
        show(halves.judged_by, rules | {f"flat, {everywhere:.3f}: the best for subjects": flat(everywhere)})


def show(rankings: Rankings, rules: dict[str, Rule]) -> None:
    """Print a row per rule."""
    for title, rule in rules.items():
        found = outcome(rankings, rule)
        figures = [found.precision, found.recall, found.f1] if rankings.relevant.any() else []
        cells = [f"{figure:.3f}" for figure in figures] or [""] * 3
        print(f"| {rankings.name} | {title} | {' | '.join(cells)} | {found.empty:.3f} | {found.kept:.1f} |")


def main(
    shared: Annotated[Path, typer.Option(help="Folder with caltech101/ and flickr8k/.")] = SHARED,
) -> None:
    """Measure where rankings by a text are cut, with mini."""
    texts = collect(shared)
    report_choice(texts)
    report_rules(texts)


if __name__ == "__main__":
    typer.run(main)
