"""A trained run, a subject image, boxes and a prompt to a clip."""
