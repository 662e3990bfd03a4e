"""Load the towers that the settings choose."""

from __future__ import annotations

from dataclasses import dataclass, replace

from image_similarity.bootstrap.deployment import Deployment
from image_similarity.domain.errors import ModelMismatch, ModelUnavailable, ModelUnknown
from image_similarity.encoders import hub
from image_similarity.encoders.base import ImageEncoder, ModelSpec, TextEncoder
from image_similarity.encoders.catalog import family_of
from image_similarity.encoders.mini.image import MINI
from image_similarity.encoders.text.alignment import check_alignment, check_known
from image_similarity.engine.search.calibration import Calibrations, read_calibrations
from image_similarity.settings import Settings
from image_similarity.telemetry.logging import get_logger
from image_similarity.vectors.collection import ExistingCollection


@dataclass(frozen=True, slots=True)
class LoadedTowers:
    """The image tower, and a text tower of the same embedding space."""

    image: ImageEncoder
    text: TextEncoder
    fallback_reason: str | None
    """Why the offline model replaces the requested one; None if it does not."""

    @property
    def spec(self) -> ModelSpec:
        """The image tower's description; it includes the text tower of another model, if there is one."""
        spec = self.image.spec
        return spec if self.text.spec.name == spec.name else replace(spec, towers=spec.towers | {"text"})


def load_model(settings: Settings, found: ExistingCollection | None = None) -> LoadedTowers:
    """Load the towers for a collection, or for one that does not exist yet.

    A collection that holds images decides: an unset MODEL_NAME follows it, a set one must agree with it. A collection
    on a server decides even if it is empty, because another process may be about to fill it. Its model is never
    replaced by the offline model, because only some of the processes might do so. Raises ModelUnavailable,
    ModelMismatch, and with TEXT_PRELOAD TextSearchUnavailable.
    """
    encoder, fallback_reason = _load_image_tower(settings, found)
    text_settings = settings
    if fallback_reason is not None and settings.text_model_name:
        get_logger().warning("text_model_ignored", wanted=settings.text_model_name, running=encoder.spec.name)
        text_settings = settings.model_copy(update={"text_model_name": None})
    return LoadedTowers(encoder, load_text_encoder(encoder, text_settings), fallback_reason)


def log_stand_in(settings: Settings, reason: str | None) -> None:
    """Log that the offline model replaces the one of the settings, unless `reason` is None."""
    if reason is not None:
        get_logger().warning("model_fallback", wanted=settings.model_name, running=MINI.name, reason=reason)


def load_encoder(name: str, settings: Settings) -> ImageEncoder:
    """Load an image tower onto the device of the settings. Raises ModelUnavailable."""
    return family_of(name).load(name, device=settings.device, precision=settings.precision)


def load_text_encoder(encoder: ImageEncoder, settings: Settings) -> TextEncoder:
    """Return the text tower for an image tower.

    The model's own tower is loaded at the first text, unless TEXT_PRELOAD is set, so a server that gets only images
    saves its memory; errors are reported then. The tower of TEXT_MODEL_NAME is loaded now, because it must be checked
    before the first search. Raises ModelUnavailable and ModelMismatch for TEXT_MODEL_NAME, TextSearchUnavailable for
    the own tower with TEXT_PRELOAD.
    """
    own = family_of(encoder.spec.name).text_tower(encoder)
    if settings.text_model_name is None:
        if settings.text_preload:
            own.warm()
        return own
    from image_similarity.encoders.text import sentence_transformers as sentence

    if not settings.text_model_trusted:
        check_known(settings.text_model_name, encoder.spec)  # before half a gigabyte is downloaded
    try:
        text = sentence.load(settings.text_model_name, device=encoder.device)
    except ModelUnavailable as error:
        raise ModelUnavailable(f"TEXT_MODEL_NAME: {error}") from error
    check_alignment(text, encoder.spec, own, trusted=settings.text_model_trusted)
    return text


def load_calibrations(model: LoadedTowers, settings: Settings) -> Calibrations:
    """Return the score calibrations: from the file of the settings, else the model's own.

    If the offline model replaces the requested one, its own calibrations are used, not the file. Texts have none if
    the calibration was made with another text tower. Raises InvalidRequest if the file is not this model's.
    """
    spec = model.image.spec
    if settings.calibration_file is not None and model.fallback_reason is None:
        return read_calibrations(settings.calibration_file, spec.name, model.text.spec.name)
    own = family_of(spec.name).calibration
    return {} if own is None else read_calibrations(own, spec.name, model.text.spec.name)


def _load_image_tower(settings: Settings, found: ExistingCollection | None) -> tuple[ImageEncoder, str | None]:
    """Return the model to run, and the reason if it is the offline model instead of the requested one."""
    deployment = Deployment.of(settings)
    filled = found.meta.model if found is not None and (found.images or deployment.shared) else None
    wanted = filled if filled and "model_name" not in settings.model_fields_set else settings.model_name
    try:
        return load_encoder(wanted, settings), None
    except ModelUnknown:
        raise
    except ModelUnavailable as error:
        if not deployment.may_stand_in or hub.is_path(wanted) or wanted == MINI.name:
            raise
        if filled not in (None, MINI.name):
            raise ModelMismatch(
                f"The collection was made with {filled}. {error} The offline model mini cannot search it."
            ) from error
        return load_encoder(MINI.name, settings), str(error)
