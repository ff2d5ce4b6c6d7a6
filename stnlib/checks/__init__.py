"""Checks of what a caller hands over, each with an error of one line."""
