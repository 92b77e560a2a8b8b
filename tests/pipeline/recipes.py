"""Settings that tests lay over recipes."""

SOURCE_ALONE = [f"{stage}.model=null" for stage in ("captioner", "grounder", "segmenter", "tracker")]
"""Nothing but what the source brings: a clip that lacks something stops at that stage."""
