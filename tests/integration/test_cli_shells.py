"""Shell completion in real shells, and the manual page under two formatters."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_cli import Terminal, strata  # noqa: E402
from support.strata_service import BINARY, environment  # noqa: E402


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="strata-shells-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "bin").mkdir()
        (self.folder / "bin/strata").symlink_to(BINARY)
        (self.folder / "events.ndjson").touch()
        (self.folder / "data folder").mkdir()
        self.environment = environment({"PATH": "%s:%s" % (self.folder / "bin", os.environ["PATH"]), "HOME": str(self.folder),
                                        "TERM": "dumb"})

    def shell(self, *command, given=None):
        done = subprocess.run(command, cwd=self.folder, env=self.environment, input=given, capture_output=True, text=True,
                              timeout=120)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout.splitlines()


# What is typed, the word at the cursor last, and what must be offered (exactly, or "…" = among others).
CASES = [
    (["ser"], ["serve"]),
    (["lis"], ["list"]),
    (["list", ""], ["aggregates", "events", "operations", "snapshots", "subscriptions"]),
    (["list", "e"], ["events"]),
    (["operation", "start", ""], ["cleanup", "rebuild", "verify"]),
    (["operation", "start", "rebuild", ""], ["cache", "snapshots"]),
    (["tail", "--fo"], ["--follow"]),
    (["tail", "--output", ""], ["auto", "json", "ndjson", "table"]),
    (["tail", "-o", "js"], ["json"]),
    (["completion", ""], ["bash", "fish", "zsh"]),
    (["help", "sna"], ["snapshot"]),
    (["get", "--ev"], ["--events"]),
    (["get", "user-1", "--as-of-p"], ["--as-of-position"]),
    (["append", "--file", "ev"], ["events.ndjson"]),
    (["serve", "--only", "g"], ["gateway"]),
    (["nonsense", ""], []),
]


class Completion(Case):
    def test_bash_offers_what_there_is(self):
        script = self.folder / "case.bash"
        for words, wanted in CASES:
            with self.subTest(words):
                quoted = " ".join("'%s'" % word for word in ["strata", *words])
                script.write_text("source <(strata completion bash)\ncomplete -p strata | grep -q -- '-F _strata'\n"
                                  "COMP_WORDS=(%s)\nCOMP_CWORD=%d\n_strata\nprintf '%%s\\n' \"${COMPREPLY[@]}\"\n" %
                                  (quoted, len(words)))
                self.assertEqual(sorted(line for line in self.shell("bash", "--norc", str(script)) if line), sorted(wanted))

    def test_a_tab_in_an_interactive_bash_completes(self):
        terminal = Terminal(["bash", "--norc", "--noprofile", "-i"], extra={k: self.environment[k] for k in ("PATH", "HOME")} |
                            {"PS1": "ready> ", "TERM": "dumb"}, cwd=self.folder)
        terminal.until("ready> ")
        terminal.type("source <(strata completion bash); bind 'set show-all-if-ambiguous on'\n")
        terminal.until("ready> ")
        terminal.type("strata operation start verify --wat\t")
        terminal.until("--watch")
        terminal.type("\x15strata tail --output=nd\t")
        terminal.until("--output=ndjson")
        terminal.type("\x15strata verify da\t")
        terminal.until("data\\ folder/")
        terminal.type("\x15exit\n")
        self.assertEqual(terminal.end(), 0)

    def test_zsh_offers_what_there_is(self):
        """Its own completion system needs a terminal of its own: zpty, as zsh's own tests use it."""
        script = self.folder / "case.zsh"
        script.write_text(r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1='' ; autoload -Uz compinit; compinit -u -d $PWD/dump; source <(strata completion zsh)"
zpty -w shell "zstyle ':completion:*' list-separator '#'; zstyle ':completion:*' insert-unambiguous false; print RE''ADY"
zpty -r shell seen '*READY*'
zpty -w -n shell "$1"$'\t'
sleep 0.2
zpty -w -n shell $'\t'
zpty -r shell seen "*$2*" && print -r FOUND
zpty -d shell
""")
        for typed, wanted in (("strata oper", "operation"), ("strata tail --foll", "--follow"), ("strata tail -o nd", "ndjson")):
            with self.subTest(typed):
                done = subprocess.run(["timeout", "60", "zsh", "-f", str(script), typed, wanted], cwd=self.folder, env=self.environment,
                                      capture_output=True, text=True)
                self.assertIn("FOUND", done.stdout, done.stderr)

    def test_fish_offers_what_there_is_with_what_it_means(self):
        for words, wanted in CASES:
            with self.subTest(words):
                line = " ".join(["strata", *words])
                lines = self.shell("fish", "--no-config", "-c", "strata completion fish | source; complete -C '%s'" % line)
                offered = [entry.split("\t")[0] for entry in lines]
                self.assertEqual(sorted(offered), sorted(wanted))
        [line] = self.shell("fish", "--no-config", "-c", "strata completion fish | source; complete -C 'strata tail --foll'")
        self.assertIn("until it is interrupted", line)

    def test_every_option_of_every_command_is_offered(self):
        """The help and the completion read one table."""
        names = re.findall(r"(?m)^  ([a-z]+(?: [a-z]+)*)  +\S", strata("--help").stdout.split("To begin:")[0])
        for name in names:
            with self.subTest(name):
                in_help = set(re.findall(r"(?m)^(?:  -.,|     ) (--[a-z-]+)", strata("help", *name.split()).stdout)) - {"--usage"}
                offered = {line.split("\t")[0] for line in strata("__complete", "--", *name.split(), "--").stdout.splitlines()}
                self.assertEqual(offered, in_help)


class ManualPage(Case):
    def page(self):
        path = self.folder / "strata.1"
        path.write_text(strata("man").stdout)
        return path

    def test_mandoc_and_groff_have_nothing_to_say(self):
        lint = subprocess.run(["mandoc", "-Tlint", "-Wall", str(self.page())], capture_output=True, text=True, timeout=60)
        self.assertEqual((lint.returncode, lint.stdout, lint.stderr), (0, "", ""))
        groff = subprocess.run(["man", "--warnings", "-l", str(self.page())], capture_output=True, text=True, timeout=60,
                               env=environment({"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "PAGER": "cat"}))
        self.assertEqual((groff.returncode, groff.stderr), (0, ""))

    def test_every_command_and_option_is_in_it(self):
        text = subprocess.run(["mandoc", "-Tutf8", "-Owidth=200", str(self.page())], capture_output=True, text=True,
                              timeout=60).stdout
        text = re.sub(".\b", "", text)
        names = re.findall(r"(?m)^  ([a-z]+(?: [a-z]+)*)  +\S", strata("--help").stdout.split("To begin:")[0])
        for name in names:
            with self.subTest(name):
                self.assertIn("strata " + name, text)
                for option in re.findall(r"(?m)^(?:  -.,|     ) (--[a-z-]+)", strata("help", *name.split()).stdout):
                    self.assertTrue(option in ("--help", "--usage") or option in text, option)
        for word in ("EXIT STATUS", "NO_COLOR", "ENVIRONMENT"):
            self.assertIn(word, text)


if __name__ == "__main__":
    unittest.main()
