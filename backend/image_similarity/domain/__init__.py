"""Plain types, errors and rules; imports nothing of the other packages."""
