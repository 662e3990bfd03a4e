"""Models that turn pixels and texts into unit vectors."""
