"""What is on an image, in words: taggers fill the descriptions and tags that callers leave out."""
