"""How fast and how small a training step is, beside what a straightforward script does."""
