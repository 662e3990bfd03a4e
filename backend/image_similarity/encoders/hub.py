"""Finds the folder of a checkpoint, on this machine or by download from the Hugging Face hub; fails fast."""

from __future__ import annotations

import json
import queue
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache, utils
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
)

from image_similarity.domain.errors import ModelUnavailable, ModelUnknown

_SAFETENSORS = "model.safetensors"
_SAFETENSORS_INDEX = "model.safetensors.index.json"
_PICKLE = "pytorch_model.bin"
_PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
_SMALL_FILES = (
    "config.json",
    *_PREPROCESSORS,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "tokenizer.model",
    "modules.json",
    "sentence_bert_config.json",
)
# sentence-transformers stores each module after the transformer in such a folder.
_FOLDER = r"\d+_[A-Za-z]+/"
_MODULE = re.compile(_FOLDER + r"(config\.json|model\.safetensors|pytorch_model\.bin)")
# Files that loaders read from a checkpoint's folder; sentence-transformers may have its transformer in a subfolder.
_READ = re.compile(
    rf"({_FOLDER})?("
    + "|".join(map(re.escape, (*_SMALL_FILES, "added_tokens.json", _SAFETENSORS_INDEX, _PICKLE)))
    + r"|model(-[\w-]+)?\.safetensors|[\w.-]+\.model)"
)
_USUAL = ("mini", "openai/clip-vit-base-patch32", "openai/clip-vit-large-patch14", "google/siglip-base-patch16-224")
_WHAT_TO_DO = (
    "Set MODEL_NAME to a folder that holds the model, or run `image-similarity download-model` on a machine with "
    "a network, or set MODEL_NAME=mini, which needs no download."
)

# The package is typed, but its helpers are not.
_utils: Any = utils

T = TypeVar("T")


def locate(name: str, *, timeout_seconds: float = 5.0, show_progress: bool = False) -> Path:
    """Return the folder that holds the checkpoint `name`: a local folder, or a hub name such as "openai/…".

    A complete copy on this machine is used without network access. Otherwise the hub must confirm within
    `timeout_seconds` that the model is available. The download itself has no time limit; it fetches only the needed
    files, and resumes an interrupted download.

    Raises ModelUnavailable, whose message says what is wrong and what to do about it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if missing := _missing(folder):
            raise ModelUnavailable(f'The folder "{name}" is not a complete model: it lacks {missing}.')
        return folder
    if is_path(name):
        raise ModelUnavailable(f'There is no folder "{name}". {_WHAT_TO_DO}')
    try:
        _utils.validate_repo_id(name)
    except HFValidationError as error:
        raise ModelUnknown(f'"{name}" is neither a folder nor the name of a model on the hub. {_WHAT_TO_DO}') from error
    return _cached(name) or _download(name, timeout_seconds, show_progress)


def is_path(name: str) -> bool:
    """Return whether `name` is a path to a folder, existing or not, and so not a name on the hub."""
    return name.startswith(("/", ".", "~")) or "\\" in name or Path(name).is_dir()


def is_read(file: str) -> bool:
    """Return whether a file, by its path in the checkpoint's folder, is one that loaders read."""
    return _READ.fullmatch(file) is not None


def is_available_locally(name: str) -> bool:
    """Return whether `locate` would find the complete checkpoint without a network."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _missing(folder) is None
    try:
        return _cached(name) is not None
    except HFValidationError:
        return False


def _missing(folder: Path) -> str | None:
    """Return the name of a file that a checkpoint folder lacks; None if it is complete."""
    modules = _modules(folder)
    if not modules:
        return _missing_from(folder, "")
    # A pooling has no weights, and a normalisation has no configuration either.
    for path, kind in modules:
        if kind in ("Transformer", "Dense") and (missing := _missing_from(folder, f"{path}/" if path else "")):
            return missing
        if kind == "Pooling" and not (folder / path / "config.json").is_file():
            return f"{path}/config.json"
    return None


def _missing_from(folder: Path, inside: str) -> str | None:
    if not (folder / inside / "config.json").is_file():
        return f"{inside}config.json"
    if (folder / inside / _SAFETENSORS).is_file() or (folder / inside / _PICKLE).is_file():
        return None
    index = folder / inside / _SAFETENSORS_INDEX
    if not index.is_file():
        return f"its weights ({inside}{_SAFETENSORS} or {inside}{_PICKLE})"
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return f"a readable {_SAFETENSORS_INDEX}"
    return next((shard for shard in shards if not (folder / inside / shard).is_file()), None)


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return (folder, kind) of each module of a sentence-transformers checkpoint; an empty list for others."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        return [(str(module["path"]), str(module["type"]).rpartition(".")[2]) for module in modules]
    except (OSError, ValueError, KeyError, TypeError):  # the loader reports what is wrong with the file
        return []


def _cached(name: str) -> Path | None:
    """Return the snapshot in the hub's local cache if it is complete."""
    config = try_to_load_from_cache(name, "config.json")
    if not isinstance(config, str):
        return None
    snapshot = Path(config).parent
    return snapshot if _has_input_files(snapshot) and _missing(snapshot) is None else None


def _has_input_files(snapshot: Path) -> bool:
    """Return whether the files are there that preprocess images, or texts if the model is only a text tower.

    Another program may have downloaded the weights alone; then a wrong preprocessing would go unnoticed.
    """
    if any((snapshot / file).is_file() for file in _PREPROCESSORS):
        return True
    return not _reads_images(snapshot) and (snapshot / "tokenizer.json").is_file()


def _reads_images(snapshot: Path) -> bool:
    try:
        config = json.loads((snapshot / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return "vision_config" in config or "image_size" in config or str(config.get("model_type")) in ("clip", "siglip")


def _download(name: str, timeout_seconds: float, show_progress: bool) -> Path:
    if constants.HF_HUB_OFFLINE:
        raise ModelUnavailable(
            f'The model "{name}" is not on this machine and HF_HUB_OFFLINE forbids asking. {_meant(name)}{_WHAT_TO_DO}'
        )
    with _quiet_hub(show_progress):
        weights, small = _choose_files(name, _list_files(name, timeout_seconds))
        try:
            # The weights last: if they are there, all other files are, even after an interrupted download.
            snapshot_download(name, allow_patterns=small)
            snapshot = Path(snapshot_download(name, allow_patterns=[*small, *weights]))
        except Exception as error:  # the hub's client also raises errors of its HTTP library
            raise ModelUnavailable(
                f'The download of "{name}" broke off ({type(error).__name__}); the next attempt resumes it. '
                f"{_WHAT_TO_DO}"
            ) from error
    if missing := _missing(snapshot):
        raise ModelUnavailable(f'The download of "{name}" is incomplete: it lacks {missing}. Try again.')
    return snapshot


def _list_files(name: str, timeout_seconds: float) -> list[str]:
    """Return the files of a model on the hub; this request also shows whether the hub can be reached."""
    try:
        # The client's own timeout covers neither name resolution nor an answer that arrives slowly.
        info = _within(timeout_seconds, lambda: HfApi().model_info(name, timeout=timeout_seconds))
    except GatedRepoError as error:
        reason = "asks for its terms to be accepted: do so on its page and log in with `hf auth login`"
        _refuse(name, reason, error)
    except RepositoryNotFoundError as error:
        _refuse(name, "does not exist on the hub (or is private)", error, ModelUnknown)
    except HfHubHTTPError as error:
        _refuse(name, f"cannot be had: {_host()} answered with HTTP {error.response.status_code}", error)
    except Exception as error:  # errors of whichever HTTP library the installed client uses
        _refuse(name, f"cannot be had: {_host()} cannot be reached ({type(error).__name__})", error)
    return [sibling.rfilename for sibling in info.siblings or ()]


def _refuse(name: str, reason: str, error: Exception, kind: type[ModelUnavailable] = ModelUnavailable) -> NoReturn:
    # The reason never quotes the error itself, because a URL in it might contain a proxy's password.
    raise kind(f'The model "{name}" is not on this machine and {reason}. {_meant(name)}{_WHAT_TO_DO}') from error


def _meant(name: str) -> str:
    """Return "Did you mean …?" if the name is similar to a common one, else an empty text."""
    close = get_close_matches(name, _USUAL, 1, 0.8)
    return f'Did you mean "{close[0]}"? ' if close and close[0] != name else ""


def _choose_files(name: str, files: list[str]) -> tuple[list[str], list[str]]:
    """Return (weights, small files) to download; safetensors rather than a pickle."""
    if _SAFETENSORS in files:
        weights = [_SAFETENSORS]
    elif _SAFETENSORS_INDEX in files:
        weights = [_SAFETENSORS_INDEX, "model-*.safetensors"]
    elif _PICKLE in files:
        weights = [_PICKLE]
    else:
        raise ModelUnavailable(f'The model "{name}" has no weights for torch on the hub. {_WHAT_TO_DO}')
    return weights, [file for file in _SMALL_FILES if file in files] + _module_files(files)


def _module_files(files: list[str]) -> list[str]:
    """Return the files of the modules after a transformer, which are small: megabytes, not hundreds of them."""
    found = [file for file in files if "modules.json" in files and _MODULE.fullmatch(file)]
    safe = {file.removesuffix(_SAFETENSORS) for file in found if file.endswith(_SAFETENSORS)}
    return [file for file in found if not (file.endswith(_PICKLE) and file.removesuffix(_PICKLE) in safe)]


def _within(seconds: float, ask: Callable[[], T]) -> T:
    """Return what `ask` returns or raise what it raises; TimeoutError if it takes longer than `seconds`."""
    answers: queue.SimpleQueue[T | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(ask())
        except Exception as error:
            answers.put(error)

    # A daemon thread, because a hanging resolver cannot be interrupted and must not keep the process alive.
    threading.Thread(target=run, name="hub-probe", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _host() -> str:
    return urlsplit(constants.ENDPOINT).hostname or "the hub"


@contextmanager
def _quiet_hub(show_progress: bool) -> Iterator[None]:
    """Suppress the client's warnings (not logged in, retrying …) and progress bars; errors are still raised."""
    verbosity, no_bars = _utils.logging.get_verbosity(), _utils.are_progress_bars_disabled()
    _utils.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not show_progress:
            _utils.disable_progress_bars()
        try:
            yield
        finally:
            _utils.logging.set_verbosity(verbosity)
            if not no_bars:
                _utils.enable_progress_bars()
