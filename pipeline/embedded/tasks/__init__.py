"""What each small model learns in the practice world, and from what."""
