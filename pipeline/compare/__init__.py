"""Comparisons: X2Static and the competing methods from one cache, on one page."""
