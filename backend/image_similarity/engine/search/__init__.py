"""Search: build the query, rank, cut, diversify, collapse duplicates, group, and add confidences; and facets."""
