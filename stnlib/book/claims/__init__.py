"""What the book claims and foretold, computed from its records: `book/claims.toml` names these."""
