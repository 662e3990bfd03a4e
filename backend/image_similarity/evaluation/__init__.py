"""Measure how well a model retrieves, on the user's own labelled or captioned images."""
