"""Trains the built-in model: freely licensed emoji art in, a diffusers folder out.

Run it with `python -m inference.training`; nothing here is needed to draw pictures.
"""
