"""What only the chapters need. No part of the library: it changes with the book."""
