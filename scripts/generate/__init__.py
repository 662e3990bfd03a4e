"""Writes the generated files of the repository; `scripts/generate.py` runs all modules."""
