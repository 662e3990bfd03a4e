"""Locks, shared work and processor cores; imports none of the other packages."""
