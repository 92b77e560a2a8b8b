"""The practice world, and whatever else the pipeline carries inside itself."""
