"""The whole program, as a user runs it, with the demo teacher and text."""
