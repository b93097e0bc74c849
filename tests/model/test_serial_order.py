"""The order that races are explained with accepts what can have been so, and nothing else.

The store here is a counter: each recorded request adds one, each read tells how many were added.
"""

import sys
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.serial_order import Asked, Unexplained, settle  # noqa: E402


def add(position, begun, ended, follows=()):
    return made(position, begun, ended, None, follows)


def read(value, begun, ended, follows=()):
    return made(None, begun, ended, value, follows)


def made(position, begun, ended, got, follows):
    one = Asked(0, "add" if position else "read", None, None)
    one.position, one.begun, one.ended, one.got, one.follows = position, begun, ended, got, list(follows)
    return one


def explains(asked):
    count = [0]

    def replay(_):
        count[0] += 1
    try:
        settle(asked, replay, lambda one: one.got == count[0])
    except Unexplained:
        return False
    return True


class SerialOrder(unittest.TestCase):
    def check(self, possible, why, asked):
        self.assertEqual(explains(asked), possible, why)

    def test_a_read_during_an_addition_may_stand_on_either_side(self):
        for value in (0, 1):
            self.check(True, value, [add(1, 1, 4), read(value, 2, 3)])
        self.check(False, "nobody added two", [add(1, 1, 4), read(2, 2, 3)])

    def test_what_was_answered_before_is_known(self):
        self.check(True, "seen", [add(1, 1, 2), read(1, 3, 4)])
        self.check(False, "forgotten", [add(1, 1, 2), read(0, 3, 4)])
        self.check(False, "the second answer says that the first is there", [add(1, 1, 6), add(2, 2, 3), read(1, 4, 5)])

    def test_what_is_sent_later_is_not_known(self):
        self.check(True, "unseen", [read(0, 1, 2), add(1, 3, 4)])
        self.check(False, "foreseen", [read(1, 1, 2), add(1, 3, 4)])

    def test_reads_one_after_the_other_never_go_back(self):
        self.check(True, "forward", [add(1, 1, 6), read(0, 2, 3), read(1, 4, 5)])
        self.check(False, "back", [add(1, 1, 6), read(1, 2, 3), read(0, 4, 5)])
        self.check(True, "beside one another they may", [add(1, 1, 6), read(1, 2, 4), read(0, 3, 5)])
        self.check(False, "back by way of a third", [
            add(1, 1, 20), add(2, 2, 21), read(2, 3, 4), read(2, 5, 6), read(1, 7, 8)])

    def test_positions_follow_time(self):
        self.check(True, "beside one another", [add(2, 1, 3), add(1, 2, 4)])
        self.check(False, "one after the other", [add(2, 1, 2), add(1, 3, 4)])

    def test_a_stream_is_followed_without_waiting(self):
        first = add(1, 1, 9)
        self.check(False, "sent behind it and not knowing it", [first, read(0, 2, 8, [first])])
        first = read(1, 1, 9)
        self.check(False, "knowing what was sent behind it", [first, add(1, 2, 8, [first])])
        first = add(2, 1, 9)
        self.check(False, "recorded behind what was sent behind it", [first, add(1, 2, 8, [first])])
        first = read(1, 1, 8)
        self.check(False, "an answer older than the one before", [first, read(0, 2, 9, [first]), add(1, 3, 7)])


if __name__ == "__main__":
    unittest.main()
