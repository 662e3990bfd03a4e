"""What was computed before."""
