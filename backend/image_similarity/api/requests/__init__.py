"""What a request holds: JSON, forms, archives -> the engine's types."""
