#!/usr/bin/env python3
"""Half a minute of concurrent indexing and searching: a first check that a service copes with load."""

from load_test.command import Profile, build_app

PROFILE = Profile(
    name="load_test_simple",
    title="Simple load test",
    seconds=30,
    clients=20,
    help="Index and search at once, for half a minute; exit status 1 if too many requests fail.",
)

if __name__ == "__main__":
    build_app(PROFILE)()
