"""The use cases; read `search_engine.py` first."""
