"""How well a model retrieves, measured on the user's own labelled or captioned images."""
