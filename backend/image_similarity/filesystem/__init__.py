"""Files on a disk that may be full, or lose its power."""
