"""Build the program from the settings; the only package that imports all others."""
