"""Text towers of other checkpoints than the image model's, and the parts that all text towers share."""
