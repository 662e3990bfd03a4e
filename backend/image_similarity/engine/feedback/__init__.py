"""Users' verdicts on results: store and export them."""
