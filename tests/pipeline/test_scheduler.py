"""The scheduler in simulated clusters: nothing lost, nothing twice, only the guilty given up, nobody idle for long."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.runners import Crashed
from pipeline.scheduler.commands import Command, Send, Start, Stop
from pipeline.scheduler.policy import Scheduler
from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.simulation import Fate, SimulatedStage, Simulation
from pipeline.scheduler.sizing import Demand, Node, sizes, throughput
from pipeline.stage import Needs
from shards.storage import Outage

NODE = Node(cpus=16, gpus=4)


def stage(
    name: str,
    seconds: float,
    *,
    gpus: float = 0.0,
    batch: int = 1,
    load: float = 0.0,
    poison: Sequence[int] = (),
    hangs: Sequence[int] = (),
) -> SimulatedStage:
    """Takes `seconds` a record; a worker dies of `poison`, and hangs with `hangs`."""

    def fate(records: Sequence[Any]) -> Fate:
        if set(records) & set(hangs):
            return Fate(seconds=None)
        return Fate(seconds=seconds * len(records), dies=bool(set(records) & set(poison)))

    return SimulatedStage(name=name, needs=Needs(gpus=gpus, batch=batch), fate=fate, load_seconds=load)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Hands:
    """Carries commands out by keeping them; a test says what comes of them."""

    def __init__(self, *stages: SimulatedStage, nodes: Sequence[Node] = (NODE,), **how: Any) -> None:
        self.clock = Clock()
        self.scheduler = Scheduler(stages, Scheduling(**how), self.clock)
        self.scheduler.resize(nodes)

    def act(self) -> list[Command]:
        return self.scheduler.commands()

    def begin(self) -> list[Send]:
        """Every worker that is started comes up; the jobs that are sent."""
        commands = self.act()
        for command in commands:
            if isinstance(command, Start):
                self.scheduler.up(command.worker)
        return [command for command in commands + self.act() if isinstance(command, Send)]

    def sent(self) -> list[Send]:
        return [command for command in self.act() if isinstance(command, Send)]


# --- nothing lost, nothing twice, whoever dies


@settings(max_examples=25, deadline=None)
@given(
    poison=st.sets(st.integers(0, 59), max_size=4),
    hangs=st.sets(st.integers(0, 59), max_size=2),
    losses=st.lists(st.tuples(st.floats(1, 300), st.integers(0, 2)), max_size=2, unique_by=lambda loss: loss[1]),
    batch=st.integers(1, 5),
)
def test_every_record_ends_once_and_only_the_guilty_are_quarantined(
    poison: set[int], hangs: set[int], losses: list[tuple[float, int]], batch: int
) -> None:
    stages = [
        stage("cut", 1.0),
        stage("ground", 2.0, gpus=0.5, batch=batch, load=20, poison=sorted(poison)),
        stage("track", 3.0, gpus=1.0, load=20, hangs=sorted(hangs - poison)),
    ]
    run = Simulation(stages, [NODE] * 3, Scheduling(first_deadline=100.0), losses=losses).run(range(60))
    quarantined = {record for record, how in run.ended.items() if how == "quarantined"}
    assert quarantined == poison | hangs
    assert {record for record, how in run.ended.items() if how == "passed"} == set(range(60)) - quarantined
    assert len(run.outputs) == 60 - len(quarantined)


def test_a_record_is_never_blamed_for_its_machines_loss() -> None:
    """The only job there is loses its machine three times over."""
    hands = Hands(stage("track", 1.0, gpus=1), nodes=[Node(cpus=4, gpus=1)])
    hands.scheduler.put(0, "clip")
    (job,) = hands.begin()
    for _ in range(3):
        hands.scheduler.died(job.worker, "its node has died", blame=False)
        (job,) = hands.begin()
    assert job.records == ("clip",)


def test_a_suspect_is_tried_alone_and_its_innocent_neighbours_pass() -> None:
    hands = Hands(stage("ground", 1.0, gpus=1, batch=3), nodes=[Node(cpus=4, gpus=1)])
    for name in ("a", "killer", "c"):
        hands.scheduler.put(0, name)
    (job,) = hands.begin()
    assert job.records == ("a", "killer", "c")
    hands.scheduler.died(job.worker, "segmentation fault")
    tried = []
    while jobs := hands.begin():
        for job in jobs:
            tried.append(job.records)
            if job.records == ("killer",):
                hands.scheduler.died(job.worker, "segmentation fault")
            else:
                hands.scheduler.answered(job.worker, job.ticket, job.records, 1.0)
    assert sorted(tried) == [("a",), ("c",), ("killer",)]
    outcomes = {a.job.records[0]: a.outcomes[0] for a in hands.scheduler.answers()}
    assert isinstance(outcomes["killer"], Crashed)
    assert outcomes["killer"].quarantined
    assert "took down 2 workers, the last alone" in outcomes["killer"].message


def test_workers_that_never_come_up_stop_the_build_with_their_reason() -> None:
    hands = Hands(stage("track", 1.0, gpus=1), nodes=[Node(cpus=4, gpus=1)], start_failures=3)
    hands.scheduler.put(0, "clip")
    for _ in range(2):
        (start,) = [command for command in hands.act() if isinstance(command, Start)]
        hands.scheduler.died(start.worker, "no such file: weights.pth")
    (start,) = [command for command in hands.act() if isinstance(command, Start)]
    with pytest.raises(RuntimeError, match=r"no worker could start for track:\nno such file"):
        hands.scheduler.died(start.worker, "no such file: weights.pth")


def test_an_answer_of_a_worker_that_was_given_up_counts_no_more() -> None:
    hands = Hands(stage("track", 1.0, gpus=1), nodes=[Node(cpus=4, gpus=1)])
    hands.scheduler.put(0, "clip")
    (job,) = hands.begin()
    hands.scheduler.died(job.worker, "out of reach", blame=False)
    hands.scheduler.answered(job.worker, job.ticket, ["late"], 1.0)
    assert hands.scheduler.answers() == []
    (again,) = hands.begin()
    hands.scheduler.answered(again.worker, again.ticket, ["in time"], 1.0)
    assert [answer.outcomes for answer in hands.scheduler.answers()] == [("in time",)]


# --- deadlines, retries, memory, outages


def test_the_deadline_follows_the_stages_own_times() -> None:
    """Until enough is known, the first deadline holds; then ten times the 99th percentile, but not below the least."""
    hands = Hands(
        stage("track", 1.0, gpus=1),
        nodes=[Node(cpus=1, gpus=1)],
        ahead=1,
        first_deadline=1000.0,
        least_deadline=5.0,
        deadline_samples=50,
    )
    for n in range(52):
        hands.scheduler.put(0, n)
    (job,) = hands.begin()
    hands.clock.now += 999.0
    assert not [command for command in hands.act() if isinstance(command, Stop)]
    for _ in range(50):
        hands.scheduler.answered(job.worker, job.ticket, job.records, 2.0)
        (job,) = hands.sent()
    hands.clock.now += 19.9
    assert not [command for command in hands.act() if isinstance(command, Stop)]
    hands.clock.now += 0.2
    stops = [command for command in hands.act() if isinstance(command, Stop)]
    assert stops == [Stop(worker=job.worker, kill=True)]


def test_an_error_that_may_pass_is_tried_again_later_and_later() -> None:
    hands = Hands(stage("cut", 1.0), retries=2, retry_seconds=5.0, workers=1)
    hands.scheduler.put(0, "clip")
    (job,) = hands.begin()
    crash = Crashed(error="TimeoutError", message="no answer", traceback="", may_pass=True)
    for wait in (5.0, 10.0):
        hands.scheduler.answered(job.worker, job.ticket, [crash], 1.0)
        hands.clock.now += wait - 0.1
        assert hands.sent() == []
        assert hands.scheduler.wake_at() == pytest.approx(hands.clock.now + 0.1)
        hands.clock.now += 0.1
        (job,) = hands.sent()
    hands.scheduler.answered(job.worker, job.ticket, [crash], 1.0)
    assert [answer.outcomes for answer in hands.scheduler.answers()] == [(crash,)]


def test_a_bug_is_not_tried_again() -> None:
    hands = Hands(stage("cut", 1.0), workers=1)
    hands.scheduler.put(0, "clip")
    (job,) = hands.begin()
    crash = Crashed(error="LookupError", message="", traceback="")
    hands.scheduler.answered(job.worker, job.ticket, [crash], 1.0)
    assert [answer.outcomes for answer in hands.scheduler.answers()] == [(crash,)]


class Sized:
    """A clip of so many frames."""

    width, height = 64, 64

    def __init__(self, num_frames: int) -> None:
        self.num_frames = num_frames


def test_a_batch_that_was_too_much_is_never_tried_again_for_clips_of_that_size_or_larger() -> None:
    hands = Hands(stage("ground", 1.0, gpus=1, batch=8), nodes=[Node(cpus=1, gpus=1)], ahead=1)

    def next_job(num_frames: int) -> Send:
        for _ in range(8):
            hands.scheduler.put(0, Sized(num_frames))
        (job,) = hands.sent()
        return job

    hands.begin()
    job = next_job(32)
    assert len(job.records) == 8
    hands.scheduler.answered(job.worker, job.ticket, job.records, 8.0, passed=2)
    for num_frames, most in ((32, 2), (64, 2), (1, 8)):
        job = next_job(num_frames)
        assert len(job.records) == most
        hands.scheduler.answered(job.worker, job.ticket, job.records, 1.0)
        while left := hands.sent():
            hands.scheduler.answered(left[0].worker, left[0].ticket, left[0].records, 1.0)


def test_an_outage_pauses_everybody_loses_nothing_and_ends_the_build_when_it_lasts() -> None:
    hands = Hands(stage("pack", 1.0), workers=2, outage_seconds=100.0)
    hands.scheduler.put(0, "shard")
    (job,) = hands.begin()

    def stay_away(job: Send) -> None:
        while True:
            hands.scheduler.no_storage(job.worker, job.ticket, Outage("no answer"))
            assert hands.sent() == []
            sent = list[Send]()
            while not sent:
                due = hands.scheduler.wake_at()
                assert due is not None
                hands.clock.now = due
                sent = hands.sent()
            (job,) = sent

    with pytest.raises(Outage, match="no answer"):
        stay_away(job)
    assert 100.0 <= hands.clock.now - 100.0 <= 200.0


def test_after_an_outage_work_goes_on_and_the_next_one_has_its_own_time() -> None:
    hands = Hands(stage("pack", 1.0), workers=1, outage_seconds=10.0)
    hands.scheduler.put(0, "shard")
    (job,) = hands.begin()
    for _ in range(5):
        hands.scheduler.no_storage(job.worker, job.ticket, Outage("no answer"))
        hands.clock.now += 8.0
        (job,) = hands.sent()
        hands.scheduler.answered(job.worker, job.ticket, ["done"], 1.0)
        hands.scheduler.put(0, "next shard")
        (job,) = hands.sent()


# --- workers


def test_stages_share_a_gpu_as_their_shares_allow() -> None:
    demands = {
        "caption": Demand(cpus=1, gpus=1.0, load=2.0),
        "ground": Demand(cpus=1, gpus=0.5, load=1.0),
        "segment": Demand(cpus=1, gpus=0.5, load=1.0),
    }
    assert sizes(demands, [Node(cpus=8, gpus=2)]) == {"caption": 1, "ground": 1, "segment": 1}
    assert sizes(demands, [Node(cpus=64, gpus=4)] * 2) == {"caption": 5, "ground": 3, "segment": 3}


def test_a_share_never_spans_two_gpus() -> None:
    found = sizes({"track": Demand(cpus=1, gpus=0.6, load=1.0)}, [Node(cpus=64, gpus=4)])
    assert found == {"track": 4}


@settings(max_examples=30, deadline=None)
@given(
    loads=st.lists(st.floats(0.1, 10), min_size=2, max_size=4),
    shares=st.lists(st.sampled_from([0.25, 0.5, 1.0]), min_size=4, max_size=4),
    gpus=st.integers(4, 12),
)
def test_pools_are_sized_about_as_well_as_can_be(loads: list[float], shares: list[float], gpus: int) -> None:
    """Against the bound that GPUs could be cut at will; one worker's share is lost to each pool at most."""
    demands = {f"s{n}": Demand(cpus=0.1, gpus=shares[n], load=load) for n, load in enumerate(loads)}
    found = sizes(demands, [Node(cpus=64, gpus=gpus)])
    assert sum(found[name] * demands[name].gpus for name in demands) <= gpus + 1e-6
    work = sum(load * shares[n] for n, load in enumerate(loads))
    reserve = sum(shares[: len(loads)])
    assert throughput(demands, found) >= (gpus - reserve) / work * 0.99 or gpus <= reserve


def test_workers_change_pools_once_their_times_are_known() -> None:
    """At the start nothing is known, and pools share alike; tracking takes nine tenths of the work."""
    stages = [stage("ground", 1.0, gpus=1, load=10), stage("track", 9.0, gpus=1, load=10)]
    run = Simulation(stages, [Node(cpus=32, gpus=10)], Scheduling()).run(range(1500))
    up = {pool.name: pool.up_seconds for pool in run.pools}
    assert up["track"] > 6 * up["ground"]  # nine to one, but for the beginning
    assert run.seconds < 1.15 * 1500 * 10 / 10


def test_pools_are_sized_as_soon_as_rates_are_known() -> None:
    """Another look at them would only come in a day."""
    stages = [stage("quick", 1.0, gpus=1.0), stage("slow", 10.0, gpus=1.0)]
    run = Simulation(stages, [NODE], Scheduling(rebalance_seconds=86400.0)).run(range(400))
    assert run.seconds < 1.3 * 400 * 10 / 3


def test_a_machine_that_comes_is_used_and_one_that_goes_is_missed_only_in_speed() -> None:
    stages = [stage("cut", 0.1), stage("track", 4.0, gpus=1, load=10)]
    alone = Simulation(stages, [NODE], Scheduling()).run(range(800))
    helped = Simulation(stages, [NODE], Scheduling(), joins=[(50.0, NODE)]).run(range(800))
    assert helped.seconds < 0.62 * alone.seconds
    halved = Simulation(stages, [NODE] * 2, Scheduling(), losses=[(50.0, 1)]).run(range(800))
    assert len(halved.outputs) == 800
    assert helped.seconds < halved.seconds < alone.seconds


def test_at_the_end_workers_to_whom_nothing_comes_are_let_go_and_their_machines_with_them() -> None:
    hands = Hands(stage("cut", 1.0), stage("track", 1.0, gpus=1), nodes=[NODE] * 2, gpus=12, workers=1, ahead=1)
    hands.begin()
    assert hands.scheduler.gpus_wanted() == 12
    for name in "abcde":
        hands.scheduler.put(1, name)
    jobs = hands.sent()
    hands.scheduler.no_more()
    stops = [command for command in hands.act() if isinstance(command, Stop)]
    assert len(stops) == 3
    assert not {stop.worker for stop in stops} & {job.worker for job in jobs}
    assert hands.scheduler.gpus_wanted() == 5
    for job in jobs[:4]:
        hands.scheduler.answered(job.worker, job.ticket, job.records, 1.0)
    assert len([command for command in hands.act() if isinstance(command, Stop)]) == 4
    assert hands.scheduler.gpus_wanted() == 1
    hands.scheduler.answered(jobs[4].worker, jobs[4].ticket, jobs[4].records, 1.0)
    hands.act()
    assert [pool.up for pool in hands.scheduler.state()[1]] == [0, 1]  # one packs the last shard


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_no_worker_is_let_go_at_the_end_that_is_started_again(workers: int) -> None:
    stages = [stage("ground", 0.05, gpus=0.25, load=10), stage("track", 0.5, gpus=1, load=10)]
    nodes = [Node(cpus=16, gpus=2)] * workers
    run = Simulation(stages, nodes, Scheduling(gpu_workers=workers)).run(range(60 * workers))
    assert run.starts == 2 * workers
    assert run.outputs[-1] - run.outputs[0] < 31.0


def test_a_video_that_is_still_cut_keeps_workers_for_the_clips_that_it_will_give() -> None:
    hands = Hands(stage("cut", 1.0), stage("track", 1.0, gpus=1), nodes=[NODE], workers=1, ahead=1)
    for name in ("first", "second"):
        hands.scheduler.put(0, name)
    (job,) = hands.begin()
    hands.scheduler.answered(job.worker, job.ticket, job.records, 1.0)
    for n in range(4):
        hands.scheduler.put(1, n)
    for send in hands.sent():
        if send.stage:
            hands.scheduler.answered(send.worker, send.ticket, send.records, 1.0)
    hands.scheduler.no_more()  # the second video is in work, and will give about as many clips as the first
    assert not [command for command in hands.act() if isinstance(command, Stop)]


# --- flow


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_the_slowest_stage_hardly_waits(workers: int) -> None:
    """GPU stages one after another, the slowest between two faster ones: its workers are busy."""
    stages = [
        stage("cut", 0.2),
        stage("ground", 1.0, gpus=1, batch=4, load=5),
        stage("track", 3.0, gpus=1, load=5),
        stage("measure", 0.2),
    ]
    count = 300 * workers
    nodes = [Node(cpus=16, gpus=4)] * workers
    run = Simulation(stages, nodes, Scheduling(gpu_workers=2 * workers)).run(range(count))
    ideal = count * 3.0 / (2 * workers)
    assert run.seconds <= ideal / 0.95


def test_the_first_clip_is_through_soon_after_the_slowest_worker_is_up() -> None:
    stages = [
        stage("ground", 1.0, gpus=1, load=60),
        stage("segment", 1.0, gpus=1, load=90),
        stage("track", 2.0, gpus=1, load=30),
    ]
    run = Simulation(stages, [NODE], Scheduling()).run(range(50))
    assert run.first_output is not None
    assert run.first_output <= 1.5 * 90


def test_only_so_much_is_under_way() -> None:
    hands = Hands(
        stage("cut", 1.0), stage("track", 1.0, gpus=1), open_least=8, open_bytes=1000, nodes=[Node(cpus=1, gpus=1)]
    )
    hands.begin()
    entered = 0
    while hands.scheduler.room() > 0:
        hands.scheduler.put(0, entered, size=10)
        entered += 1
    assert 8 <= entered <= 16
    for n in range(20):
        hands.scheduler.put(1, n, size=100)
    hands.scheduler.drain()
    fat = Hands(stage("cut", 1.0), open_bytes=1000)
    fat.scheduler.put(0, "large", size=1000)
    assert fat.scheduler.room() == 0


@pytest.mark.parametrize(("open_bytes", "most"), [(1 << 30, 8), (40, 4)])
def test_clips_of_one_long_video_do_not_pile_up_before_a_slow_stage(open_bytes: int, most: int) -> None:
    """By count, and by bytes: fifty clips of ten bytes come at once, and nobody tracks."""
    stages = stage("encode", 1.0), stage("track", 1.0, gpus=1)
    one = [Node(cpus=1, gpus=1)]
    hands = Hands(*stages, open_least=8, open_bytes=open_bytes, nodes=one, workers=1, ahead=1)
    for n in range(50):
        hands.scheduler.put(0, n, size=0)
    jobs, through = hands.begin(), 0
    while jobs:
        job = jobs.pop()
        if job.stage == 0:
            hands.scheduler.answered(job.worker, job.ticket, job.records, 1.0)
            hands.scheduler.put(1, job.records[0], size=10)
            through += 1
            jobs += hands.sent()
        else:
            tracking = job
    assert through == most
    hands.scheduler.answered(tracking.worker, tracking.ticket, tracking.records, 1.0)
    assert {job.stage for job in hands.sent()} == {0, 1}


def test_a_whole_batch_waits_behind_the_one_in_work_but_no_part_of_one() -> None:
    hands = Hands(stage("cut", 1.0), stage("ground", 1.0, gpus=1, batch=4), nodes=[Node(cpus=1, gpus=1)], workers=1)
    hands.begin()
    for n in range(5):
        hands.scheduler.put(1, n)
    hands.scheduler.put(0, "more to come")
    sizes_sent = [len(job.records) for job in hands.sent() if job.stage == 1]
    assert sizes_sent == [4]
    for n in range(5, 8):
        hands.scheduler.put(1, n)
    assert [len(job.records) for job in hands.sent() if job.stage == 1] == [4]


def test_few_records_are_shared_among_idle_workers() -> None:
    hands = Hands(stage("ground", 1.0, gpus=1, batch=8), nodes=[Node(cpus=8, gpus=4)])
    hands.begin()
    for n in range(8):
        hands.scheduler.put(0, n)
    assert [len(job.records) for job in hands.sent()] == [2, 2, 2, 2]


def test_the_last_stages_go_first() -> None:
    hands = Hands(stage("cut", 1.0), stage("measure", 1.0), stage("pack", 1.0), workers=1, ahead=1)
    hands.begin()
    for number in (0, 1, 2):
        hands.scheduler.put(number, f"at {number}")
    order = []
    while jobs := hands.sent():
        order += [job.stage for job in jobs]
        hands.scheduler.answered(jobs[0].worker, jobs[0].ticket, jobs[0].records, 1.0)
    assert order == [2, 1, 0]


def test_what_is_drained_is_given_back_and_what_is_in_hand_is_still_answered() -> None:
    hands = Hands(stage("cut", 1.0), workers=1, ahead=1)
    for name in "abc":
        hands.scheduler.put(0, name)
    (job,) = hands.begin()
    assert hands.scheduler.drain() == [(0, "b"), (0, "c")]
    hands.scheduler.answered(job.worker, job.ticket, job.records, 1.0)
    assert [answer.job.records for answer in hands.scheduler.answers()] == [("a",)]
    assert hands.act() == []
    assert not hands.scheduler.busy
