#!/usr/bin/env python3
"""Write own_cases.json: real Jinja2's results for own_templates.txt.

Each line of own_templates.txt is a template; the character ⏎ means a
newline. A template gets the variables it names out of those of
jinja_cases.json. Needs jinja2==3.1.6 and python-dateutil==2.9.0.
"""

import datetime
import functools
import json
import os
import os.path
import re
import time
import uuid
import warnings
from decimal import Decimal
from pathlib import Path

import dateutil
import dateutil.easter
import dateutil.parser
import dateutil.relativedelta
import dateutil.rrule
import dateutil.tz
import dateutil.utils
import jinja2

HERE = Path(__file__).resolve().parent
ZONE = "Australia/Sydney"


def value(item):
    """A value of a context, as Python has it."""
    if isinstance(item, list):
        return [value(part) for part in item]
    if not isinstance(item, dict):
        return item
    if "$decimal" in item:
        return Decimal(item["$decimal"])
    if "$datetime" not in item:
        return {key: value(part) for key, part in item.items()}
    at = datetime.datetime.fromisoformat(item["$datetime"])
    zones = {
        "tzlocal": dateutil.tz.tzlocal,
        "tzutc": dateutil.tz.tzutc,
        "utc": lambda: datetime.timezone.utc,
    }
    zone = item.get("$tzinfo")
    return at.astimezone(zones[zone]()) if zone else at


def s3_split(name):
    """Bucket and key, as lava splits them."""
    bare = name.removeprefix("s3://") if name.startswith("s3://") else name.removeprefix("s3:")
    bucket, _, key = bare.strip("/").partition("/")
    if not bucket:
        raise ValueError(name)
    return bucket, key.strip("/")


def json_default(item):
    """A value that json.dumps has no type for, as lava shows it."""
    if isinstance(item, datetime.datetime):
        return item.isoformat()
    if isinstance(item, datetime.timedelta):
        return str(item.total_seconds())
    if isinstance(item, Decimal):
        return float(item) if "." in str(item) else int(item)
    return str(item)


UTILS = {
    "date": datetime.date,
    "datetime": datetime.datetime,
    "dateutil": dateutil,
    "parsedate": dateutil.parser,
    "path": os.path,
    "re": re,
    "s3bucket": lambda name: s3_split(name)[0],
    "s3key": lambda name: s3_split(name)[1],
    "time": datetime.time,
    "timedelta": datetime.timedelta,
    "uuid": uuid.uuid4,
    "tojson": functools.partial(json.dumps, default=json_default),
}


def main():
    warnings.simplefilter("ignore")
    os.environ["TZ"] = ZONE
    time.tzset()
    known = {}
    for case in json.loads((HERE / "jinja_cases.json").read_text()):
        for name, item in case["context"].items():
            known.setdefault(name, item)
    cases = []
    lines = (HERE / "own_templates.txt").read_text().splitlines()
    for number, line in enumerate(filter(None, lines), 1):
        template = line.replace("⏎", "\n")
        context = {name: item for name, item in known.items() if name in template}
        case = {"id": f"own-{number:03}", "mode": "text", "tz": ZONE, "template": template, "context": context}
        try:
            variables = {name: value(item) for name, item in context.items()}
            case["expected"] = jinja2.Template(template).render(utils=UTILS, **variables)
        except Exception as error:
            case["error"] = True
            case["error_msg"] = str(error)[:100]
        cases.append(case)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (HERE / "own_cases.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
