"""Renders templates with Jinja2 and lava's utilities, for the test that compares them with Pumice.

Reads a line of JSON with the variables, then one template a line. Writes a line of JSON for each: its
rendering, or its error.
"""

import datetime
import json
import resource
import signal
import sys
import warnings
from decimal import Decimal

import dateutil.easter
import dateutil.rrule
import dateutil.tz
import dateutil.utils
import jinja2
from lava.lavacore import JINJA_UTILS

# Seconds that a template may take, and bytes that all may.
SECONDS = 2
MEMORY = 2 << 30

ZONES = {
    "tzlocal": dateutil.tz.tzlocal,
    "tzutc": dateutil.tz.tzutc,
    "utc": lambda: datetime.timezone.utc,
}


def value(item):
    """A variable, as lava has it."""
    if isinstance(item, list):
        return [value(part) for part in item]
    if not isinstance(item, dict):
        return item
    if "$decimal" in item:
        return Decimal(item["$decimal"])
    if "$datetime" in item:
        at = datetime.datetime.fromisoformat(item["$datetime"])
        zone = item.get("$tzinfo")
        return at.astimezone(ZONES[zone]()) if zone else at
    return {key: value(part) for key, part in item.items()}


def too_long(*_):
    raise TimeoutError("the template takes too long")


def main():
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, too_long)
    variables = json.loads(sys.stdin.readline())
    for line in sys.stdin:
        signal.alarm(SECONDS)
        try:
            # Templates change lists: each gets its own.
            text = jinja2.Template(json.loads(line)).render(utils=JINJA_UTILS, **value(variables))
            answer = {"text": text}
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:200]}
        signal.alarm(0)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
