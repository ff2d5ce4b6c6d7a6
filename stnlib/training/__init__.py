"""One training: its configuration, its steps and epochs, what is measured, what is kept."""
