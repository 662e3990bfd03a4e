"""Users of three kinds for Locust: those who search, those who index, and a dashboard that asks for statistics.

    locust --config tests/load/headless.conf                # 100 users for five minutes, no browser
    locust -f tests/load/locustfile.py --web-host 127.0.0.1 # the same users, steered on http://localhost:8089

Every user thinks between two requests. `--photos`, `--queries`, `--think`, `--api-key`, `--min-success` and
`--allow-remote` are ours; `locust -f tests/load/locustfile.py --help` tells of all of them. The exit status is 1 where
fewer than `--min-success` percent of the requests succeeded.
"""

from __future__ import annotations

import random
import sys
import uuid
from argparse import Namespace
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner

# Locust knows the folder of this file only.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from load_test.photos import QUERIES, Photos, read_photos
from load_test.target import API, loopback_addresses

HOST = "http://localhost:8080"
MIN_SUCCESS = 99.997


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """Tell Locust of the options that are ours."""
    parser.add_argument(
        "--photos",
        env_var="LOAD_PHOTOS",
        default="",
        help="Folder of photographs; default: those that scikit-image and scikit-learn ship.",
    )
    parser.add_argument(
        "--queries", type=int, env_var="LOAD_QUERIES", default=QUERIES, help="Different queries, popular by Zipf's law."
    )
    parser.add_argument(
        "--think", type=float, env_var="LOAD_THINK", default=1.0, help="Seconds between two requests, on average."
    )
    parser.add_argument(
        "--api-key",
        env_var="IMAGE_SIMILARITY_API_KEY",
        default="",
        is_secret=True,
        help="An API key of the server.",
    )
    parser.add_argument(
        "--min-success",
        type=float,
        env_var="LOAD_MIN_SUCCESS",
        default=MIN_SUCCESS,
        help="Percent of the requests; fewer are exit status 1.",
    )
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        include_in_web_ui=False,
        help="Send load to another machine, whose owner agreed.",
    )


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Make the request bodies before the clock starts."""
    options = _options(environment)
    check_host(environment)
    try:
        if not isinstance(environment.runner, MasterRunner):
            files = read_photos(Path(options.photos) if options.photos else None)
            ImageUser.photos = Photos(files, queries=options.queries)
    except (ValueError, OSError) as error:
        raise SystemExit(f"Error: {error}") from None


@events.test_start.add_listener
def check_host(environment: Environment, **_: Any) -> None:
    """Refuse other machines, also where the host was typed into Locust's page."""
    try:
        loopback_addresses(environment.host or HOST, allow_remote=_options(environment).allow_remote)
    except ValueError as error:
        raise SystemExit(f"Error: {error}") from None


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Set the exit status by the share of requests that succeeded."""
    total = environment.stats.total
    succeeded = total.num_requests - total.num_failures
    enough = total.num_requests and 100 * succeeded / total.num_requests >= _options(environment).min_success
    environment.process_exit_code = 0 if enough else 1


class ImageUser(FastHttpUser):
    """What all users have in common."""

    abstract = True
    host = HOST
    photos: Photos
    connection_timeout = network_timeout = 60.0
    # What is measured is what a client sees: a failed request is a failed request.
    max_retries = 0
    max_redirects = 0

    def wait_time(self) -> float:
        """Return how long the user thinks, in seconds: mostly briefly, now and then for long."""
        mean = _options(self.environment).think
        return min(random.expovariate(1 / mean), 10 * mean) if mean > 0 else 0.0

    def headers(self) -> dict[str, str]:
        """Return what every request carries."""
        key = _options(self.environment).api_key
        return {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}

    def post(self, path: str, body: tuple[bytes, ...], name: str) -> None:
        """Send a request; an answer without what was asked for counts as a failure under the code it carries."""
        with self.client.post(
            API + path, data=b"".join(body), headers=self.headers(), name=name, catch_response=True
        ) as answer:
            if answer.status_code != 200:
                answer.failure(_kind(answer))


class Searcher(ImageUser):
    """Searches, most often for what others search for too."""

    weight = 6

    @task
    def search(self) -> None:
        """Ask one of the queries, the popular ones more often."""
        self.post("/search", self.photos.search_body(), "search")


class Indexer(ImageUser):
    """Adds photographs that the server has never seen."""

    weight = 3

    @task
    def index(self) -> None:
        """Add one photograph."""
        self.post("/index", self.photos.index_body(f"locust/{uuid.uuid4()}"), "index")


class Dashboard(ImageUser):
    """Asks for statistics, as a page with gauges does."""

    weight = 1

    @task
    def stats(self) -> None:
        """Ask for the statistics."""
        with self.client.get(f"{API}/stats", headers=self.headers(), name="stats", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(_kind(answer))


def _kind(answer: Any) -> str:
    try:
        code = answer.json().get("code", "")
    except (ValueError, AttributeError):
        code = ""
    return f"{answer.status_code} {code}".strip() if answer.status_code else str(answer.error)


def _options(environment: Environment) -> Namespace:
    options = environment.parsed_options
    if options is None:
        raise RuntimeError("This file is for the command locust, which reads the options.")
    return options
