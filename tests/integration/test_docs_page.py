"""/docs in a browser without a network: everything that the descriptions hold is there, readable and usable."""

import json
import re
import subprocess
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support import api_story, browser  # noqa: E402
from support.strata_service import Service  # noqa: E402

WIDTHS = (320, 768, 1440)
CONTRAST_LEAST = 4.5  # WCAG 2.2, 1.4.3

# The least contrast of a text to what is behind it, with the text: [ratio, text].
CONTRAST = """(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Map();
  let least = [21, ""];
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !node.checkVisibility() || node.closest("noscript")) continue;
    const front = getComputedStyle(node).color, back = behind(node), key = front + back;
    if (seen.has(key)) continue;
    seen.set(key, true);
    const [a, b] = [light(numbers(front)), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least[0]) least = [ratio, texts.currentNode.data.slice(0, 80)];
  }
  return least;
})()"""

# What somebody without a mouse or without eyes would stumble over.
STUMBLES = """(() => {
  const out = [], ids = new Set();
  for (const node of document.querySelectorAll("[id]")) {
    if (ids.has(node.id)) out.push("two elements are " + node.id);
    ids.add(node.id);
  }
  for (const link of document.querySelectorAll("a[href^='#']"))
    if (!ids.has(link.getAttribute("href").slice(1))) out.push("a link leads nowhere: " + link.getAttribute("href"));
  for (const input of document.querySelectorAll("input"))
    if (!input.labels.length) out.push("an input without a label: " + input.id);
  for (const button of document.querySelectorAll("button"))
    if (!(button.getAttribute("aria-label") || button.textContent.trim())) out.push("a button without a name");
  let level = 1;
  for (const heading of document.querySelectorAll("main h1, main h2, main h3, main h4, main h5")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) out.push("a heading skips a level: " + heading.textContent);
    level = own;
  }
  for (const cell of document.querySelectorAll("th")) if (!cell.scope) out.push("a heading of nothing: " + cell.textContent);
  return out;
})()"""


def document(service, path):
    with urllib.request.urlopen(service.http + path) as reply:
        return json.load(reply)


def open_docs(page, service):
    page.open(service.http + "/docs")
    page.wait("document.documentElement?.dataset.drawn === 'true'")


class DocsPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = cls.enterClassContext(Service())
        cls.page = cls.enterClassContext(browser.page())
        open_docs(cls.page, cls.service)
        cls.calls, cls.streams = document(cls.service, "/openapi.json"), document(cls.service, "/asyncapi.json")

    def attributes(self, name):
        return self.page.run("[...document.querySelectorAll('[%s]')].map((each) => each.getAttribute('%s'))" % (name, name))

    def operations(self):
        return [(path, verb, operation) for path, verbs in self.calls["paths"].items() for verb, operation in verbs.items()]

    def test_every_call_is_shown_with_its_path_and_its_examples(self):
        self.assertEqual(sorted(self.attributes("data-operation")), sorted(o["operationId"] for _, _, o in self.operations()))
        shown = self.page.run("""Object.fromEntries([...document.querySelectorAll("[data-operation]")].map((article) =>
            [article.dataset.operation, [article.querySelector(".path").textContent, article.querySelector(".verb").textContent,
             [...article.querySelectorAll(".example summary")].map((each) => each.textContent)]]))""")
        for path, verb, operation in self.operations():
            examples = ["%d%s" % (each["status"], each["summary"]) for each in operation["x-exchanges"]]
            self.assertTrue(examples, path)
            self.assertEqual(shown[operation["operationId"]], [path, verb.upper(), examples])

    def test_every_frame_reason_and_schema_is_shown(self):
        frames = [key for channel in self.streams["channels"].values() for key in channel["messages"]]
        self.assertEqual(sorted(self.attributes("data-frame")), sorted(frames))
        self.assertEqual(set(frames), set(self.streams["components"]["messages"]))
        self.assertEqual(self.attributes("data-reason"), [each["reason"] for each in
                                                          self.calls["components"]["schemas"]["Problem"]["x-reasons"]])
        self.assertEqual(sorted(self.attributes("data-schema")),
                         sorted({*self.calls["components"]["schemas"], *self.streams["components"]["schemas"]}))

    def opened(self, operation, name):
        """The texts inside an example, which are made when it is opened."""
        examples = next(o["x-exchanges"] for _, _, o in self.operations() if o["operationId"] == operation)
        place = next(at for at, each in enumerate(examples) if each["name"] == name)
        return self.page.run("""new Promise((done) => {
            const details = document.querySelectorAll('[data-operation=%s] .example')[%d];
            const texts = () => done([...details.querySelectorAll('pre')].map((each) => each.textContent));
            if (details.open) return texts();
            details.addEventListener('toggle', texts);
            details.querySelector('summary').click();
        })""" % (operation, place))

    def story(self):
        """Calls in the order in which they were documented, but for those that name what another service has made, and those
        that have no end."""
        for path in api_story.chapters():
            for step in json.loads(path.read_text()):
                if "call" in step and "parts" not in step and step["answer"]["status"] != 101 and not re.search(
                        r"operations/0|page_token=|as_of_time=", step["call"]):
                    yield step

    def operation_of(self, step):
        return next(o["operationId"] for _, _, o in self.operations() if any(
            (each["name"], each["method"] + " " + each["target"]) == (step["name"], step["call"]) for each in o["x-exchanges"]))

    def test_the_calls_can_be_pasted_and_are_answered_as_shown(self):
        count = 0
        for step in self.story():
            call, head, *body = self.opened(self.operation_of(step), step["name"])
            self.assertEqual(head.split("\n")[0], str(step["answer"]["status"]))
            done = subprocess.run(["bash", "-c", call], capture_output=True, timeout=60)
            answer_head, _, answer = done.stdout.partition(b"\r\n\r\n")
            self.assertTrue(answer_head.startswith(b"HTTP/1.1 %d " % step["answer"]["status"]), (call, answer_head))
            kind = step["answer"].get("headers", {}).get("Content-Type")
            if kind in ("application/json", "application/problem+json") and b"gzip" not in answer_head and not step.get("partly"):
                soon = {"processed_at"}  # an event has it when its second is over
                self.assertEqual(set(json.loads(answer)) - soon, set(json.loads(body[0])) - soon, call)
            count += 1
        self.assertGreater(count, 60)

    def test_a_frame_can_be_opened(self):
        details = "document.querySelector('[data-frame=WsFellBehind] .example')"
        self.page.run("%s.querySelector('summary').click()" % details)
        self.page.wait("%s.querySelector('pre') !== null" % details)
        self.assertEqual(json.loads(self.page.run("%s.querySelector('pre').textContent" % details))["type"], "fell_behind")

    def test_a_call_is_copied_or_marked(self):
        self.opened("AppendEvents", "several_aggregates")
        self.page.run("document.querySelector('[data-operation=AppendEvents] .example .box button').click()")
        self.page.wait("/^Call (copied|selected)$/.test(document.getElementById('said').textContent)")

    def test_a_get_can_be_tried(self):
        form = "document.querySelector('[data-operation=ListEvents] .try form')"
        self.page.run("%s.closest('details').open = true" % form)
        self.page.run("%s.querySelector('#ListEvents-page_size').value = '1'" % form)
        self.page.run("%s.querySelector('button').click()" % form)
        result = "document.querySelector('[data-operation=ListEvents] .result')"
        self.page.wait("%s.querySelector('.code') !== null" % result)
        self.assertEqual(self.page.run("%s.querySelector('.code').textContent" % result), "200")
        self.assertIn("next_page_token", self.page.run("%s.querySelector('pre').textContent" % result))

    def test_the_contents_can_be_searched(self):
        find = "(() => { const i = document.getElementById('search'); i.value = '%s'; i.dispatchEvent(new Event('input')); " \
               "return [...document.querySelectorAll('#index li')].filter((e) => e.checkVisibility()).map((e) => e.textContent) })()"
        self.assertEqual(self.page.run(find % "post publish"), ["POSTPublishEvent"])
        self.assertEqual(self.page.run("document.getElementById('found').textContent"), "1 entry")
        self.assertEqual(self.page.run(find % "no such thing"), [])
        self.assertGreater(len(self.page.run(find % "")), 100)

    def test_it_is_readable_in_the_light_and_in_the_dark(self):
        grounds = set()
        for scheme in ("light", "dark"):
            self.page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            ratio, text = self.page.run(CONTRAST)
            self.assertGreaterEqual(ratio, CONTRAST_LEAST, "%s: %r" % (scheme, text))
            grounds.add(self.page.run("getComputedStyle(document.body).backgroundColor"))
        self.assertEqual(len(grounds), 2)

    def test_it_fits_every_width(self):
        for width in WIDTHS:
            self.page.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
            self.assertLessEqual(self.page.run("document.scrollingElement.scrollWidth"), width)
        self.page.call("Emulation.clearDeviceMetricsOverride")

    def test_nobody_stumbles(self):
        self.assertEqual(self.page.run(STUMBLES), [])

    def test_the_policy_lets_no_other_script_run(self):
        with browser.page() as page:
            open_docs(page, self.service)
            self.assertEqual(page.complaints, [])
            page.run("(() => { const s = document.createElement('script'); s.textContent = 'window.ran = true'; "
                     "document.head.append(s); document.body.setAttribute('onclick', 'window.ran = true'); "
                     "document.body.click(); })()")
            page.run("fetch('http://127.0.0.1:1/').catch(() => null)")
            self.assertIsNone(page.run("window.ran"))
            deadline = time.monotonic() + browser.WAIT_S
            while not any("Content Security Policy" in text for text in page.complaints):  # told beside the answers
                self.assertLess(time.monotonic(), deadline, page.complaints)
                time.sleep(0.02)

    def test_it_is_served_over_both_protocols_and_to_nobody_elses_name(self):
        for protocol, shown in (("--http1.1", "HTTP/1.1"), ("--http2-prior-knowledge", "HTTP/2")):
            ask = lambda *more: subprocess.run(["curl", "-s", "-i", protocol, *more, self.service.http + "/docs/"], check=True,
                                               capture_output=True, text=True, timeout=60).stdout
            head, _, body = ask().replace("\r", "").partition("\n\n")
            self.assertTrue(head.startswith(shown + " 200"), head)
            self.assertTrue(body.startswith("<!doctype html>"), body[:100])
            tag = re.search(r"(?i)^etag: (.*)$", head, re.M).group(1)
            self.assertTrue(ask("-H", "If-None-Match: " + tag).startswith(shown + " 304"))
            # A page of somebody else whose name leads to loopback must not be served.
            self.assertRegex(ask("-H", "Host: rebound.example"), r"^%s 4\d\d" % shown)

    @classmethod
    def tearDownClass(cls):
        """At the end of all of them: nothing was asked of anybody else, and nothing was complained about."""
        strangers = [url for url in cls.page.requests if not url.startswith(cls.service.http + "/")]
        assert strangers == [], strangers
        assert {url[len(cls.service.http):] for url in cls.page.requests} >= {
            "/docs", "/docs/docs.css", "/docs/docs.js", "/openapi.json", "/asyncapi.json"}, cls.page.requests
        assert cls.page.complaints == [], cls.page.complaints


if __name__ == "__main__":
    unittest.main()
