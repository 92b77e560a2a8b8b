"""The curation page against its goals: `server` measures its server, `browser` the page, and both write one table."""
