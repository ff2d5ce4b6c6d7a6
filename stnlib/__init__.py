"""Spatial transformer networks, taken apart: what the chapters of this book import."""
