"""Storage of image bytes and small documents, in a folder or a bucket."""
