"""Settings of the scheduler; none of them can change what a build gives."""

from collections.abc import Iterable

import yaml
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from pipeline.stage import Settings


class Scheduling(Settings):
    """How work is spread, and what is done about workers that die, hang or run out of memory."""

    workers: PositiveInt | None = None  # that the stages without a GPU share; None: as many as the cluster has CPUs for
    gpu_workers: PositiveInt | None = None  # of each stage with a GPU; None: by measured rates
    gpus: PositiveInt | None = None  # to be had in all, asked of the cluster's autoscaler; None: those that are there
    ahead: PositiveInt = 2  # jobs a worker holds: the one in work, and those that are prepared meanwhile
    open_least: PositiveInt = 64  # records under way at a time; more where the workers need more
    open_bytes: PositiveInt = 1 << 30  # of records under way, as JSON: nothing more is begun above it

    strikes: PositiveInt = 2  # workers that may die with a record in hand, the last time alone, until it is quarantined
    retries: NonNegativeInt = 2  # of a record whose error may pass by itself
    retry_seconds: PositiveFloat = 5.0  # until the first retry, twice as long until each further one
    start_failures: PositiveInt = 3  # workers of a pool in a row that die before they are up, until the build stops

    first_deadline: PositiveFloat | None = 1800.0  # seconds a job may take while its stage is not known; None: for ever
    least_deadline: PositiveFloat = 60.0  # seconds that every job may take
    deadline_factor: PositiveFloat = 10.0  # of the 99th percentile of the stage's own times
    deadline_samples: PositiveInt = 50  # answers from which that percentile counts

    outage_seconds: float = Field(default=600.0, ge=0)  # that the storage may be gone before the build stops
    rebalance_seconds: PositiveFloat = 60.0  # from one look at the pools' sizes to the next
    rebalance_gain: PositiveFloat = 1.1  # workers change pools only if the whole becomes that much faster
    rebalance_samples: PositiveInt = 32  # answers of every stage before that is judged


def scheduling(assignments: Iterable[str] = (), **given: int | None) -> Scheduling:
    """Settings from `name=value` texts and from values by name. ValueError in one line for what does not fit."""
    values: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    for assignment in assignments:
        name, sign, text = assignment.partition("=")
        if not sign or name not in Scheduling.model_fields:
            raise ValueError(
                f"--schedule {assignment}: write NAME=VALUE with one of {', '.join(Scheduling.model_fields)}"
            )
        values[name] = yaml.safe_load(text)
    try:
        return Scheduling.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"{fault['loc'][0]}={fault['input']!r}: {fault['msg'].lower()}") from None
