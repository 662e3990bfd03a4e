"""Parse request bodies: JSON, forms and archives, into the engine's types."""
