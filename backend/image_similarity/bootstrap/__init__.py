"""Everything put together as the settings say: the only package that knows all others."""
