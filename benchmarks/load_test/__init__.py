"""Load tests: clients that index and search at the same time, and a report of the results."""
