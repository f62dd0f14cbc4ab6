"""Whose turn it is, with random interleavings in virtual time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

import pytest

from hypersd_app.errors import Overloaded
from hypersd_app.requests import GenerationRequest
from hypersd_app.server.scheduling.fair_queue import (
    JOB,
    LIVE,
    LONGEST_REST,
    MOST_AHEAD,
    REST,
    SLOW,
    FairQueue,
    LazyRequest,
    QueuedRequest,
    SchedulerLimits,
)

FRAME = 0.03  # seconds per image


def nothing() -> GenerationRequest:
    raise AssertionError("policy decodes no sketch")


@dataclass
class World:
    """Visitors, a device or two, and a clock that jumps from event to event."""

    turns: FairQueue
    cost: float = FRAME
    costs: dict[Hashable, float] = field(default_factory=dict)  # of other keys
    devices: int = 1
    now: float = 0.0
    busy: list[tuple[float, float, list[QueuedRequest]]] = field(default_factory=list)  # ends, took, batch
    taken: list[tuple[float, list[QueuedRequest]]] = field(default_factory=list)
    replaced: list[QueuedRequest] = field(default_factory=list)
    sequences: Counter[str] = field(default_factory=Counter)

    def submit(
        self, visitor: str, key: Hashable = "plain", kind: str = LIVE, address: str = "", long: bool = False, steps: int = 1
    ) -> QueuedRequest:
        self.sequences[visitor] += 1
        entry = QueuedRequest(
            visitor=visitor, sequence=self.sequences[visitor], request=LazyRequest(key, nothing, long=long, steps=steps),
            deliver=lambda _: None, since=self.now, first=self.now, kind=kind, address=address,
        )  # fmt: skip
        replaced = self.turns.put(entry)
        if replaced is not None:
            self.replaced.append(replaced)
        self.start()
        return entry

    def taking(self, batch: list[QueuedRequest]) -> float:
        """Seconds for a batch; batching pays."""
        return float(self.costs.get(batch[0].key, self.cost)) * len(batch) ** 0.7

    def start(self) -> None:
        """Give every free device what comes next."""
        while len(self.busy) < self.devices:
            batch, _ = self.turns.next(self.now)
            if not batch:
                return
            took = self.taking(batch)
            self.busy.append((self.now + took, took, batch))
            self.taken.append((self.now, batch))

    def pass_time(self, seconds: float) -> None:
        """Let devices finish and pens rest until the clock has moved on by `seconds`."""
        until = self.now + seconds
        while True:
            batch, wake = self.turns.next(self.now) if len(self.busy) < self.devices else ([], None)
            assert not batch, "a free device and somebody ready"
            ends = min((end for end, _, _ in self.busy), default=None)
            upcoming = [time for time in (wake, ends) if time is not None and time <= until]
            if not upcoming:
                break
            self.now = max(self.now, min(upcoming))
            for done in [row for row in self.busy if row[0] <= self.now]:
                self.busy.remove(done)
                self.turns.finished(done[2], done[1])
            self.start()
        self.now = until

    def entries(self) -> Iterator[tuple[float, QueuedRequest]]:
        for time, batch in self.taken:
            for entry in batch:
                yield time, entry


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_each_state_comes_to_one_end_and_the_newest_wins(seed: int) -> None:
    chance = random.Random(seed)
    sizes = chance.choice(((1,), (1, 2), (1, 4), (1, 2, 3, 4)))
    world = World(FairQueue(SchedulerLimits(sizes=sizes, jobs=1000, jobs_per_visitor=1000)), devices=chance.choice((1, 2)))
    names = [f"v{i}" for i in range(chance.randint(1, 9))]
    latest: dict[str, int] = {}
    at_take: list[bool] = []
    submitted: list[QueuedRequest] = []
    gone: list[QueuedRequest] = []
    for _ in range(400):
        before = len(world.taken)
        visitor, action = chance.choice(names), chance.random()
        if action < 0.6:
            latest[visitor] = world.sequences[visitor] + 1
            submitted.append(world.submit(visitor, chance.choice(("plain", "ink"))))
        elif action < 0.7:
            submitted.append(world.submit(f"{visitor}/grid", kind=JOB))
        elif action < 0.75:
            gone += world.turns.forget(visitor)
        else:
            world.pass_time(chance.expovariate(1 / FRAME))
        for _, batch in world.taken[before:]:
            at_take += [entry.kind == JOB or entry.sequence == latest[entry.visitor] for entry in batch]
        flying = [entry.visitor for _, _, batch in world.busy for entry in batch]
        assert len(flying) == len(set(flying)), "one in flight a visitor"
    world.pass_time(1000.0)
    assert all(at_take), "only the newest state of a visitor is ever drawn"
    taken = [entry for _, entry in world.entries()]
    assert len(taken) + len(world.replaced) + len(gone) == len(submitted), "each state is drawn, replaced or given up, once"
    ends = Counter((entry.visitor, entry.sequence) for entry in (*taken, *world.replaced, *gone))
    assert ends == Counter((entry.visitor, entry.sequence) for entry in submitted)
    assert all(len({entry.key for entry in batch}) == 1 for _, batch in world.taken)
    assert all(len(batch) in sizes for _, batch in world.taken)
    assert world.turns.idle


@pytest.mark.parametrize("seed", range(6))
def test_who_waits_is_never_overtaken_by_more_than_a_turn_or_two(seed: int) -> None:
    chance = random.Random(seed)
    world = World(FairQueue(SchedulerLimits()))
    keys = {f"v{i}": chance.choice(("plain", "plain", "ink", "clay")) for i in range(12)}
    for _ in range(200):
        waiting = {entry.visitor for entry in world.turns.entries()}
        for visitor, key in keys.items():  # everybody always has something to draw, some more often than others
            if visitor not in waiting or chance.random() < 0.3:
                world.submit(visitor, key)
        world.pass_time(FRAME)
    counts = Counter(entry.visitor for _, entry in world.entries())
    shares = list(counts.values())
    assert len(counts) == len(keys) and max(shares) - min(shares) <= MOST_AHEAD + 2
    jain = sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))
    assert jain > 0.99


@pytest.mark.parametrize("kind", [LIVE, JOB])
@pytest.mark.parametrize("sizes", [(1,), (1, 2, 3, 4)])
def test_many_sessions_of_one_address_get_no_more_than_one_of_another(kind: str, sizes: tuple[int, ...]) -> None:
    world = World(FairQueue(SchedulerLimits(sizes=sizes)))
    for _ in range(300):
        waiting = {entry.visitor for entry in world.turns.entries()}
        for i in range(15):
            if f"crowd{i}" not in waiting:
                world.submit(f"crowd{i}", kind=kind, address="2001:db8::/64")
        if "alone" not in waiting:
            world.submit("alone", kind=kind, address="203.0.113.9")
        world.pass_time(FRAME)
    taken = Counter(entry.visitor for _, entry in world.entries())
    alone, crowd = taken.pop("alone"), taken.total()
    # A place in a batch that nobody else needs is given to one more of them.
    assert crowd <= (1.1 if sizes == (1,) or kind == JOB else 3) * alone, (alone, crowd)
    assert max(taken.values()) - min(taken.values()) <= 2, "among themselves they take turns"


def test_who_asks_for_more_than_a_round_waits_until_others_have_had_as_much() -> None:
    world = World(FairQueue(SchedulerLimits(sizes=(1,))), costs={"fifty steps": 1.2})
    for _ in range(1000):
        waiting = {entry.visitor for entry in world.turns.entries()}
        for visitor, key in (("greedy", "fifty steps"), ("a", "plain"), ("b", "plain")):
            if visitor not in waiting:
                world.submit(visitor, key, address=visitor)
        world.pass_time(FRAME)
    spent: Counter[str] = Counter()
    for _, entry in world.entries():
        spent[entry.visitor] += world.taking([entry])
    # A frame within the round counts as a whole one, so that the two who keep to it have somewhat less than a third.
    assert spent["greedy"] < 4 * spent["a"] and spent["a"] == pytest.approx(spent["b"], rel=0.1)
    counts = Counter(entry.visitor for _, entry in world.entries())
    assert counts["a"] > 8 * counts["greedy"], "one long frame is as many turns as it takes rounds"


def test_long_and_short_requests_can_be_asked_for_apart() -> None:
    turns = FairQueue()
    world = World(turns, devices=0)
    strokes = [world.submit("a"), world.submit("b", "long", long=True)]
    jobs = [world.submit("c", "x", kind=JOB), world.submit("d", "y", kind=JOB, long=True)]
    assert turns.next(0.0, True)[0] == [strokes[1]] and turns.next(0.0, True)[0] == [jobs[1]]
    assert turns.next(0.0, True) == ([], None), "the short ones are left to others"
    assert turns.next(0.0, False)[0] == [strokes[0]] and turns.next(0.0, False)[0] == [jobs[0]]


def test_strokes_of_several_steps_that_take_long_come_one_at_a_time_between_others() -> None:
    turns = FairQueue(SchedulerLimits(budget=10.0))
    world = World(turns, costs={"eight steps": 0.3})
    for _ in range(3):
        world.submit("a", "eight steps", steps=8)
        world.pass_time(1.0)
    world.devices = 0
    strokes = [world.submit(visitor, "eight steps", steps=8) for visitor in "ab"]
    assert turns.next(world.now, False) == ([], None), "left to who gives way"
    assert turns.next(world.now, True)[0] == strokes[1:] and turns.next(world.now, True)[0] == strokes[:1]
    once = world.submit("c", "eight steps")
    assert turns.next(world.now, True)[0] == [] and turns.next(world.now, False)[0] == [once], "nothing to stop at"


def test_while_others_draw_one_address_has_no_batch_beyond_its_round() -> None:
    world = World(FairQueue(SchedulerLimits(sizes=(1, 2, 3, 4))), cost=0.08)

    def most(other: bool) -> int:
        before = len(world.taken)
        for _ in range(40):
            if other:
                world.submit("alone", address="203.0.113.9")
                world.pass_time(0.1)
            for i in range(8):
                world.submit(f"crowd{i}", "theirs", address="198.51.100.7")
            world.pass_time(0.2)
        return max(len(batch) for _, batch in world.taken[before:])

    assert most(other=False) > 1
    world.pass_time(10.0)
    assert most(other=True) == 1, "0.08 s each, of a round of 0.1 s"


def test_images_that_wait_are_limited_by_address_too() -> None:
    world = World(FairQueue(SchedulerLimits(jobs_per_visitor=2, jobs_per_address=3)), devices=0)
    for session in range(3):
        world.submit(f"session{session}", kind=JOB, address="203.0.113.9")
    with pytest.raises(Overloaded, match="your address"):
        world.submit("session3", kind=JOB, address="203.0.113.9")
    world.submit("other", kind=JOB, address="203.0.113.10")


def test_a_stroke_never_waits_behind_a_grid() -> None:
    world = World(FairQueue(SchedulerLimits(jobs_per_visitor=16)), cost=0.5)
    for _ in range(16):
        world.submit("painter", kind=JOB)
    world.pass_time(0.2)
    for _ in range(8):
        before = len(world.taken)
        stroke = world.submit("drawer")
        world.pass_time(3.0)
        started = [entry for _, batch in world.taken[before:] for entry in batch]
        assert started.index(stroke) <= 1, "at most the part that runs and one more come first"


def test_live_strokes_leave_jobs_their_share() -> None:
    world = World(FairQueue())
    for _ in range(300):
        world.submit("drawer")
        if not any(entry.kind == JOB for entry in world.turns.entries()):
            world.submit("painter", kind=JOB)
        world.pass_time(FRAME)
    kinds = Counter(entry.kind for _, entry in world.entries())
    assert 0.15 < kinds[JOB] / kinds.total() < 0.25, "weights are 4 to 1"


def test_on_a_slow_device_the_pen_rests_first() -> None:
    world = World(FairQueue(), cost=2.0)
    for _ in range(3):  # until it is known to be slow
        world.submit("drawer")
        world.pass_time(10.0)
    started = len(world.taken)
    for _ in range(5):
        last = world.submit("drawer")
        world.pass_time(0.1)
    assert len(world.taken) == started
    world.pass_time(REST)
    assert world.taken[-1][0] == pytest.approx(last.since + REST)
    assert [entry.sequence for entry in world.taken[-1][1]] == [last.sequence]
    world.pass_time(10.0)
    first = world.submit("drawer").since
    while len(world.taken) == started + 1:  # a pen that never rests is not waited for for ever
        world.submit("drawer")
        world.pass_time(0.1)
    assert world.taken[-1][0] == pytest.approx(first + LONGEST_REST, abs=0.11)
    assert world.cost > SLOW


def test_a_batch_is_as_large_as_the_budget_allows() -> None:
    world = World(FairQueue(SchedulerLimits(sizes=tuple(range(1, 9)), budget=0.1)))
    for _ in range(6):
        for i in range(8):
            world.submit(f"v{i}")
        world.pass_time(1.0)
    sizes = [len(batch) for _, batch in world.taken]
    assert sizes[0] == 1, "nobody knows yet what a frame costs"
    assert 2 <= max(sizes) < 8 and max(sizes) * world.turns._costs["plain"] <= 0.1 + FRAME


def test_a_pause_saves_up_no_claim() -> None:
    turns = FairQueue()
    world = World(turns)
    for _ in range(50):
        world.submit("drawer")
        world.pass_time(FRAME)
    for _ in range(4):
        world.submit("painter", kind=JOB)
    before = len(world.taken)
    for _ in range(8):
        world.submit("drawer")
        world.pass_time(FRAME)
    kinds = [batch[0].kind for _, batch in world.taken[before:]]
    assert kinds.count(JOB) <= 3


def test_full_houses_are_told_when_to_come_back() -> None:
    world = World(FairQueue(SchedulerLimits(visitors=2, jobs=3, jobs_per_visitor=2)), devices=0)
    world.submit("a"), world.submit("b"), world.submit("a")
    with pytest.raises(Overloaded, match=r"Try again in 2 s"):
        world.submit("c")
    world.submit("a", kind=JOB), world.submit("a", kind=JOB)
    with pytest.raises(Overloaded, match="2 of your images"):
        world.submit("a", kind=JOB)
    world.submit("b", kind=JOB)
    with pytest.raises(Overloaded, match="Too many images"):
        world.submit("b", kind=JOB)


def test_what_loads_waits_and_others_go_on() -> None:
    world = World(FairQueue())
    world.turns.hold("large")
    heavy = world.submit("a", "large")
    light = world.submit("b")
    world.pass_time(1.0)
    assert [entry for _, entry in world.entries()] == [light]
    assert world.turns.release("large") == [heavy]
    world.start()
    assert [entry for _, entry in world.entries()] == [light, heavy]


def test_who_waits_is_told_when_their_turn_comes() -> None:
    world = World(FairQueue(SchedulerLimits(sizes=(1,))))
    for _ in range(30):
        for i in range(4):
            world.submit(f"v{i}")
        world.pass_time(FRAME)
    for i in range(4):
        world.submit(f"v{i}")
    told = [world.turns.turn_in(f"v{i}") for i in range(4)]
    assert sorted(told) == pytest.approx([FRAME * place for place in sorted(round(turn / FRAME) for turn in told)], rel=0.05)
    assert world.turns.turn_in("nobody") == 0
