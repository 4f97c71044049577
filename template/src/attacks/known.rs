//! Attacks that once took more than they may.

use super::Attack;

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks: Vec<Attack> = [
        "{{ (')' * 100000)|urlize }}",
        "{{ ('(' * 100000 ~ ')' * 100000)|urlize }}",
        "{{ ('.' * 2000000)|urlize }}",
        "{{ ('a@' * 50000 ~ '.')|urlize }}",
        "{{ utils.re.search('(?=a*b)a', 'a' * 100000) }}",
        "{{ utils.re.search('(?:a?){1000}(?:[ab]?){1000}z', 'a' * 100000) }}",
        r"{{ utils.re.findall('(a*)\\1b', 'a' * 100000) }}",
        r"{{ utils.re.findall('(.)(.*)\\1', 'ab' * 100000)|length }}",
        r"{{ utils.re.findall('a.*b|a', 'a' * 200000)|length }}",
        r"{{ utils.re.sub('(?<!b)a*$', '', 'a' * 200000 ~ 'c')|length }}",
        "{% set c = cycler(*([0]*300000)) %}{% set k = [] %}{% for i in range(300) %}{% set _ = k.append(c.items) %}{% endfor %}",
        "{{ ('a' * 31000000).split('a')|length }}",
        "{{ ('a ' * 15000000).split()|length }}",
        "{{ ('a\n' * 15000000).splitlines()|length }}",
        "{% set d = dict(range(200000)|map('string')|batch(2)) %}{% set k = [] %}{% macro m() %}{% set _ = k.append(kwargs) %}{% endmacro %}{% for i in range(100) %}{{ m(**d) }}{% endfor %}",
        "{% set k = [] %}{% for i in range(200) %}{% set _ = k.append((''|safe).escape(\"'\" * 1000000)) %}{% endfor %}",
        "{% for i in range(30000) %}{% set x = '{0:010000,}'.format(1) %}{% endfor %}",
        "{% set d = dict(range(4000)|batch(2)) %}{{ {} in [d] * 200000 }}",
        "{% set d = dict(range(4000)|batch(2)) %}{{ d.copy() in [d.copy()] * 2040 }}",
        "{{ {'a' * 30000000: 1}|tojson|length }}",
        "{{ {'\"' * 4000000: 1}|tojson|length }}",
        "{{ {('a' * 4000000, 1): 1}[('a' * 4000000, 1)] }}",
        "{% set k = [] %}{% for i in range(30000) %}{% set _ = k.append(range(i)) %}{% endfor %}{{ k|unique|list|length }}",
        "{% set k = [] %}{% for i in range(30000) %}{% set _ = k.append(utils.timedelta(i)) %}{% endfor %}{{ k|unique|list|length }}",
        "{% set k = [] %}{% for i in range(30000) %}{% set _ = k.append(start + utils.timedelta(i)) %}{% endfor %}{{ k|unique|list|length }}",
        "{% set x = globals.list %}{% set _ = x.append(1) %}{{ x|length }}",
        "{% set x = 'a' * 1000000 %}{{ x|trim('ab' * 500000) }}{{ x.strip('ba' * 500000) }}",
        "{{ ('-' * 500000)|wordwrap(1)|length }}",
        "{{ ('a-' * 500000)|wordwrap(3)|length }}",
        "{{ ('a' * 500000)|wordwrap(1)|length }}",
        "{{ ('<' * 1000000)|striptags|length }}",
        "{{ ('&' * 4000000)|escape|length }}",
        "{{ ('x' ~ '&lt' * 1000000)|safe|striptags|length }}",
        r"{{ utils.re.search('a{0,60000}', 'a' * 60000) }}",
        "{{ utils.datetime.strptime('1' * 1000000, '%Y' * 100000) }}",
        "{{ start.strftime('%999Y' * 4000)|length }}",
    ]
    .into_iter()
    .map(Attack::whole)
    .collect();
    let nested = "{% for x in l %}".repeat(25) + &"{% endfor %}".repeat(25);
    attacks.push(Attack::whole(format!("{{% set l = [0] * 600000 %}}{nested}")));
    let first = nested.replace("{% endfor %}", "{% break %}");
    attacks.push(Attack::whole(format!("{{% set l = range(600000) %}}{first}")));
    let structure = |string: &str, count| Attack { strings: vec![string.to_owned(); count], part: false };
    attacks.extend([
        structure("{{ 'a' * 8000000 }}", 400),
        structure("{{ ('a' * 8000000)|length }}", 400),
        structure("{{ start.strftime('%c' * 400000)|length }}", 30),
        structure("{% for i in range(100000) %}{% endfor %}", 1_000),
        structure("{% set _ = globals.list.append(1) %}{{ globals.list|length }}", 1_000),
        structure("{{ utils.re.search('(?=a*b)a', 'a' * 20000) }}", 100),
        structure(&format!("{{# {} #}}{{{{ 1 }}}}", "x".repeat(50_000)), 1_000),
    ]);
    // Each one is read anew.
    let strings = (0..400).map(|n| format!("{{{{ {n}{} }}}}", " + 1".repeat(900))).collect();
    attacks.push(Attack { strings, part: false });
    attacks
}
