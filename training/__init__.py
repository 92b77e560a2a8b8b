"""Shards to batches to DreamVideo-2. Nothing stands here yet."""
