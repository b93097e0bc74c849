"""Every example of the API reference, carried out in the order of its story: each answer is the documented one.

    .venv/bin/python tests/integration/test_api_examples.py --record    writes what the service answers into proto/examples
"""

import difflib
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support import api_story  # noqa: E402
from support.strata_service import Service  # noqa: E402


class Examples(unittest.TestCase):
    def test_each_is_answered_as_documented(self):
        with Service() as service:
            texts = api_story.play(service)
        for path, text in texts.items():
            with self.subTest(path.name):
                difference = difflib.unified_diff(path.read_text().splitlines(), text.splitlines(), "documented", "answered",
                                                  lineterm="", n=8)
                shown = "\n".join(list(difference)[:200])
                if shown:
                    self.fail("%s is not what the service answers; if that is right: %s --record, then scripts/generate\n%s" %
                              (path.name, sys.argv[0], shown))


def record():
    with Service() as service:
        for path, text in api_story.play(service).items():
            path.write_text(text)


if __name__ == "__main__":
    if "--record" in sys.argv:
        record()
    else:
        unittest.main()
