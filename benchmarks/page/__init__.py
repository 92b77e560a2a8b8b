"""The curation page against its goals: `python -m benchmarks.page.server` measures the server."""
