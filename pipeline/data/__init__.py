"""Public evaluation data: where it is, and how it gets, checked, into the user's cache folder."""
