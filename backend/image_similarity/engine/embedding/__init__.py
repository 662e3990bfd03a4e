"""Images and texts -> embeddings, with caches and in batches."""
