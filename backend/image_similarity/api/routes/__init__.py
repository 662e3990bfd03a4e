"""One module per resource."""

PREFIX = "/api/v1"
