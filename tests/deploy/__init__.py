"""Tests of what starts Falopitas."""
