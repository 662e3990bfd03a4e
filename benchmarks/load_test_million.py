#!/usr/bin/env python3
"""Five minutes of a hundred clients, half of whose requests index and half search: what a large deployment is for."""

from load_test.command import Profile, build_app

PROFILE = Profile(
    name="load_test_million",
    title="Load test for large deployments",
    seconds=300,
    clients=100,
    help="Index and search at once from 100 clients, for five minutes; exit status 1 where too many requests fail.",
)

if __name__ == "__main__":
    build_app(PROFILE)()
