"""Drop images in, find the ones that look alike."""

__version__ = "0.1.0"
