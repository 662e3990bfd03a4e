"""Many images in one request, indexed in the background."""
