"""The images of a collection: index, write, read and delete them, and repair and clean up later."""
