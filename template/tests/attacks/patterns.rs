//! Regular expressions.

use crate::harness::End::{Fine, Limit, Refused};
use crate::harness::{attack, run};

#[test]
fn regular_expressions_that_backtrack_or_grow() {
    run(&[
        attack("nested repeats", Fine, "{{ utils.re.search('(a+)+$', 'a' * 5000 ~ 'b') }}"),
        attack(
            "nested repeats with a reference",
            Limit,
            r"{{ utils.re.search('(a+)+\\1$', 'a' * 5000 ~ 'b') }}",
        ),
        attack(
            "nested repeats looking ahead",
            Limit,
            "{{ utils.re.search('^(?=((a+)+)+$)(a+)+c', 'a' * 5000 ~ 'b') }}",
        ),
        attack("counted repeats", Limit, "{{ utils.re.search('((a{1,1000}){1,1000}){1,1000}', 'a') }}"),
        attack("large class repeated", Limit, r"{{ utils.re.search('(\\w{1,1000}){1,100}', 'a') }}"),
        attack("deep groups", Refused, "{{ utils.re.search('(' * 9000 ~ ')' * 9000, 'a') }}"),
        attack("long pattern", Limit, "{{ utils.re.search('a' * 10**6, 'a') }}"),
        attack(
            "many patterns",
            Limit,
            "{% for i in range(10**6) %}{% set _ = utils.re.search('%d' % i, 'a') %}{% endfor %}",
        ),
        attack(
            "many large patterns",
            Limit,
            r"{% for i in range(10**6) %}{% set _ = utils.re.search('(\\w{1,15}){1,9}%d' % i, 'a') %}{% endfor %}",
        ),
        attack("many matches", Limit, "{{ utils.re.findall('', 'a' * 10**6)|length }}"),
        attack("slow matches", Limit, r"{{ utils.re.findall('(.*)\\1b', 'a' * 10**5) }}"),
        attack("growing replacement", Limit, r"{{ utils.re.sub('.', '\\g<0>' * 10000, 'a' * 10000) }}"),
    ]);
}
