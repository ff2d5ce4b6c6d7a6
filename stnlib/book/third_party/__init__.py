"""Spatial transformers as other people write them, made to fail as they report, and watched."""
