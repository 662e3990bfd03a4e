"""Types of settings that are checked when the program starts; each check raises ValueError."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from image_similarity.domain.errors import InvalidRequest
from image_similarity.domain.prompts import check_template
from image_similarity.images.addresses import AllowedNetworks, is_name, read_address
from image_similarity.vectors.qdrant_server.addresses import read_addresses


def _split_commas(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _split_keys(keys: object) -> object:
    split = _split_commas(keys)
    # An empty list would open the server to all.
    if isinstance(keys, str) and not split:
        raise ValueError("it holds no key; unset it, or set keys with commas between them")
    return split


def _check_hosts(names: list[str]) -> list[str]:
    for name in names:
        if name != "*" and not is_name(name.removeprefix("*.")) and read_address(name.strip("[]")) is None:
            raise ValueError(f'"{name}" is no name of a host; write names without http:// and port, or *')
    return names


def _check_networks(entries: list[str]) -> list[str]:
    return [str(ip_network(entry)) if "/" in entry else str(ip_address(entry)) for entry in entries]


def _check_targets(entries: list[str]) -> list[str]:
    AllowedNetworks(entries)
    return entries


def _check_prompt(template: str) -> str:
    try:
        return check_template(template)
    except InvalidRequest as error:
        raise ValueError(str(error)) from error


def _check_qdrant_url(text: str) -> str:
    read_addresses(text)
    return text


def _check_redis_url(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        valid = parts.scheme in {"redis", "rediss", "unix"} and parts.port != 0
    except ValueError:
        # The error is dropped, because its text may quote a part of the password.
        valid = False
    if not valid:
        raise ValueError("it must be redis://…, rediss://… or unix://…, with special characters %-encoded")
    return url


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_split_commas)]
ApiKeys = Annotated[list[SecretStr], NoDecode, BeforeValidator(_split_keys)]
HostNames = Annotated[CommaSeparated, AfterValidator(_check_hosts)]
Networks = Annotated[CommaSeparated, AfterValidator(_check_networks)]
FetchTargets = Annotated[CommaSeparated, AfterValidator(_check_targets)]
PromptTemplate = Annotated[str, AfterValidator(_check_prompt)]
QdrantUrl = Annotated[str, AfterValidator(_check_qdrant_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_check_redis_url)]
KeywordLanguage = Literal[
    "arabic",
    "armenian",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hungarian",
    "italian",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
    "none",
]
"""Languages whose word forms and stop words Qdrant knows; `none` for neither."""
