"""One collapse taken apart: a training replayed step by step, with one thing changed."""
