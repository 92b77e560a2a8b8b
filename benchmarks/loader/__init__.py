"""What the loader promises, measured."""
