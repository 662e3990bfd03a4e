"""Caches of embeddings and search results: in this process (L1) and in Redis (L2)."""
