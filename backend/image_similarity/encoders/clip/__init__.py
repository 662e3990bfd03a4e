"""CLIP and SigLIP, loaded by transformers."""
