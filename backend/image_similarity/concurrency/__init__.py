"""Locks, shared work and processor cores; imports nothing of the other packages."""
