"""Trains DreamVideo-2 on a dataset's shards: `train(dataset, run, recipe)`; see run.py for the loop."""
