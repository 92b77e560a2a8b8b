"""What each part of the embedded base learns in the practice world, and from what."""
