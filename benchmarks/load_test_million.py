#!/usr/bin/env python3
"""Five minutes with a hundred clients, whose requests half index and half search, as in a large deployment."""

from load_test.command import Profile, build_app

PROFILE = Profile(
    name="load_test_million",
    title="Load test for large deployments",
    seconds=300,
    clients=100,
    help="Index and search at once from 100 clients, for five minutes; exit status 1 if too many requests fail.",
)

if __name__ == "__main__":
    build_app(PROFILE)()
