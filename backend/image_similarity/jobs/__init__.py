"""Bulk jobs: index many images of one request in the background."""
