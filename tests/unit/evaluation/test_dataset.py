"""Which images are evaluated on, and what is said of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from image_similarity.domain.errors import InvalidRequest
from image_similarity.evaluation.dataset import read_captioned, read_labelled


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"never read here")
    return folder


def test_the_first_folder_on_the_path_is_the_label(tmp_path: Path) -> None:
    data = read_labelled(touch(tmp_path, "cat/1.jpg", "cat/tabby/2.jpg", "dog/1.png", "dog/notes.txt", "stray.jpg"))
    assert [file.relative for file in data.files] == ["cat/1.jpg", "cat/tabby/2.jpg", "dog/1.png"]
    assert data.labels == ("cat", "cat", "dog")
    assert [file.relative for file in data.unlabelled] == ["stray.jpg"]


@pytest.mark.parametrize(
    "names", [("1.jpg", "2.jpg"), ("cat/1.jpg", "cat/2.jpg"), ("cat/1.jpg", "dog/1.jpg")], ids=["flat", "one", "single"]
)
def test_a_folder_in_which_nothing_could_be_searched_for_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest, match="at least two folders"):
        read_labelled(touch(tmp_path, *names))


def test_a_limit_takes_the_same_number_of_each_label_as_far_as_they_go(tmp_path: Path) -> None:
    names = [f"{label}/{number:02}.jpg" for label, count in (("a", 20), ("b", 20), ("c", 3)) for number in range(count)]
    touch(tmp_path, *names)
    once, again = read_labelled(tmp_path, limit=15), read_labelled(tmp_path, limit=15)
    assert once == again
    assert Counter(once.labels) == {"a": 6, "b": 6, "c": 3}


def test_a_small_limit_takes_pairs_so_that_there_is_something_to_find(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{label}/{number}.jpg" for label in "abcdef" for number in range(5)))
    assert sorted(Counter(read_labelled(tmp_path, limit=6).labels).values()) == [2, 2, 2]


def captions(folder: Path, *rows: str) -> Path:
    path = folder / "captions.csv"
    path.write_text("\n".join(["image,caption", *rows]) + "\n", encoding="utf-8")
    return path


def test_captions_belong_to_the_image_they_are_of(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "in/b.jpg", "uncaptioned.jpg")
    table = captions(tmp_path, 'in/b.jpg,"a dog, running"', "a.jpg,a cat", "in/b.jpg,ein Hund läuft", "gone.jpg,lost")
    data = read_captioned(tmp_path, table)
    assert [file.relative for file in data.files] == ["a.jpg", "in/b.jpg"]
    assert data.captions == (("a cat", 0), ("a dog, running", 1), ("ein Hund läuft", 1))
    assert data.missing == ("gone.jpg",)


def test_a_limit_draws_images_with_all_their_captions_the_same_each_time(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number}.jpg" for number in range(10)))
    rows = [f"{number}.jpg,caption {number} {letter}" for number in range(10) for letter in "ab"]
    table = captions(tmp_path, *rows)
    data = read_captioned(tmp_path, table, limit=4)
    assert data == read_captioned(tmp_path, table, limit=4)
    assert len(data.files) == 4
    assert Counter(number for _, number in data.captions) == {0: 2, 1: 2, 2: 2, 3: 2}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"file,text\na.jpg,x\n", "columns image and caption"),
        (b"", "columns image and caption"),
        (b"image,caption\na.jpg,\xff\n", "not a CSV file in UTF-8"),
        (b"image,caption\na.jpg,x\n", "at least two are needed"),
    ],
    ids=["other-columns", "empty", "not-utf-8", "one-image"],
)
def test_a_captions_file_that_says_nothing_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "captions.csv").write_bytes(content)
    with pytest.raises(InvalidRequest, match=complaint):
        read_captioned(tmp_path, tmp_path / "captions.csv")


def test_a_captions_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"nowhere\.csv cannot be read"):
        read_captioned(tmp_path, tmp_path / "nowhere.csv")
