"""One file a resource."""

PREFIX = "/api/v1"
