"""Pictures: what to draw, and the process that draws it; knows no people."""

VERSION = "0.1.0"
"""Of Falopitas; equals pyproject.toml's (tested)."""
