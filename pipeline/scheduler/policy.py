"""The scheduler: queues, jobs to free workers, and what becomes of work whose worker dies or hangs."""

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from pipeline.patience import LONGEST_PAUSE
from pipeline.runners import Answer, Crashed, Job, Outcome
from pipeline.scheduler.batches import Batches, bucket
from pipeline.scheduler.commands import Command, Send, Start, Stop
from pipeline.scheduler.pools import SHARED, Item, Pool, Worker, Workload, pools_for
from pipeline.scheduler.rates import Rates
from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.sizing import Demand, Node, sizes, throughput
from pipeline.scheduler.state import PoolState, StageState
from shards.storage import StorageError


class Scheduler:
    """Decides; a runner acts. Every method returns at once, and time is what `clock` says, in seconds."""

    def __init__(self, stages: Sequence[Workload], settings: Scheduling, clock: Callable[[], float]) -> None:
        self.settings = settings
        self._stages = list(stages)
        self._clock = clock
        self._pools = pools_for(self._stages)
        self._pool_of = {stage: pool for pool in self._pools.values() for stage in pool.stages}
        self._queues: list[deque[Item]] = [deque() for _ in stages]
        self._at: list[int] = [0] * len(stages)  # records at each stage: queued, delayed, suspected or in hand
        self._arrived: list[int] = [0] * len(stages)  # records that came to each stage
        self._open = self._bytes = self._most = 0
        self._rates = [Rates() for _ in stages]
        self._batches = Batches()
        self._tickets = count()
        self._names = count()
        self._workers: dict[str, Worker] = {}
        self._delayed: list[tuple[float, int, Item]] = []  # heap, by when they are due
        self._deadlines: list[tuple[float, int, str]] = []  # heap: when, ticket, worker
        self._answers: list[Answer] = []
        self._commands: list[Command] = []
        self._nodes: tuple[Node, ...] | None = None
        self._draining = self._ending = self._knows_rates = False
        self._paused_until = self._outage_since = self._outage_pause = 0.0
        self._next_sizing = float("-inf")

    # --- the line's side

    def room(self) -> int:
        """How many more records may enter the line now."""
        if self._draining or self._bytes >= self.settings.open_bytes:
            return 0
        return max(0, self._limit() - self._open)

    def put(self, stage: int, record: Any, size: int = 0) -> None:
        """A record waits for its stage; `size` is what it takes, in bytes."""
        self._arrived[stage] += 1
        self._at[stage] += 1
        self._open += 1
        self._bytes += size
        self._queues[stage].append(Item(stage, record, size, bucket(record)))

    def answers(self) -> list[Answer]:
        """What became of records since the last call."""
        answers, self._answers = self._answers, []
        return answers

    def no_more(self) -> None:
        """Nothing new enters the line: what is put from now on comes of what is under way."""
        self._ending = True

    def drain(self) -> list[tuple[int, Any]]:
        """Send nothing more; returns what no worker has in hand."""
        self._draining = True
        left = [item for queue in self._queues for item in queue]
        left += [item for _, _, item in self._delayed]
        left += [item for pool in self._pools.values() for item in pool.suspects]
        for waiting in (*self._queues, *(pool.suspects for pool in self._pools.values())):
            waiting.clear()
        self._delayed.clear()
        for item in left:
            self._forget(item)
        return [(item.stage, item.record) for item in left]

    @property
    def busy(self) -> bool:
        """Whether any record is under way, or its answer not fetched."""
        return self._open > 0 or bool(self._answers)

    # --- the cluster's side

    def resize(self, nodes: Sequence[Node]) -> None:
        """What machines there are now."""
        if tuple(nodes) != self._nodes:
            self._nodes = tuple(nodes)
            self._next_sizing = self._clock()

    def gpus_wanted(self) -> int:
        """GPUs that an autoscaler should see to: those to be had in all, at the end those that still have work."""
        if self.settings.gpus is None:
            return 0
        useful = sum(self._wanted(pool) * pool.needs.gpus for pool in self._pools.values())
        return min(self.settings.gpus, math.ceil(useful)) if self._ending else self.settings.gpus

    def up(self, name: str) -> None:
        """A worker is ready for work."""
        if name in self._workers:
            worker = self._workers[name]
            worker.is_up = True
            worker.pool.failed_starts = 0
            worker.pool.file(worker)
            worker.pool.count(self._clock())

    def answered(
        self, name: str, ticket: int, outcomes: Sequence[Outcome], seconds: float, passed: int | None = None
    ) -> None:
        """A worker gave one outcome for each record of a job.

        `passed`: so many records at a time went through where the GPU's memory was too small for all at once. An
        answer of a worker that was given up counts no more.
        """
        worker = self._workers.get(name)
        if worker is None or ticket not in worker.in_hand:
            return
        items = self._done(worker, ticket)
        stage = items[0].stage
        if passed is not None and passed < len(items):
            self._batches.ran_out(stage, max(item.bucket for item in items), passed)
        self._rates[stage].add(seconds, len(items))
        if not self._knows_rates and self._all_rates_known():
            self._knows_rates, self._next_sizing = True, self._clock()  # the first sizes were a guess
        worker.pool.busy_seconds += seconds
        worker.known.add(stage)
        self._outage_since = self._outage_pause = 0.0
        final = [(item, o) for item, o in zip(items, outcomes, strict=True) if not self._comes_again(item, o)]
        if final:
            self._answer(final, seconds * len(final) / len(items), name)

    def no_storage(self, name: str, ticket: int, error: StorageError) -> None:
        """A worker could not reach the storage: nobody's fault; its job comes again, and everybody waits a little."""
        worker = self._workers.get(name)
        if worker is None or ticket not in worker.in_hand:
            return
        for item in reversed(self._done(worker, ticket)):
            self._queues[item.stage].appendleft(item)
        now = self._clock()
        self._outage_since = self._outage_since or now
        if now - self._outage_since >= self.settings.outage_seconds:
            raise error
        if now >= self._paused_until:
            self._outage_pause = min(LONGEST_PAUSE, 2 * self._outage_pause or 1.0)
            self._paused_until = now + self._outage_pause

    def died(self, name: str, cause: str, *, blame: bool = True, error: str = "WorkerDied") -> None:
        """A worker is gone. With `blame`, what it had in hand may have killed it; without, its machine went.

        Raises RuntimeError where workers of a pool die again and again before they are up.
        """
        worker = self._workers.pop(name, None)
        if worker is None:
            return
        pool = worker.pool
        del pool.workers[name]
        pool.file(worker)
        pool.count(self._clock())
        if not worker.is_up and blame:
            pool.failed_starts += 1
            if pool.failed_starts >= self.settings.start_failures:
                raise RuntimeError(f"no worker could start for {pool.name}:\n{cause}")
        for item in reversed([item for items in worker.in_hand.values() for item in items]):
            self._suspect(worker, item, Crashed(error=error, message="", traceback=cause), blame)

    def commands(self) -> list[Command]:
        """What is to be done now. Raises StorageError once an outage has lasted too long."""
        now = self._clock()
        self._expire(now)
        while self._delayed and self._delayed[0][0] <= now:
            item = heapq.heappop(self._delayed)[2]
            self._queues[item.stage].append(item)
        self._size(now)
        self._most = self._limit()
        for pool in self._pools.values():
            self._staff(pool)
            if now >= self._paused_until and not self._draining:
                self._send(pool, now)
        commands, self._commands = self._commands, []
        return commands

    def wake_at(self) -> float | None:
        """When `commands` has something to say though nothing happens before."""
        times = [self._next_sizing] if self._open else []
        times += [self._delayed[0][0]] if self._delayed else []
        times += [self._deadlines[0][0]] if self._deadlines else []
        times += [self._paused_until] if self._paused_until > self._clock() else []
        return min(times, default=None)

    def state(self) -> tuple[list[StageState], list[PoolState]]:
        """For those who look on."""
        now = self._clock()
        in_hand = [0] * len(self._stages)
        for worker in self._workers.values():
            for items in worker.in_hand.values():
                in_hand[items[0].stage] += len(items)
        stages = [
            StageState(
                name=stage.name,
                queued=self._at[n] - in_hand[n],
                in_hand=in_hand[n],
                answered=self._rates[n].answered,
                seconds=self._rates[n].seconds,
                mean_seconds=self._rates[n].mean,
                p99_seconds=self._rates[n].p99,
            )
            for n, stage in enumerate(self._stages)
        ]
        pools = [
            PoolState(
                name=pool.name,
                stages=tuple(self._stages[n].name for n in sorted(pool.stages)),
                wanted=self._wanted(pool),
                starting=pool.starting,
                up=pool.up,
                busy_seconds=pool.busy_seconds,
                up_seconds=pool.up_seconds(now),
            )
            for pool in self._pools.values()
        ]
        return stages, pools

    # --- jobs

    def _send(self, pool: Pool, now: float) -> None:
        while pool.suspects and (worker := pool.free(0)):
            worker.alone = True
            self._hand(worker, [pool.suspects.popleft()], now)
        for in_hand in range(self.settings.ahead):
            while (worker := pool.free(in_hand)) and (items := self._next_job(pool, in_hand)):
                self._hand(worker, items, now)

    def _next_job(self, pool: Pool, in_hand: int) -> list[Item]:
        """For an idle worker whatever waits, shared with the other idle ones; ahead of need only whole batches."""
        for stage in pool.stages:
            queue = self._queues[stage]
            if not queue or self._is_full_behind(stage):
                continue
            asked = self._stages[stage].needs.batch
            if not in_hand:
                asked = min(asked, -(-len(queue) // max(1, pool.num_free(0))))
            elif len(queue) < asked and any(self._at[:stage]):
                continue
            return self._taken(queue, stage, asked)
        return []

    def _is_full_behind(self, stage: int) -> bool:
        """Whether more would only pile up: one video may give a thousand clips, which `room` could not foresee.

        The last stage at which there is anything is never held up.
        """
        behind = sum(self._at[stage + 1 :])
        return behind >= self._most or (behind > 0 and self._bytes >= self.settings.open_bytes)

    def _taken(self, queue: deque[Item], stage: int, asked: int) -> list[Item]:
        items: list[Item] = []
        while queue and len(items) < asked:
            asked = self._batches.most(stage, queue[0].bucket, asked)
            if len(items) >= asked:
                break
            items.append(queue.popleft())
        return items

    def _hand(self, worker: Worker, items: list[Item], now: float) -> None:
        ticket = next(self._tickets)
        if not worker.in_hand:
            self._begin(worker, ticket, items, now)
        worker.in_hand[ticket] = items
        worker.pool.file(worker)
        records = tuple(item.record for item in items)
        self._commands.append(Send(worker=worker.name, ticket=ticket, stage=items[0].stage, records=records))

    def _begin(self, worker: Worker, ticket: int, items: list[Item], now: float) -> None:
        """The worker's next job begins: its deadline runs."""
        worker.since = now
        allowed = self._allowed(items, loaded=items[0].stage in worker.known)
        if allowed is not None:
            heapq.heappush(self._deadlines, (now + allowed, ticket, worker.name))

    def _allowed(self, items: Sequence[Item], *, loaded: bool) -> float | None:
        """Seconds until a job counts as hanging."""
        s, rates = self.settings, self._rates[items[0].stage]
        if s.first_deadline is None:
            return None
        if not loaded or rates.answered < s.deadline_samples:
            return s.first_deadline
        return max(s.least_deadline, s.deadline_factor * rates.p99 * len(items))

    def _done(self, worker: Worker, ticket: int) -> list[Item]:
        items = worker.in_hand.pop(ticket)
        worker.alone = False
        if worker.in_hand:
            self._begin(worker, next(iter(worker.in_hand)), worker.first(), self._clock())
        worker.pool.file(worker)
        return items

    def _answer(self, ended: Sequence[tuple[Item, Outcome]], seconds: float, worker: str) -> None:
        for item, _ in ended:
            self._forget(item)
        job = Job(stage=ended[0][0].stage, records=tuple(item.record for item, _ in ended))
        outcomes = tuple(outcome for _, outcome in ended)
        self._answers.append(Answer(job=job, outcomes=outcomes, seconds=seconds, worker=worker))

    def _forget(self, item: Item) -> None:
        self._at[item.stage] -= 1
        self._open -= 1
        self._bytes -= item.size

    # --- what goes wrong

    def _comes_again(self, item: Item, outcome: Outcome) -> bool:
        """Errors that may pass by themselves are tried again after a while."""
        if not isinstance(outcome, Crashed) or not outcome.may_pass or item.attempts >= self.settings.retries:
            return False
        due = self._clock() + self.settings.retry_seconds * 2**item.attempts
        item.attempts += 1
        heapq.heappush(self._delayed, (due, next(self._tickets), item))
        return True

    def _suspect(self, worker: Worker, item: Item, crash: Crashed, blame: bool) -> None:
        if not blame:
            self._queues[item.stage].appendleft(item)
            return
        item.strikes += 1
        if worker.alone and item.strikes >= self.settings.strikes:
            message = f"took down {item.strikes} workers, the last alone"
            self._answer([(item, replace(crash, message=message, quarantined=True))], 0.0, worker.name)
        else:
            self._pool_of[item.stage].suspects.append(item)

    def _expire(self, now: float) -> None:
        """Give up workers whose job has passed its deadline."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, ticket, name = heapq.heappop(self._deadlines)
            worker = self._workers.get(name)
            if worker is not None and ticket in worker.in_hand:
                self._commands.append(Stop(worker=name, kill=True))
                stage = self._stages[worker.in_hand[ticket][0].stage].name
                self.died(name, f"{stage} gave no answer in {now - worker.since:.0f} s", error="DeadlineExceeded")

    # --- workers

    def _limit(self) -> int:
        """Records under way that keep every worker busy, with as many again waiting."""
        held = sum(
            max(pool.wanted, len(pool.workers))
            * self.settings.ahead
            * max(self._stages[stage].needs.batch for stage in pool.stages)
            for pool in self._pools.values()
        )
        return max(self.settings.open_least, 2 * held)

    def _staff(self, pool: Pool) -> None:
        """Start what is missing, all at once; let go of what is too much, never of a worker that loads."""
        missing = self._wanted(pool) - pool.staying
        for _ in range(missing):
            self._start(pool)
        if missing < 0:
            staying = [w for w in pool.workers.values() if w.is_up and not w.leaving]
            for worker in sorted(staying, key=lambda w: len(w.in_hand))[:-missing]:
                worker.leaving = True
                pool.file(worker)
        for worker in [w for w in pool.leaving.values() if not w.in_hand]:
            self._commands.append(Stop(worker=worker.name))
            del pool.workers[worker.name], self._workers[worker.name]
            pool.file(worker)
            pool.count(self._clock())

    def _wanted(self, pool: Pool) -> int:
        """Workers that a pool should have: at the end no more than records come to it, so that machines get free.

        The pool without a GPU keeps one, for shards that are packed once their last clip is decided.
        """
        if not self._ending:
            return pool.wanted
        return min(pool.wanted, max(self._coming(pool.stages[0]), pool.name == SHARED))

    def _coming(self, stage: int) -> int:
        """Records that may still come to a stage, those in work there among them; of a video as many as before."""
        coming, on_the_way = 0.0, Counter[int]()  # answers that were not fetched yet
        for answer in self._answers:
            on_the_way[answer.job.stage] += len(answer.job.records)
        for number in range(stage + 1):
            if number and self._rates[number - 1].answered:
                coming *= max(1.0, self._arrived[number] / self._rates[number - 1].answered)
            coming += self._at[number] + (on_the_way[number] if number < stage else 0)
        return math.ceil(coming)

    def _start(self, pool: Pool) -> None:
        worker = Worker(f"{pool.name}.{next(self._names)}", pool)
        pool.workers[worker.name] = self._workers[worker.name] = worker
        loads = pool.stages if pool.name != SHARED else ()
        needs = pool.needs
        self._commands.append(Start(worker=worker.name, cpus=needs.cpus, gpus=needs.gpus, loads=loads))

    def _size(self, now: float) -> None:
        """Look at the pools' sizes from time to time."""
        if now < self._next_sizing:
            return
        self._next_sizing = now + self.settings.rebalance_seconds
        demands = {pool.name: self._demand(pool) for pool in self._pools.values()}
        if self._nodes is None:
            found = {name: demand.most or 1 for name, demand in demands.items()}
        else:
            found = sizes(demands, self._nodes)
        present = {name: pool.wanted for name, pool in self._pools.items()}
        faster = throughput(demands, found) > self.settings.rebalance_gain * throughput(demands, present)
        if faster or not self._knows_rates or sum(found.values()) < sum(present.values()):
            for name, pool in self._pools.items():
                pool.wanted = found[name]

    def _all_rates_known(self) -> bool:
        return all(rates.answered >= self.settings.rebalance_samples for rates in self._rates)

    def _demand(self, pool: Pool) -> Demand:
        known = all(self._rates[stage].answered >= self.settings.rebalance_samples for stage in pool.stages)
        load = sum(self._reached(stage) * (self._rates[stage].mean or 0.0) for stage in pool.stages) if known else None
        most = self.settings.workers if pool.name == SHARED else self.settings.gpu_workers
        return Demand(cpus=pool.needs.cpus, gpus=pool.needs.gpus, load=load, most=most)

    def _reached(self, stage: int) -> float:
        """Records that come to a stage for each that enters the line; those under way do not distort it."""
        share = 1.0
        for before in range(stage):
            if self._rates[before].answered:
                share *= self._arrived[before + 1] / self._rates[before].answered
        return share
