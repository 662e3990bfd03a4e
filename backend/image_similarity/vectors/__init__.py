"""Vector stores: they keep the embeddings and find the nearest ones."""
