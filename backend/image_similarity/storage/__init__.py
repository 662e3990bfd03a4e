"""Where the bytes of images and small documents lie: a folder or a bucket."""
