"""The store on Qdrant servers."""
