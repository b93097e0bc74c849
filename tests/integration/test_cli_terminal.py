"""What a person sees: tables and colours on a real terminal, JSON in a pipe, and nothing of others that a terminal obeys."""

import json
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_cli import COLOR, on_terminal, strata  # noqa: E402
from support.strata_service import Service  # noqa: E402

CSI = "\u009b"  # "ESC [" in one character: terminals obey it
BACKWARD = "\u202e"  # writes what follows from right to left
HIDDEN = "\u200b"


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service().start()
        for n in range(3):
            status, _, reply = cls.service.request("POST", "/api/v1/events/publish", {
                "type": "custom", "aggregate_id": "ledger-%d" % n, "aggregate_type": "custom",
                "data": {"text": "x" * 400, "n": n}})
            assert status == 201, reply

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.service.remove()

    def seen(self, *arguments, code=0, **how):
        ended, text = on_terminal(*arguments, "-a", self.service.grpc, **how)
        self.assertEqual(ended, code, text)
        return text

    def piped(self, *arguments, code=0, **how):
        done = strata(*arguments, "-a", self.service.grpc, **how)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout


class Tables(Case):
    def test_a_list_is_a_table_on_a_terminal_and_a_line_each_in_a_pipe(self):
        lines = COLOR.sub("", self.seen("list", "aggregates")).splitlines()
        self.assertEqual(lines[0].split(), ["ID", "TYPE", "VERSION", "ACTIVE", "UPDATED", "STATE"])
        self.assertEqual([line.split()[0] for line in lines[1:4]], ["ledger-0", "ledger-1", "ledger-2"])
        rows = [json.loads(line) for line in self.piped("list", "aggregates").splitlines()]
        self.assertEqual([row["id"] for row in rows[:3]], ["ledger-0", "ledger-1", "ledger-2"])

    def test_each_format_can_be_asked_for(self):
        self.assertTrue(self.piped("list", "events", "--output", "table").startswith("POSITION TIME"))
        array = json.loads(self.piped("list", "events", "-n", "3", "--output", "json"))
        self.assertEqual([event["position"] for event in array], ["1", "2", "3"])
        on_screen = [json.loads(line) for line in self.seen("list", "events", "-n", "3", "-o", "ndjson").splitlines()[:3]]
        self.assertEqual(on_screen, array)
        self.assertEqual(json.loads(self.piped("list", "snapshots", "-o", "json")), [])
        self.assertEqual(self.piped("list", "snapshots"), "")

    def test_one_object_is_names_and_values_with_its_lists_below(self):
        text = COLOR.sub("", self.seen("get", "ledger-1", "--events", columns=200))
        self.assertRegex(text, r"(?m)^id +ledger-1 *$")
        self.assertRegex(text, r"(?m)^version +1 *$")
        self.assertRegex(text, r"(?m)^POSITION TIME +TYPE +AGGREGATE +VERSION +DATA")
        health = COLOR.sub("", self.seen("health"))
        self.assertRegex(health, r"(?m)^event_store +HEALTHY +true")

    def test_a_narrow_terminal_cuts_the_data_and_nothing_else(self):
        lines = COLOR.sub("", self.seen("list", "events", columns=90)).splitlines()
        self.assertTrue(all(len(line) <= 90 for line in lines[:4]), lines)
        self.assertIn("ledger-2", lines[3])
        wide = COLOR.sub("", self.seen("list", "events", columns=700))
        self.assertIn("x" * 400, wide)

    def test_a_longer_list_says_that_there_is_more(self):
        done = strata("list", "events", "-a", self.service.grpc, "--limit", "2")
        self.assertEqual((len(done.stdout.splitlines()), done.returncode), (2, 0))
        self.assertIn("--limit", done.stderr)
        done = strata("list", "events", "-a", self.service.grpc, "--limit", "0")
        self.assertEqual(done.stderr, "")


class Colours(Case):
    def test_a_terminal_gets_colours_and_a_pipe_none(self):
        self.assertRegex(self.seen("list", "aggregates"), COLOR)
        self.assertNotRegex(self.piped("list", "aggregates", "-o", "table"), COLOR)

    def test_who_wants_none_gets_none(self):
        for extra, options in (({"NO_COLOR": "1"}, ()), ({}, ("--color", "never")), ({"TERM": "dumb"}, ()),
                               ({"NO_COLOR": "1"}, ("--color", "auto"))):
            with self.subTest((extra, options)):
                self.assertNotRegex(self.seen("list", "aggregates", *options, extra=extra), COLOR)

    def test_who_asks_for_colours_gets_them(self):
        self.assertRegex(self.seen("list", "aggregates", "--color", "always", extra={"NO_COLOR": "1"}), COLOR)
        self.assertRegex(self.piped("list", "aggregates", "-o", "table", "--color=always"), COLOR)
        self.assertRegex(self.seen("list", "aggregates", extra={"NO_COLOR": ""}), COLOR)  # empty counts as not set

    def test_a_state_has_its_colour(self):
        self.assertIn("\x1b[32mHEALTHY", self.seen("health"))


class Hostile(Case):
    """Ids and data come from anybody; a terminal that obeys them shows lies or worse."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.id = "evil" + BACKWARD + HIDDEN + "x"
        cls.text = "a" + CSI + "2J" + BACKWARD + "b\u2028c\x7f"
        status, _, reply = cls.service.request("POST", "/api/v1/events/publish", json.dumps({
            "type": "custom", "aggregate_id": cls.id, "aggregate_type": "custom",
            "data": {"text": cls.text, "escaped": "\x1b[31m"}}, ensure_ascii=False).encode())
        assert status == 201, reply

    def assert_harmless(self, text):
        plain = COLOR.sub("", text)
        for character in plain:
            point = ord(character)
            self.assertFalse(point < 0x20 and character != "\n" or 0x7f <= point < 0xa0, hex(point))
        for character in (CSI, BACKWARD, HIDDEN, "\u2028"):
            self.assertNotIn(character, plain)

    def test_no_command_sends_it_to_a_terminal(self):
        for command in (("get", self.id), ("get", self.id, "--events"), ("list", "aggregates", "--state"), ("list", "events"),
                        ("list", "events", "-o", "json"), ("get", self.id, "-o", "ndjson"), ("tail",), ("tail", "-o", "json"),
                        ("append", "-t", "custom", "-i", self.id, "--dry-run", '{"again":"%s"}' % CSI)):
            with self.subTest(command):
                text = self.seen(*command, columns=400)
                self.assert_harmless(text)
                self.assertIn("evil\\u202e", text)

    def test_it_is_the_same_json_though(self):
        on_screen = json.loads(self.seen("get", self.id, "-o", "json", columns=400))
        self.assertEqual(on_screen["id"], self.id)
        self.assertEqual(on_screen["state"]["text"], self.text)
        piped = self.piped("get", self.id)
        self.assertEqual(json.loads(piped), on_screen)
        self.assertIn(BACKWARD, piped)  # a program gets it byte for byte

    def test_messages_are_harmless_too(self):
        status, text = on_terminal("get", "nobody" + BACKWARD, "-a", self.service.grpc)
        self.assertEqual(status, 1)
        self.assert_harmless(text)
        self.assertIn("AGGREGATE_UNKNOWN", text)


if __name__ == "__main__":
    unittest.main()
