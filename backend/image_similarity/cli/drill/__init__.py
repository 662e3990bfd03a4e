"""A load on a running service that keeps account of what was acknowledged, to show what is lost when parts die."""
