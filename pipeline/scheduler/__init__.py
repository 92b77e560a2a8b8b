"""Who works on what next: a pure policy. It touches no cluster, and its clock comes from outside.

A runner tells it what happened (`up`, `answered`, `died`) and carries out its commands; the simulator does the same, so
that what is simulated is what runs.
"""
