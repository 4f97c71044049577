//! Values that grow.

use crate::harness::End::{Fine, Limit, Refused};
use crate::harness::{attack, run};

/// A template that doubles a value over and over.
fn doubling(start: &str, double: &str, times: usize) -> String {
    let steps = format!("{{% set x = {double} %}}").repeat(times);
    format!("{{% set x = {start} %}}{steps}{{{{ x }}}}")
}

#[test]
fn text_that_grows() {
    run(&[
        attack("doubled text", Limit, doubling("'aaaaaaaa'", "x + x", 40)),
        attack("doubled text by ~", Limit, doubling("'aaaaaaaa'", "x ~ x", 40)),
        attack("doubled text by join", Limit, doubling("'aaaaaaaa'", "[x, x]|join", 40)),
        attack("doubled text by format", Limit, doubling("'aaaaaaaa'", "'%s%s' % (x, x)", 40)),
    ]);
}

#[test]
fn text_that_grows_by_filters() {
    run(&[
        attack("doubled text by str.format", Limit, doubling("'aaaaaaaa'", "'{0}{0}'.format(x)", 40)),
        attack("doubled text by replace", Limit, doubling("'aaaaaaaa'", "x|replace('a', 'aa')", 40)),
        attack("doubled text by sub", Limit, doubling("'aaaaaaaa'", "utils.re.sub('a', 'aa', x)", 40)),
        attack(
            "doubled text by set",
            Limit,
            doubling("'aaaaaaaa'", "x", 1) + &"{% set x %}{{ x }}{{ x }}{% endset %}".repeat(40),
        ),
        attack("text grown by escape", Fine, doubling("'&&&&&&&&'", "x|forceescape", 400)),
        attack("doubled text by tojson", Limit, doubling("'\"\"'", "x|tojson", 400)),
        attack("doubled text by repr", Limit, doubling("'\\\\'", "[x]|string", 60)),
        attack(
            "doubled text by urlencode",
            Limit,
            doubling("'%%%%'", "x|urlencode", 60)
                + &"{% set x = x|urlencode %}{% set x = x + x %}".repeat(60),
        ),
    ]);
}

#[test]
fn lists_that_grow() {
    run(&[
        attack("doubled list", Limit, doubling("[1, 2]", "x + x", 40)),
        attack(
            "doubled list by extend",
            Limit,
            format!("{{% set x = [1, 2] %}}{}", "{% set _ = x.extend(x) %}".repeat(40)),
        ),
        attack("nested references shown", Limit, doubling("[1]", "[x, x]", 60)),
        attack("nested references as JSON", Limit, doubling("[1]", "[x, x]", 60) + "{{ x|tojson }}"),
    ]);
}

#[test]
fn references_that_multiply() {
    run(&[
        attack(
            "nested references compared",
            Limit,
            "{% set x = [1] %}{% set y = [1] %}".to_owned()
                + &"{% set x = [x, x] %}{% set y = [y, y] %}".repeat(60)
                + "{{ x == y }}",
        ),
        attack(
            "nested references as key",
            Limit,
            "{% set x = (1, 2) %}".to_owned() + &"{% set x = (x, x) %}".repeat(60) + "{{ {x: 1} }}",
        ),
    ]);
}

#[test]
fn values_repeated() {
    run(&[
        attack("repeated text", Limit, "{{ 'ab' * 10**10 }}"),
        attack("repeated list", Limit, "{{ [1] * 10**10 }}"),
        attack("repeated by a big number", Refused, "{{ 'ab' * 10**30 }}"),
        attack("repeated nothing", Fine, "{{ '' * 10**18 }}{{ [] * 10**18 }}"),
    ]);
}

#[test]
fn widths_that_are_huge() {
    run(&[
        attack("% width", Limit, "{{ '%0999999999d'|format(1) }}"),
        attack("% precision", Limit, "{{ '%.999999999f'|format(1) }}"),
        attack("% digits", Limit, "{{ '%.999999999d'|format(1) }}"),
        attack("% digits beyond 16 bits", Fine, "{{ '%.100000d'|format(1)|length }}"),
        attack("format width beyond 16 bits", Fine, "{{ '{:100000}{:0100000d}'.format(1, 2)|length }}"),
        attack(
            "strftime width within bounds",
            Fine,
            "{{ utils.date(2026, 1, 1).strftime('%1000d')|length }}",
        ),
        attack("% star", Limit, "{{ '%*d' % (999999999, 1) }}"),
        attack("format width", Limit, "{{ '{:999999999}'.format(1) }}"),
        attack("format huge width", Limit, "{{ '{:99999999999999999999}'.format(1) }}"),
        attack("format precision", Limit, "{{ '{:.999999999f}'.format(1.5) }}"),
    ]);
}

#[test]
fn padding_that_is_huge() {
    run(&[
        attack("center", Limit, "{{ 'a'|center(999999999) }}"),
        attack("ljust", Limit, "{{ 'a'.ljust(999999999) }}"),
        attack("zfill", Limit, "{{ 'a'.zfill(999999999) }}"),
        attack("indent", Limit, "{{ 'a\nb'|indent(999999999) }}"),
        attack("expandtabs", Limit, "{{ 'a\tb'.expandtabs(999999999) }}"),
        attack("tojson indent", Limit, "{{ [1]|tojson(999999999) }}"),
        attack(
            "strftime many",
            Limit,
            "{% for x in range(30) %}{{ utils.date(2026, 1, 1).strftime('%c'*400000)|length }}{% endfor %}",
        ),
        attack("strftime width", Limit, "{{ utils.date(2026, 1, 1).strftime('%999999999d') }}"),
        attack("batch fill", Limit, "{{ [1]|batch(999999999, 0)|list }}"),
        attack("slice", Limit, "{{ [1]|slice(999999999)|list }}"),
    ]);
}

#[test]
fn ranges_that_are_huge() {
    run(&[
        attack("range", Limit, "{{ range(10**12)|list }}"),
        attack("range in a loop", Limit, "{% for x in range(10**12) %}{% endfor %}"),
        attack("range summed", Limit, "{{ range(10**9)|sum }}"),
        attack("lipsum", Limit, "{{ lipsum(10**9)|length }}"),
        attack("lipsum words", Limit, "{{ lipsum(5, min=10**9, max=10**9)|length }}"),
    ]);
}

#[test]
fn numbers_that_grow() {
    run(&[
        attack("power", Limit, "{{ 10 ** (10 ** 10) }}"),
        attack("power of a power", Limit, doubling("3", "x ** 9", 30)),
        attack("squares", Limit, doubling("3", "x * x", 60)),
        attack("power of one", Fine, "{{ (-1) ** 10**30 }}{{ 0 ** 10**30 }}"),
        attack("many digits shown", Limit, "{{ 10 ** 15000 }}"),
        attack("many digits read", Fine, "{{ ('9' * 1000000)|int }}"),
        attack("decimal power", Limit, "{{ 2 ** 99999999999 }}"),
    ]);
}

#[test]
fn output_that_grows() {
    run(&[
        attack("replace", Limit, "{{ ('a' * 10**6)|replace('a', 'b' * 10**6) }}"),
        attack("wrapstring", Limit, "{{ ('a ' * 10**5)|wordwrap(1, wrapstring='b' * 10**4) }}"),
        attack("output", Limit, "{% set x = 'a' * 10**6 %}{% for i in range(1000) %}{{ x }}{% endfor %}"),
    ]);
}
