"""A page on which people inspect shards and decide clips. Nothing stands here yet."""
