"""Pixels (and later text) to unit vectors."""
