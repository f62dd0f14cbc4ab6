"""Fair queueing of requests for a device. Policy only, without threads or a clock, so tests can run it in virtual time."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol

from cachetools import LRUCache

from hypersd_app.errors import Overloaded
from hypersd_app.requests import GenerationRequest


class Kind(Enum):
    """Kinds of queued work: a state of a live stroke, or a job (one-off images)."""

    LIVE = "live"
    JOB = "job"


LIVE, JOB = Kind.LIVE, Kind.JOB
WEIGHTS = {LIVE: 4.0, JOB: 1.0}  # shares of the device while both wait
SLOW = 1.5  # seconds a frame from which on the device waits until the pen rests
REST, LONGEST_REST = 0.25, 3.0  # seconds after the last change, and at most after the first
LEARNING = 0.3  # how fast the cost of a frame rises to what is measured; it falls at once
MOST_COSTS = 256  # batch keys whose cost is remembered
MOST_AHEAD = 1  # turns that one address may be ahead of another that waits
LONG = 8  # steps times images from which on a request takes more than its round, whatever the device
HELD_UP = 0.15  # seconds that a stroke of several steps may take, as far as is known, before others come between its steps
PRESENT = 1.0  # seconds since somebody else's stroke, in which one address has no more of a batch than its round
ROUND = 0.1  # seconds of the device in one turn; what takes longer costs several
DEAREST = 100.0  # turns: who met a driver that hung for two minutes has not had them all
MOST_REMEMBERED = 4096  # addresses, far more than may wait at once


@dataclass(frozen=True)
class LazyRequest:
    """A request whose sketch is decoded only when it runs: states that are replaced earlier never are.

    `key` is what two requests must share to run as one batch; `build` raises InvalidRequest. A long one is drawn in `steps`
    between which others come.
    """

    key: Hashable
    build: Callable[[], GenerationRequest]
    model: str = ""
    long: bool = False
    steps: int = 1
    beside: tuple[GenerationRequest, ...] = ()  # of a job, drawn in the same call where a device is lent by the call


@dataclass(frozen=True, eq=False, kw_only=True)
class QueuedRequest:
    """One visitor's request, waiting or running. Times are in seconds of the scheduler's clock."""

    visitor: str
    sequence: int
    request: LazyRequest
    deliver: Callable[[Any], None]
    since: float
    first: float  # when the oldest state that this one replaced came
    kind: Kind = LIVE
    progress: Callable[..., None] | None = None  # (share, words); a stroke's is told of loading only
    context: Context = field(default_factory=copy_context)  # of whoever asks: where GPUs are lent, it says who pays
    address: str = ""  # whose visitors share one claim; "" for a visitor who counts alone

    @property
    def claimant(self) -> str:
        """Who takes turns: the address, since whoever wants more invents sessions."""
        return self.address or self.visitor

    @property
    def key(self) -> Hashable:
        """Requests with equal keys can run as one batch."""
        return self.request.key


@dataclass(frozen=True)
class SchedulerLimits:
    """Limits on queued and batched requests. `budget` is the most seconds for one batch, so that none delays others for long."""

    sizes: tuple[int, ...] = (1, 2, 3, 4)  # batches that run as one on this device
    budget: float = 0.5
    visitors: int = 64
    jobs: int = 64
    jobs_per_visitor: int = 4
    jobs_per_address: int = 16
    mixed: bool = True  # whether a batch may hold requests of several visitors

    @property
    def max_batch(self) -> int:
        """The largest batch."""
        return max(self.sizes)


class Claim(Protocol):
    """A request as far as its turn is concerned."""

    @property
    def claimant(self) -> str:
        """Who is charged."""
        ...


def price(seconds: float) -> float:
    """Turns for so many seconds: one for whatever fits a round, so that a style costs nobody who draws at the same pace."""
    return min(DEAREST, max(1.0, seconds / ROUND))


class Turns:
    """Turns that each claimant has had; the least recently seen are forgotten. Not thread-safe."""

    def __init__(self) -> None:
        self._had: LRUCache[str, float] = LRUCache(MOST_REMEMBERED)
        self._prices: dict[int, tuple[Claim, float]] = {}  # of what is in flight, as it was estimated
        self._level = 0.0  # turns of who was served last: who comes now starts there

    def join(self, claimant: str) -> None:
        """Somebody begins to wait: a pause saves up no claim, and turns that nobody else wanted are no debt."""
        self._had[claimant] = max(self._had.get(claimant, 0.0), self._level)

    def of(self, claim: Claim) -> float:
        """Turns that its claimant has had."""
        return self._had.get(claim.claimant, self._level)

    def serve(self, claim: Claim, turns: float) -> None:
        """Take it as the one whose turn it is."""
        self._level = max(self._level, self.of(claim))
        self.take(claim, turns)

    def take(self, claim: Claim, turns: float) -> None:
        """Charge what is about to run with an estimate."""
        self._had[claim.claimant] = self.of(claim) + turns
        self._prices[id(claim)] = (claim, turns)

    def give_back(self, claim: Claim) -> None:
        """It does not run after all."""
        self.settle(claim, 0.0)

    def settle(self, claim: Claim, turns: float) -> None:
        """It has run: what it cost takes the place of the estimate."""
        _, estimate = self._prices.pop(id(claim), (claim, 0.0))
        self._had[claim.claimant] = self.of(claim) + turns - estimate


class FairQueue:
    """Mailboxes of live strokes, queues of one-off jobs, and the rule that picks the next batch.

    A live mailbox holds the newest state alone. Addresses are served in turn, and each one's visitors, with one batch in
    flight each; what takes longer than a round allows is charged as several turns. Strokes and jobs share the device by
    weight, and a job comes in parts, so that no stroke waits behind all of it. Not thread-safe.
    """

    def __init__(self, limits: SchedulerLimits | None = None) -> None:
        self.limits = limits or SchedulerLimits()
        self._live: OrderedDict[str, QueuedRequest] = OrderedDict()
        self._jobs: OrderedDict[str, deque[QueuedRequest]] = OrderedDict()
        self._in_flight: set[tuple[Kind, str]] = set()
        self._turns = {LIVE: Turns(), JOB: Turns()}
        self._used = {LIVE: 0.0, JOB: 0.0}
        self._costs: LRUCache[Hashable, float] = LRUCache(MOST_COSTS)
        self._pace = 0.0  # seconds a stroke, of all kinds and batches
        self._held: set[Hashable] = set()
        self._latest: tuple[str, float] = ("", -PRESENT)  # who drew last, and when
        self._others = -PRESENT  # when somebody else did

    def put(self, entry: QueuedRequest) -> QueuedRequest | None:
        """Queue `entry`; returns the state it replaced. Raises Overloaded when the queue is full."""
        self._join(entry.kind)
        if entry.kind == JOB:
            self._put_job(entry)
            return None
        replaced = self._live.get(entry.visitor)
        if entry.claimant != self._latest[0]:
            self._others = self._latest[1]
        self._latest = (entry.claimant, entry.since)
        if replaced is None:
            if len(self._live) >= self.limits.visitors:
                raise Overloaded(f"{len(self._live)} people are drawing at once: all sessions are in use.", retry_after=2.0)
            self._turns[LIVE].join(entry.claimant)
            self._live[entry.visitor] = entry
            return None
        self._live[entry.visitor] = replace(entry, first=replaced.first)  # an existing key keeps its place in the line
        return replaced

    def _put_job(self, entry: QueuedRequest) -> None:
        queue = self._jobs.get(entry.visitor, deque())
        if len(queue) >= self.limits.jobs_per_visitor:
            raise Overloaded(f"{len(queue)} of your images are waiting already; wait for one of them.", retry_after=2.0)
        waiting = [other.claimant for jobs in self._jobs.values() for other in jobs]
        if entry.address and waiting.count(entry.address) >= self.limits.jobs_per_address:
            raise Overloaded("Too many images of your address are waiting; wait for one of them.", retry_after=2.0)
        if len(waiting) >= self.limits.jobs:
            raise Overloaded("Too many images are waiting to be made.", retry_after=5.0)
        self._turns[JOB].join(entry.claimant)
        queue.append(entry)
        self._jobs[entry.visitor] = queue

    def _join(self, kind: Kind) -> None:
        """A kind that was idle accumulates no credit."""
        if not self._waiting_of(kind) and not any(flying == kind for flying, _ in self._in_flight):
            other = JOB if kind == LIVE else LIVE
            self._used[kind] = max(self._used[kind], self._used[other])

    def _waiting_of(self, kind: Kind) -> bool:
        return bool(self._live) if kind == LIVE else bool(self._jobs)

    def next(self, now: float, long: bool | None = None) -> tuple[list[QueuedRequest], float | None]:
        """The next batch ([] if nothing is ready) and the time when something will be, None if unknown.

        Of long requests or of short ones alone, where they run beside each other.
        """
        live, job = self._first_live(now, long), self._first_job(long)
        if live is None and job is None:
            return [], self._wake(now, long)
        if job is not None and (live is None or self._used[JOB] < self._used[LIVE]):
            return [self._take_job(job)], None
        assert live is not None
        return self._take_live(live, now, long), None

    def _ready(self, now: float, long: bool | None) -> Iterator[QueuedRequest]:
        return (entry for entry in self._resting(long) if self.ready_at(entry) <= now)

    def _resting(self, long: bool | None) -> Iterator[QueuedRequest]:
        """Strokes that wait for nothing but their turn or a pen that rests."""
        for entry in self._live.values():
            held = (LIVE, entry.visitor) in self._in_flight or entry.key in self._held
            if not held and long in (None, self.is_long(entry)):
                yield entry

    def is_long(self, entry: QueuedRequest) -> bool:
        """Whether a request takes more of the device than others should wait for at a stretch, and has steps to stop at."""
        known = self._costs.get(entry.key, 0.0) if entry.kind == LIVE else 0.0
        return entry.request.long or (entry.request.steps > 1 and known > HELD_UP)

    def ready_at(self, entry: QueuedRequest) -> float:
        """When the entry may run: immediately, or on a slow device once the pen has rested."""
        if self._costs.get(entry.key, 0.0) <= SLOW:
            return entry.since
        return min(entry.since + REST, entry.first + LONGEST_REST)

    def _wake(self, now: float, long: bool | None) -> float | None:
        times = [self.ready_at(entry) for entry in self._resting(long)]
        return min((time for time in times if time > now), default=None)

    def _first_live(self, now: float, long: bool | None) -> QueuedRequest | None:
        return min(self._ready(now, long), key=self._turns[LIVE].of, default=None)  # of equals the first in line

    def _first_job(self, long: bool | None) -> QueuedRequest | None:
        first = [
            queue[0]
            for visitor, queue in self._jobs.items()
            if (JOB, visitor) not in self._in_flight and queue[0].key not in self._held and long in (None, self.is_long(queue[0]))
        ]
        return min(first, key=self._turns[JOB].of, default=None)

    def _take_live(self, first: QueuedRequest, now: float, long: bool | None) -> list[QueuedRequest]:
        """The first in line and later entries that fit its batch, unless their address is ahead of others that wait.

        Of what gives way between its steps only one at once, for a batch would not.
        """
        turns, size, each = self._turns[LIVE], 1 if long else self.batch_size(first.key), self._price(first.key)
        most_of_one = self._most_of_one(first.key, now)
        others = (entry for entry in self._ready(now, long) if entry is not first)
        fitting = [entry for entry in others if entry.key == first.key and self.limits.mixed]
        most = min(map(turns.of, self._live.values())) + MOST_AHEAD * each
        batch = [first]
        turns.serve(first, each)
        # With several of one address, each takes a turn of it before the next is looked at.
        for entry in sorted(fitting, key=turns.of)[: max(0, size - 1)]:
            own = sum(other.claimant == entry.claimant for other in batch)
            if turns.of(entry) <= most and own < most_of_one:
                batch.append(entry)
                turns.take(entry, each)
        for entry in batch[max(allowed for allowed in self.limits.sizes if allowed <= len(batch)) :]:
            turns.give_back(entry)
            batch.remove(entry)
        for entry in batch:
            del self._live[entry.visitor]
            self._in_flight.add((LIVE, entry.visitor))
        return batch

    def _most_of_one(self, key: Hashable, now: float) -> int:
        """How many of one address may be in a batch: others who draw, though they don't wait right now, soon will."""
        cost = self._costs.get(key, 0.0)
        alone = now - self._others > PRESENT
        return self.limits.max_batch if alone or cost == 0 else max(1, int(ROUND / cost))

    def _price(self, key: Hashable) -> float:
        """Turns that a stroke will cost, as far as anybody knows yet."""
        return price(self._costs.get(key, 0.0))

    def _take_job(self, entry: QueuedRequest) -> QueuedRequest:
        queue = self._jobs.pop(entry.visitor)
        queue.popleft()
        if queue:
            self._jobs[entry.visitor] = queue  # to the end of the line
        self._in_flight.add((JOB, entry.visitor))
        self._turns[JOB].serve(entry, 1.0)
        return entry

    def batch_size(self, key: Hashable) -> int:
        """How many frames with `key` fit the budget; one until the cost of a frame is known."""
        cost = self._costs.get(key, 0.0)
        return max(1, min(self.limits.max_batch, int(self.limits.budget / cost))) if cost > 0 else 1

    def finished(self, batch: list[QueuedRequest], seconds: float, *, learn: bool = True) -> None:
        """Record that `batch` took `seconds`. With `learn` False (it failed) its cost is not updated."""
        kind = batch[0].kind
        for entry in batch:
            self._in_flight.discard((entry.kind, entry.visitor))
            self._turns[kind].settle(entry, price(seconds / len(batch)))
        self._used[kind] += seconds / WEIGHTS[kind]
        if kind == LIVE:
            self._pace += LEARNING * (seconds / len(batch) - self._pace)
        if learn and kind == LIVE:
            self._learn(batch[0].key, seconds / len(batch))

    def _learn(self, key: Hashable, each: float) -> None:
        """Update the cost of a frame. The first one also loads and compiles, so its time is not counted."""
        known = self._costs.get(key)
        if known is None:
            self._costs[key] = 0.0
        elif known == 0.0 or each < known:
            self._costs[key] = each
        else:
            self._costs[key] = known + LEARNING * (min(each, 2 * known) - known)

    def turn_in(self, visitor: str) -> float:
        """Seconds until the visitor's waiting stroke will run, as things go now; 0 if none waits.

        Who is told sends the next state halfway to that turn: early ones would only be replaced, and cost the server.
        """
        own = self._live.get(visitor)
        if own is None:
            return 0.0
        turns = self._turns[LIVE]
        before = [entry for entry in self._live.values() if turns.of(entry) < turns.of(own)]
        equals = [entry for entry in self._live.values() if turns.of(entry) == turns.of(own)]
        return (len(before) + equals.index(own) + 1) * self._pace

    def loading(self, model: str) -> list[QueuedRequest]:
        """Entries that wait until `model` is loaded."""
        return [entry for entry in self.entries() if entry.request.model == model and entry.key in self._held]

    def hold(self, key: Hashable) -> None:
        """Hold back entries with `key` while what they need is being loaded."""
        self._held.add(key)

    def release(self, key: Hashable) -> list[QueuedRequest]:
        """Stop holding `key` back; returns the entries that were waiting for it."""
        self._held.discard(key)
        return [entry for entry in self.entries() if entry.key == key]

    def remove(self, entry: QueuedRequest) -> None:
        """Remove an entry from whichever queue holds it."""
        if self._live.get(entry.visitor) is entry:
            del self._live[entry.visitor]
        queue = self._jobs.get(entry.visitor)
        if queue is not None and entry in queue:
            queue.remove(entry)
            if not queue:
                del self._jobs[entry.visitor]

    def forget(self, visitor: str) -> list[QueuedRequest]:
        """Remove and return all entries of a visitor who left."""
        gone = [entry for entry in self.entries() if entry.visitor == visitor]
        for entry in gone:
            self.remove(entry)
        return gone

    def entries(self) -> list[QueuedRequest]:
        """All waiting entries."""
        return [*self._live.values(), *(entry for queue in self._jobs.values() for entry in queue)]

    @property
    def waiting(self) -> tuple[int, int]:
        """Numbers of waiting strokes and jobs."""
        return len(self._live), sum(len(queue) for queue in self._jobs.values())

    @property
    def idle(self) -> bool:
        """True if nothing waits and nothing runs."""
        return not self._live and not self._jobs and not self._in_flight
