//! Templates that are too much to parse.

use crate::harness::End::{Fine, Limit, Refused};
use crate::harness::{attack, run};

#[test]
fn source_that_is_too_much_to_parse() {
    run(&[
        attack("source_bytes", Limit, "x{".repeat(200_000)),
        attack("tag_operators: sum", Limit, format!("{{{{ 1{} }}}}", "+1".repeat(9_000))),
        attack("tag_operators: filters", Limit, format!("{{{{ a{} }}}}", "|e".repeat(9_000))),
        attack("tag_operators: attributes", Limit, format!("{{{{ a{} }}}}", ".a".repeat(9_000))),
        attack("tag_operators: calls", Limit, format!("{{{{ a{} }}}}", "()".repeat(9_000))),
        attack("tag_operators: not", Limit, format!("{{{{ {} a }}}}", "not ".repeat(9_000))),
        attack("tag_operators: minus", Limit, format!("{{{{ {}a }}}}", "-".repeat(9_000))),
        attack("tag_operators: plus", Limit, format!("{{{{ {}a }}}}", "+ ".repeat(9_000))),
        attack("tag_operators: inline if", Limit, format!("{{{{ 1{} }}}}", " if a else 1".repeat(4_000))),
        attack("tag_operators: arguments", Limit, format!("{{{{ f({}) }}}}", "1,".repeat(9_000))),
    ]);
}

#[test]
fn source_that_is_deep() {
    run(&[
        attack("just below tag_operators", Fine, format!("{{{{ 1{} }}}}", "+1".repeat(990))),
        attack("just below tag_operators: not", Fine, format!("{{{{ {} 1 }}}}", "not ".repeat(990))),
        attack("just below tag_operators: if", Fine, format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(490))),
        attack("nested parentheses", Refused, format!("{{{{ {}1{} }}}}", "(".repeat(900), ")".repeat(900))),
        attack("nested lists", Refused, format!("{{{{ {}1{} }}}}", "[".repeat(450), "]".repeat(450))),
    ]);
}

#[test]
fn source_with_much_in_it() {
    run(&[
        attack("open parentheses", Refused, format!("{{{{ {}", "(".repeat(50_000))),
        attack("nested if", Refused, "{% if a %}".repeat(5_000)),
        attack("nested for", Refused, "{% for a in b %}".repeat(3_000)),
        attack("elifs", Limit, format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}\n".repeat(9_000))),
        attack("just below elifs", Fine, format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(490))),
        attack("template_parts", Limit, "{{a}}\n".repeat(40_000)),
        attack("many tags", Fine, "{{a}}\n".repeat(9_000)),
        attack("line_chars", Limit, format!("{{{{ a }}}}{}", "x".repeat(60_000))),
        attack("comments", Fine, "{##}".repeat(14_000)),
        attack("open quote", Refused, format!("{{{{ \"{}", "\\".repeat(59_001))),
        attack("digits", Refused, format!("{{{{ {} }}}}", "9".repeat(59_000))),
    ]);
}
