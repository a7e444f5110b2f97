"""Word vectors -> scores."""
