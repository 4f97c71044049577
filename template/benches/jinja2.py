#!/usr/bin/env python3
"""Measure Python's Jinja2 on the templates of templates.json.

Makes a virtual environment of its own (in the folder given as argument, else
in the system's temporary folder) with the versions lava pins, and prints
microseconds a rendering. Compare with `cargo bench -p pumice-template`.
"""

import json
import os
import subprocess
import sys
import tempfile
import timeit
from pathlib import Path

PINS = ["jinja2==3.1.6", "python-dateutil==2.9.0"]
HERE = Path(__file__).resolve().parent


def in_environment(folder: Path) -> None:
    """Run this script again in a virtual environment with the pinned versions."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PINS], check=True)
    env = dict(os.environ, PUMICE_BENCH_INSIDE="1")
    sys.exit(subprocess.run([python, __file__], env=env).returncode)


def microseconds(call) -> float:
    """The best of five runs of half a second, a call."""
    timer = timeit.Timer(call)
    count, _ = timer.autorange()
    return min(timer.repeat(5, count)) / count * 1e6


def main() -> None:
    import re
    from datetime import datetime, timedelta

    import dateutil.parser
    import dateutil.relativedelta
    import dateutil.tz
    import jinja2

    data = json.loads((HERE / "templates.json").read_text())
    zone = dateutil.tz.gettz(data["zone"])
    start = dateutil.parser.isoparse(data["start"]).astimezone(zone)
    utils = {
        "timedelta": timedelta,
        "datetime": datetime,
        "dateutil": dateutil,
        "parsedate": dateutil.parser,
        "re": re,
    }
    context = dict(data["context"], start=start, utils=utils)
    for template in data["templates"]:
        compiled = jinja2.Template(template["text"])
        print(f"render/{template['name']}: {microseconds(lambda: compiled.render(context)):.2f} us")
    env = jinja2.Environment()
    text = data["compile"]
    print(f"compile/{len(text)} bytes: {microseconds(lambda: env.from_string(text)):.2f} us")


if __name__ == "__main__":
    if os.environ.get("PUMICE_BENCH_INSIDE") != "1":
        default = Path(tempfile.gettempdir()) / "pumice-jinja2"
        in_environment(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
    main()
