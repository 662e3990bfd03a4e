"""Plain types, errors and rules; imports none of the other packages."""
