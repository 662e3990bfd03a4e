"""CLIP and SigLIP, by transformers."""
