#!/usr/bin/env python3
"""Write decimal_cases.json: real Jinja2's results with Python's Decimals, at and beyond their 28 digits.

Values of a DynamoDB item have up to 38 digits. Needs jinja2==3.1.6.
"""

import json
from decimal import Decimal
from pathlib import Path

import jinja2

HERE = Path(__file__).resolve().parent
NUMBERS = [
    "0", "0.000", "-0.5", "10.50", "2.5", "1E+3", "-1E+3", "1E-30", "7", "123456789.987654321",
    "1234567890123456789012345678", "12345678901234567890123456789", "99999999999999999999999999995",
    "1.2345678901234567890123456789012345678", "-9.999999999999999999999999999999999", "1E+28", "1E+40", "9E+100",
]
ALONE = [
    "d", "-d", "+d", "d|abs", "d|string", "d|int", "d|float", "d|round", "d|round(2)", "d|round(-2)", "d|round(26)",
    "d|round(30)", "d|round(500)", "d|round(0, 'floor')", "d|round(1, 'ceil')", "d.to_integral_value()", "d.copy_abs()",
    "d.is_zero()", "d.is_signed()", "d + 0", "d - 0", "d * 1", "d / 1", "d // 1", "d % 1", "d ** 2", "d ** 3", "d ** -1",
    "1 // d", "1 % d", "10 ** 30 // d", "10 ** 30 % d", "10 ** 30 + d", "[d, d]|sum", "'%.2f'|format(d)", "'%d'|format(d)",
    "'%s'|format(d)", "'%e'|format(d)", "'{:.3f}'.format(d)", "'{:,}'.format(d)", "'{:,.2f}'.format(d)", "'{:e}'.format(d)",
    "'{:.3e}'.format(d)", "'{:g}'.format(d)", "'{:.4g}'.format(d)", "'{:10}|'.format(d)", "'{:%}'.format(d)",
    "d is number", "d is integer", "d is float", "d > 2", "d == 7", "d in [7, 10.5]", "[d, 3]|max", "[d, 3]|sort",
    "d|filesizeformat", "{d: 1}", "[d, 7]|unique|list", "d|tojson", "d and 'y' or 'n'",
]
PAIRS = ["d + e", "d - e", "d * e", "d / e", "d // e", "d % e", "d.quantize(e)", "d == e", "d < e", "[d, e]|max"]


def main():
    """Render every template with every number."""
    environment = jinja2.Environment()
    cases = []

    def render(template, context):
        try:
            return environment.from_string("{{ " + template + " }}").render(context)
        except Exception as error:  # Python's errors are as many as its functions.
            return {"error": f"{type(error).__name__}: {error}"}

    for template in ALONE:
        made = [render(template, {"d": Decimal(d)}) for d in NUMBERS]
        cases.append({"template": template, "expected": made})
    for template in PAIRS:
        made = [[render(template, {"d": Decimal(d), "e": Decimal(e)}) for e in NUMBERS] for d in NUMBERS]
        cases.append({"template": template, "expected": made})
    lines = ",\n".join(json.dumps(case) for case in cases)
    numbers = json.dumps(NUMBERS)
    (HERE / "decimal_cases.json").write_text(f'{{"numbers": {numbers},\n"cases": [\n{lines}\n]}}\n')


main()
