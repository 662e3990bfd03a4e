"""Embed images and texts, with caches and in batches."""
