"""The vector store on Qdrant servers."""
