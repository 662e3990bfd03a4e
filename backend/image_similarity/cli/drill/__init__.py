"""A load test that records every acknowledged write, to show what is lost when parts of the service fail."""
