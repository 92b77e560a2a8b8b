"""The embedded base: a small text-to-video model that knows the practice world, and how it was trained."""
