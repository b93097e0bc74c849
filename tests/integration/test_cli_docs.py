"""Every command that docs/cli.md shows is run, in its order, against a real service."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_cli import SANITIZER_ERRNO, on_terminal, strata  # noqa: E402
from support.strata_service import BINARY, ROOT, Service, environment  # noqa: E402

SHOWN = re.compile(r"(?ms)^```console\n(.*?)^```")
EXIT_CODES = {"timeout": 124}  # `timeout` ends a follower with SIGINT and says so
MAY_BE_EMPTY = ("strata list subscriptions",)
# What the documents leave at its default is here the port of the test's service.
WRAPPER = """#!/bin/bash
case " $* " in
    " verify "* | " completion "* | " man "* | *" --path "*) exec %(binary)s "$@" ;;
    *" --address "*) exec %(binary)s "${@//127.0.0.1:50051/%(address)s}" ;;
esac
exec %(binary)s "$@" --address %(address)s
"""


def shown_commands():
    text = (ROOT / "docs/cli.md").read_text()
    return [line[2:] for block in SHOWN.findall(text) for line in block.splitlines() if line.startswith("$ ")]


class Docs(unittest.TestCase):
    def test_each_command_does_what_it_is_shown_for(self):
        commands = shown_commands()
        self.assertGreater(len(commands), 40)
        with tempfile.TemporaryDirectory(prefix="strata-docs-") as folder, Service() as service:
            wrapper = pathlib.Path(folder) / "bin/strata"
            wrapper.parent.mkdir()
            wrapper.write_text(WRAPPER % {"binary": BINARY, "address": service.grpc})
            wrapper.chmod(0o755)
            for command in commands:
                with self.subTest(command):
                    done = self.run_shown(command, folder, wrapper.parent)
                    self.assertEqual(done.returncode, EXIT_CODES.get(command.split()[0], 0), done.stderr)
                    self.assertTrue(done.stdout or done.stderr or ">" in command or command in MAY_BE_EMPTY, command)

    @staticmethod
    def run_shown(command, folder, programs):
        for _ in range(5):
            done = subprocess.run(["bash", "-c", command], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=120, env=environment({"PATH": "%s:%s" % (programs, os.environ["PATH"])}))
            if "TSAN_OPTIONS" not in os.environ or SANITIZER_ERRNO not in done.stderr:
                break
        return done

    def test_every_command_of_the_program_is_in_it(self):
        text = (ROOT / "docs/cli.md").read_text()
        names = re.findall(r"(?m)^  ([a-z]+(?: [a-z]+)*)  +\S", strata("--help").stdout.split("To begin:")[0])
        for name in names:
            with self.subTest(name):
                last = name.split()[-1]
                self.assertTrue("strata " + name in text or "operation " + last in text or name in ("serve", "event"), name)


class Operations(unittest.TestCase):
    def test_an_operation_is_started_watched_and_told_by_the_exit_code(self):
        with Service() as service:
            def run(*arguments, code=0):
                done = strata(*arguments, "-a", service.grpc)
                self.assertEqual(done.returncode, code, done.stderr)
                return [json.loads(line) for line in done.stdout.splitlines()]
            run("append", "-t", "custom", "-i", "a", "-y", "custom", "{}")
            [plan] = run("operation", "start", "verify", "--dry-run")
            self.assertEqual(plan["id"], "")
            [ended] = run("operation", "start", "verify", "--watch")
            self.assertEqual((ended["state"], ended["done"]), ("SUCCEEDED", 1))
            [again] = run("operation", "watch", ended["id"])
            self.assertEqual(again["result"], ended["result"])
            [begun] = run("operation", "start", "verify", "--from", "1")
            self.assertIn(begun["state"], ("RUNNING", "SUCCEEDED"))
            self.assertEqual({row["id"] for row in run("list", "operations")}, {ended["id"], begun["id"]})
            wrong = "00" * 32
            run("append", "-t", "custom", "-i", "a", "{}")
            run("operation", "watch", begun["id"])
            done = strata("operation", "start", "verify", "--from", "2", "--chain", wrong, "--watch", "-a", service.grpc)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertEqual(json.loads(done.stdout)["state"], "FAILED")
            run("operation", "cancel", ended["id"])
            code, screen = on_terminal("operation", "watch", ended["id"], "-a", service.grpc)
            self.assertEqual(code, 0, screen)
            self.assertRegex(screen, r"running  \[#+\] 100 %")
            run("operation", "get", "nothing", code=1)
            for arguments in (("cleanup",), ("rebuild",), ("rebuild", "world"), ("verify", "--chain", "xyz"), ("verify", "--from", "0")):
                self.assertEqual(strata("operation", "start", *arguments).returncode, 2, arguments)


if __name__ == "__main__":
    unittest.main()
