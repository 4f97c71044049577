//! Work without end, and values without bottom.

use crate::harness::End::{Fine, Limit};
use crate::harness::{attack, run};

#[test]
fn code_that_does_not_end() {
    run(&[
        attack(
            "nested loops",
            Limit,
            "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
        ),
        attack("endless macro", Limit, "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
        attack(
            "macros in turn",
            Limit,
            "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
        ),
        attack(
            "branching macros",
            Limit,
            "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        ),
        attack(
            "endless caller",
            Limit,
            "{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall %}{% endmacro %}{{ g() }}",
        ),
        attack("endless recursive loop", Limit, "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
        attack("block within itself", Limit, "{% block a %}{{ self.a() }}{% endblock %}"),
    ]);
}

#[test]
fn work_on_long_lists() {
    run(&[
        attack(
            "map of map",
            Limit,
            "{% set x = range(1000)|list %}{% for i in range(10000) %}{% set _ = x|map('string')|map('upper')|list %}{% endfor %}",
        ),
        attack(
            "long sorts",
            Limit,
            "{% set x = ('ab' * 20000)|list %}{% for i in range(10000) %}{% set _ = x|sort %}{% endfor %}",
        ),
        attack(
            "sorting equal lists",
            Fine,
            "{% set y = [0] * 30000 %}{% set x = [y] * 3000 %}{{ x|sort|length }}",
        ),
        attack(
            "looking for the absent",
            Limit,
            "{% set x = range(200000)|list %}{% for i in range(10000) %}{% if -1 in x %}{% endif %}{% endfor %}",
        ),
        attack(
            "long text searched",
            Limit,
            "{% set x = 'a' * 10**6 %}{% for i in range(100000) %}{% if 'b' in x %}{% endif %}{% endfor %}",
        ),
    ]);
}

#[test]
fn work_on_long_text() {
    run(&[
        attack(
            "long text indexed",
            Limit,
            "{% set x = 'é' * 10**6 %}{% for i in range(100000) %}{% set _ = x[-1] %}{% endfor %}",
        ),
        attack(
            "long text counted",
            Limit,
            "{% set x = 'é' * 10**6 %}{% for i in range(100000) %}{% set _ = x|length %}{% endfor %}",
        ),
        attack(
            "long text upper",
            Limit,
            "{% set x = 'a' * 10**6 %}{% for i in range(100000) %}{% set _ = x.upper() %}{% endfor %}",
        ),
        attack(
            "inserting at the front",
            Limit,
            "{% set x = [] %}{% for i in range(10**6) %}{% set _ = x.insert(0, i) %}{% endfor %}",
        ),
        attack(
            "removing from a dict",
            Limit,
            "{% set d = dict(range(200000)|batch(2)) %}{% for i in range(100000) %}{% set _ = d.pop(i, 0) %}{% endfor %}",
        ),
    ]);
}

#[test]
fn work_on_long_dates() {
    run(&[
        attack(
            "stripping many characters",
            Fine,
            "{% set x = 'a' * 10**6 %}{{ x.strip('b' * 10**6 + 'a') }}",
        ),
        attack("long date", Limit, "{{ utils.parsedate.parse('1 ' * 10**6) }}"),
        attack(
            "dates in a loop",
            Limit,
            "{% for i in range(10**6) %}{% set _ = utils.parsedate.parse('2026-03-01T04:05:06Z') %}{% endfor %}",
        ),
        attack(
            "formats in a loop",
            Limit,
            "{% for i in range(10**6) %}{% set _ = utils.datetime.strptime('%d' % i, '%f') %}{% endfor %}",
        ),
    ]);
}

#[test]
fn values_that_are_deep_or_hold_themselves() {
    let nest = |wrap: &str| {
        format!(
            "{{% set ns = namespace(x=0) %}}{{% for i in range(100000) %}}{{% set ns.x = {wrap} %}}{{% endfor %}}"
        )
    };
    run(&[
        attack("deep list", Fine, nest("[ns.x]")),
        attack("deep list shown", Limit, nest("[ns.x]") + "{{ ns.x }}"),
        attack("deep tuple", Fine, nest("(ns.x,)")),
        attack("deep dict", Fine, nest("{1: ns.x}")),
        attack("deep iterator", Fine, nest("[ns.x]|select('defined')")),
        attack("deep view", Fine, nest("{1: ns.x}.items()")),
        attack("deep method", Fine, nest("[ns.x].append")),
        attack("deep cycler", Fine, nest("cycler(ns.x)")),
        attack("deep namespace", Fine, nest("namespace(y=ns.x)")),
        attack("deep undefined", Fine, nest("[ns.x].nope")),
        attack(
            "deep from outside in",
            Fine,
            "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set y = [] %}{% set _ = ns.x.append(y) %}{% set ns.x = y %}{% endfor %}",
        ),
        attack(
            "deep lists compared",
            Limit,
            "{% set ns = namespace(x=0, y=0) %}{% for i in range(50000) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
        ),
        attack("list within itself", Fine, "{% set x = [1] %}{% set _ = x.append(x) %}{{ x }}"),
        attack(
            "list within itself as JSON",
            Limit,
            "{% set x = [1] %}{% set _ = x.append(x) %}{{ x|tojson }}",
        ),
        attack("dict within itself", Fine, "{% set x = {} %}{% set _ = x.update(a=x) %}{{ x }}"),
        attack(
            "namespace within itself",
            Fine,
            "{% set x = namespace() %}{% set x.x = x %}{{ x.x.x is defined }}",
        ),
        attack("namespace within itself shown", Limit, "{% set x = namespace() %}{% set x.x = x %}{{ x }}"),
        attack(
            "lists within each other compared",
            Limit,
            "{% set x = [] %}{% set y = [] %}{% set _ = x.append(y) %}{% set _ = y.append(x) %}{{ x == y }}",
        ),
        attack(
            "lists within each other sorted",
            Limit,
            "{% set x = [] %}{% set y = [] %}{% set _ = x.append(y) %}{% set _ = y.append(x) %}{{ [x, y]|sort }}",
        ),
        attack("pprint of a deep list", Limit, nest("[ns.x]") + "{{ ns.x|pprint }}"),
    ]);
}
