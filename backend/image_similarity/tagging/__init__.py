"""Taggers: they fill the descriptions and tags of images that callers leave out."""
