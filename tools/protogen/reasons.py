"""The reasons of refusals and failures: names, codes and HTTP statuses from the table of src/base/status.h, which the service
is built from, their meanings from proto/reasons.json."""

import json
import re

from model import Refused


def read(header, meanings):
    """[{reason, code, status, retry_ms?, description}] in the order of the table."""
    table = re.search(r"#define STATUS_REASON_TABLE\(X\)(.*?)\n\n", header, re.S).group(1)
    rows = re.findall(r"X\((\w+), (\w+), (\d+), (\d+)\)", table)
    described = json.loads(meanings)
    for name, _, _, _ in rows:
        if not described.get(name):
            raise Refused(name, "has no meaning in proto/reasons.json")
    for name in described:
        if name not in [row[0] for row in rows]:
            raise Refused(name, "is in proto/reasons.json and not in the table of src/base/status.h")
    return [{"reason": name, "code": code, "status": int(status), **({"retry_ms": int(retry)} if int(retry) else {}),
             "description": described[name]} for name, code, status, retry in rows]
