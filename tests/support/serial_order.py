"""One serial order that explains what many clients were told at once.

What was recorded has its order already: that of positions. Every other answer (a refusal, a replay, a read) must be the
answer at some *point* of that order, and the points must agree with what happened after what: a request that was sent
after another's answer had come stands behind it. Point n is after the first n recorded ones.
"""

import bisect
import itertools


class Asked:
    """A request and its answer. `begun` and `ended` are ticks of one clock, taken before it is sent and after its answer."""

    __slots__ = ("client", "kind", "build", "request", "begun", "ended", "got", "position", "follows", "low", "high", "point",
                 "said", "index")

    def __init__(self, client, kind, build, request):
        self.client, self.kind, self.build, self.request = client, kind, build, request
        self.begun = self.ended = self.got = None
        self.position = None  # of what was recorded; None for every other answer
        self.follows = []     # requests that stand before it although it was sent without waiting for them
        self.low = self.high = self.point = self.index = None
        self.said = []        # what would have been answered instead, point by point


class Ticks:
    """A clock that never shows the same twice; any thread."""

    def __init__(self):
        self._count = itertools.count(1)

    def now(self):
        return next(self._count)


class Unexplained(AssertionError):
    def __init__(self, one, why):
        super().__init__(why)
        self.one = one


def settle(asked, replay, explained):
    """Walks the order: replay(one) for what was recorded, explained(one) → bool for the others, at each point that may be
    theirs until one is. Sets `point` of all; raises Unexplained."""
    made = sorted((one for one in asked if one.position is not None), key=lambda one: one.position)
    rest = sorted((one for one in asked if one.position is None), key=lambda one: one.begun)
    for index, one in enumerate(made):
        one.index = one.point = index
    _check_recorded(made)
    _find_bounds(made, rest)
    for point in range(len(made) + 1):
        rest = _explain_at(point, rest, explained)
        if point < len(made):
            replay(made[point])


def _check_recorded(made):
    latest_begin = 0
    for one in made:
        if one.ended < latest_begin:
            raise Unexplained(one, "it was answered before one was sent that stands before it")
        latest_begin = max(latest_begin, one.begun)
        for before in one.follows:
            if before.index is not None and before.index > one.index:
                raise Unexplained(one, "it stands before one that it follows in its stream")


def _find_bounds(made, rest):
    """The points that time leaves to each: not before what it could know, not behind what could know it."""
    by_end = sorted(made, key=lambda one: one.ended)
    ends = [one.ended for one in by_end]
    known = list(itertools.accumulate((one.index + 1 for one in by_end), max, initial=0))
    by_begin = sorted(made, key=lambda one: one.begun)
    begins = [one.begun for one in by_begin]
    knowing = list(itertools.accumulate((one.index for one in reversed(by_begin)), min, initial=len(made)))[::-1]
    for one in rest:
        one.low = max([known[bisect.bisect_left(ends, one.begun)]] +
                      [before.index + 1 for before in one.follows if before.index is not None])
        one.high = knowing[bisect.bisect_right(begins, one.ended)]
    for one in made:
        for before in one.follows:
            if before.index is None:
                before.high = min(before.high, one.index)


def _explain_at(point, rest, explained):
    """The least point that will do is taken, so it leaves the most room to those behind. Returns who still waits."""
    waiting, first_end = [], float("inf")
    for one in rest:
        ready = one.low <= point and first_end > one.begun and all(
            before.point is not None for before in one.follows)
        if ready and explained(one):
            one.point = point
            continue
        if one.high <= point:
            raise Unexplained(one, "no point from %d to %d explains the answer" % (one.low, one.high))
        waiting.append(one)
        first_end = min(first_end, one.ended)
    return waiting
