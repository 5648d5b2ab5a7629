"""Who loads which location: never two at once, whatever gets lost, and each to its end."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async.bulk.report import BatchReport
from leadconnector_async.cluster.dispatch import Assignment, Dispatcher, Ending, Orders, Share, WorkerReport
from leadconnector_async.cluster.lease import Lease

TALLY = BatchReport().tally()
LEASE = 10.0


def shares(count: int) -> list[Share]:
    return [Share(f"L{number}", number + 1, [0], is_again=False) for number in range(count)]


def dispatcher(count: int, *, at_once: int = 2, ahead: int = 0) -> Dispatcher:
    return Dispatcher(shares(count), at_once=at_once, ahead=ahead, lease_seconds=LEASE)


class Worker:
    """A worker as the dispatcher sees it, with a clock of its own that began elsewhere."""

    def __init__(self, name: str, offset: float) -> None:
        self.name = name
        self.offset = offset
        self.now = 0.0
        self.lease = Lease(LEASE, lambda: self.now + self.offset)
        self.loading: dict[int, Assignment] = {}
        self.known: set[int] = set()
        self.endings: dict[int, Ending] = {}

    def hear(self, orders: Orders) -> WorkerReport:
        for epoch in orders.noted:
            self.endings.pop(epoch, None)
        if orders.heard is not None:
            self.lease.renew(orders.heard)
        for assignment in orders.assigned:
            if assignment.epoch not in self.known:
                self.known.add(assignment.epoch)
                self.loading[assignment.epoch] = assignment
        return WorkerReport(stamp=self.lease.stamp(), endings=list(self.endings.values()), under_way=TALLY)

    def finish(self, epoch: int) -> None:
        if self.lease.left > 0 and epoch in self.loading:
            one = self.loading.pop(epoch)
            self.endings[epoch] = Ending(location_id=one.location_id, epoch=epoch, tally=TALLY)

    @property
    def sending(self) -> list[str]:
        """The locations that it may send to now."""
        return [one.location_id for one in self.loading.values()] if self.lease.left > 0 else []


def talk(lead: Dispatcher, worker: Worker, now: float) -> list[Ending]:
    orders = lead.orders_for(worker.name, now)
    return lead.hear(worker.name, orders, worker.hear(orders), now)


def test_the_largest_go_first_and_each_worker_has_its_part() -> None:
    lead, one, other = dispatcher(6, at_once=8), Worker("one", 0.0), Worker("other", 1e6)
    for worker in (one, other):
        lead.admit(worker.name)
    for now in (0.0, 1.0):
        for worker in (one, other):
            talk(lead, worker, now)
    assert [assignment.location_id for assignment in one.loading.values()] == ["L5", "L4", "L3"]
    assert [assignment.location_id for assignment in other.loading.values()] == ["L2", "L1", "L0"]


def test_nothing_is_assigned_before_a_worker_has_stated_its_time() -> None:
    lead, worker = dispatcher(1), Worker("one", 5.0)
    lead.admit("one")
    assert lead.orders_for("one", 0.0).assigned == []
    talk(lead, worker, 0.0)
    assert len(lead.orders_for("one", 1.0).assigned) == 1


def test_a_lost_workers_locations_wait_for_its_lease() -> None:
    lead, one, other = dispatcher(1), Worker("one", 0.0), Worker("other", 50.0)
    lead.admit("one")
    talk(lead, one, 0.0)
    talk(lead, one, 2.0)  # gives back what was heard at 0
    lead.lose("one")
    lead.admit("other")
    talk(lead, other, 3.0)
    talk(lead, other, 9.9)
    assert not other.loading
    talk(lead, other, 10.5)
    (assignment,) = other.loading.values()
    assert assignment.is_again
    assert assignment.epoch == 2


def test_what_is_given_up_is_tried_elsewhere_but_not_for_ever() -> None:
    lead, worker = dispatcher(1), Worker("one", 0.0)
    lead.admit("one")
    now, tries, new = 0.0, 0, list[Ending]()
    while not new:
        new = talk(lead, worker, now)
        now += 6.0
        for epoch, one in list(worker.loading.items()):
            tries += 1
            del worker.loading[epoch]
            worker.endings[epoch] = Ending(
                location_id=one.location_id, epoch=epoch, tally=TALLY, stopped="the disk is full", is_given_up=True
            )
    assert tries == 4
    assert lead.is_over


def test_a_token_that_is_refused_stops_all() -> None:
    lead, worker = dispatcher(5, at_once=1), Worker("one", 0.0)
    lead.admit("one")
    talk(lead, worker, 0.0)
    talk(lead, worker, 1.0)
    ((epoch, one),) = worker.loading.items()
    worker.loading.clear()
    worker.endings[epoch] = Ending(location_id=one.location_id, epoch=epoch, tally=TALLY, stopped="401", stops_all=True)
    talk(lead, worker, 2.0)
    assert lead.is_over
    assert len(lead.left_over()) == 4


class Storm:
    """A lead and its workers, between whom messages get lost and come late, and of whom some are given up."""

    def __init__(self, seed: int, locations: int, workers: int) -> None:
        self._chance = random.Random(seed)
        self._lead = dispatcher(locations, at_once=self._chance.randrange(1, 4), ahead=self._chance.randrange(2))
        self._crew: list[Worker] = []
        self._most = workers
        self._late: list[tuple[Worker, Orders]] = []
        self.done: Counter[str] = Counter()

    def run(self) -> bool:
        """Go on until all is done, or for some hours; return whether it is."""
        for step in range(20_000):
            now = step * 0.7
            for worker in self._crew:
                worker.now = now
            self._let_come(step, now)
            for name in self._lead.workers:
                self._talk(next(worker for worker in self._crew if worker.name == name), now)
            self._deliver_late()
            self._work()
            if self._lead.is_over:
                return True
        return False

    def _let_come(self, step: int, now: float) -> None:
        if len(self._lead.workers) < self._most and self._chance.random() < 0.3:
            worker = Worker(f"w{step}", self._chance.uniform(0, 1e6))
            worker.now = now
            self._crew.append(worker)
            self._lead.admit(worker.name)

    def _talk(self, worker: Worker, now: float) -> None:
        orders, event = self._lead.orders_for(worker.name, now), self._chance.random()
        if event < 0.03:
            self._lead.lose(worker.name)  # it goes on as long as its lease lets it
        elif event < 0.2:
            self._late.append((worker, orders))
        else:
            told = worker.hear(orders)
            if event < 0.9:
                self.done.update(one.location_id for one in self._lead.hear(worker.name, orders, told, now))

    def _deliver_late(self) -> None:
        if self._late and self._chance.random() < 0.2:
            worker, orders = self._late.pop(self._chance.randrange(len(self._late)))
            worker.hear(orders)

    def _work(self) -> None:
        sending = Counter(location for worker in self._crew for location in worker.sending)
        assert not sending or max(sending.values()) == 1, sending
        for worker in self._crew:
            for epoch in list(worker.loading):
                if self._chance.random() < 0.1:
                    worker.finish(epoch)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), locations=st.integers(1, 12), workers=st.integers(1, 4))
def test_no_location_is_ever_on_two_workers(seed: int, locations: int, workers: int) -> None:
    storm = Storm(seed, locations, workers)
    assert storm.run()
    assert storm.done == Counter({f"L{number}": 1 for number in range(locations)})
