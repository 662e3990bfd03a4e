"""Text towers that are not the image model's own, and what all text towers share."""
