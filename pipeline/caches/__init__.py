"""Caches made of other caches: merged ones and samples."""
