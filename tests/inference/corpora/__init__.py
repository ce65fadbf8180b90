"""Corpora of hostile input, generated: nothing dangerous lies in the repository."""
