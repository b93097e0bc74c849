"""generated/openapi.json and generated/asyncapi.json, read by other people's validators; every example is as its schema says."""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import unittest

import jsonschema
from openapi_spec_validator import OpenAPIV31SpecValidator

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_service import ROOT  # noqa: E402

HERE = pathlib.Path(__file__).parent
OPENAPI = json.loads((ROOT / "generated/openapi.json").read_text())
ASYNCAPI = json.loads((ROOT / "generated/asyncapi.json").read_text())


def validator(schema, document, dialect):
    """References lead into the document."""
    return dialect({**schema, "components": document["components"]}, format_checker=dialect.FORMAT_CHECKER)


def faults(value, schema, document, dialect=jsonschema.Draft202012Validator):
    return ["%s: %s" % (error.json_path, error.message[:300]) for error in validator(schema, document, dialect).iter_errors(value)]


def operations():
    for path, verbs in OPENAPI["paths"].items():
        for verb, operation in verbs.items():
            yield "%s %s" % (verb.upper(), path), operation


class OpenApi(unittest.TestCase):
    def test_it_is_openapi_3_1(self):
        self.assertTrue(OPENAPI["openapi"].startswith("3.1."))
        self.assertEqual([error.message for error in OpenAPIV31SpecValidator(OPENAPI).iter_errors()], [])

    def test_every_call_has_an_example_and_most_have_a_problem(self):
        problems = 0
        for where, operation in operations():
            statuses = [exchange["status"] for exchange in operation["x-exchanges"]]
            self.assertTrue(any(status < 400 for status in statuses), where)
            problems += any(status >= 400 for status in statuses)
        self.assertGreater(problems, 15)

    def test_parameters_are_as_their_schemas_say(self):
        count = 0
        for where, operation in operations():
            for parameter in operation.get("parameters", []):
                for name, example in parameter.get("examples", {}).items():
                    self.assertEqual(faults(example["value"], parameter["schema"], OPENAPI), [],
                                     "%s: %s of %s" % (where, parameter["name"], name))
                    count += 1
        self.assertGreater(count, 40)

    def contents(self):
        for where, operation in operations():
            bodies = [("body", operation["requestBody"]["content"])] if "requestBody" in operation else []
            for status, response in operation["responses"].items():
                bodies.append((status, response.get("content", {})))
            for place, content in bodies:
                for media_type, described in content.items():
                    for name, example in described.get("examples", {}).items():
                        yield "%s: %s, %s of %s" % (where, place, media_type, name), media_type, described["schema"], example["value"]

    def test_bodies_are_as_their_schemas_say(self):
        count = 0
        for where, media_type, schema, value in self.contents():
            values = [json.loads(line) for line in value.splitlines()] if media_type == "application/x-ndjson" else [value]
            for each in values:
                self.assertEqual(faults(each, schema, OPENAPI), [], where)
                count += 1
        self.assertGreater(count, 80)

    def test_a_problem_has_a_reason_of_the_table(self):
        known = {row["reason"]: row for row in OPENAPI["components"]["schemas"]["Problem"]["x-reasons"]}
        seen = set()
        for where, media_type, _, value in self.contents():
            if media_type == "application/problem+json" and "reason" in value:
                self.assertEqual((value["status"], value["code"]), (known[value["reason"]]["status"], known[value["reason"]]["code"]),
                                 where)
                seen.add(value["reason"])
        self.assertGreater(len(seen), 12)


class AsyncApi(unittest.TestCase):
    def parser(self):
        """Its packages, from what scripts/setup has fetched, in the build tree."""
        lock = (HERE / "package-lock.json").read_bytes()
        folder = ROOT / "build" / ("asyncapi-" + hashlib.sha256(lock).hexdigest()[:16])
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name in ("package.json", "package-lock.json", "validate.js"):
                shutil.copy(HERE / name, folder)
            subprocess.run(["npm", "ci", "--prefix", folder, "--cache", ROOT / ".tools/npm", "--offline", "--ignore-scripts",
                            "--no-audit", "--no-fund", "--silent"], check=True, timeout=300)
            (folder / "done").touch()
        shutil.copy(HERE / "validate.js", folder)
        return folder / "validate.js"

    def complaints(self, path):
        return subprocess.run(["node", self.parser(), path], check=True, capture_output=True, text=True, timeout=120).stdout

    def test_it_is_asyncapi_3(self):
        self.assertTrue(ASYNCAPI["asyncapi"].startswith("3.0."))
        self.assertEqual(self.complaints(ROOT / "generated/asyncapi.json"), "")

    def test_the_parser_would_complain(self):
        broken = json.loads(json.dumps(ASYNCAPI))
        broken["operations"]["sendFrames"]["action"] = "shout"
        path = ROOT / "build/asyncapi-broken.json"
        path.write_text(json.dumps(broken))
        self.assertIn("operations.sendFrames.action", self.complaints(path))

    def test_every_frame_and_part_has_examples_as_its_schema_says(self):
        count = 0
        for key, message in ASYNCAPI["components"]["messages"].items():
            self.assertTrue(message["examples"], key)
            for example in message["examples"]:
                found = faults(example["payload"], message["payload"], ASYNCAPI, jsonschema.Draft7Validator)
                if "headers" in message:
                    found += faults(example["headers"], message["headers"], ASYNCAPI, jsonschema.Draft7Validator)
                self.assertEqual(found, [], "%s: %s" % (key, example["name"]))
                count += 1
        self.assertGreater(count, 25)

    def test_the_frames_are_those_of_the_contract(self):
        frames = {message["name"] for key, message in ASYNCAPI["components"]["messages"].items() if key.startswith("Ws")}
        self.assertEqual(frames, {"subscribe", "unsubscribe", "event", "caught_up", "checkpoint", "fell_behind", "subscribed",
                                  "unsubscribed", "closing", "error"})


if __name__ == "__main__":
    unittest.main()
