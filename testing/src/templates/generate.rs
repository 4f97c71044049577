//! Makes up templates: the grammar, filters, tests, methods and utilities, over variables of every type.

use super::words::{
    ATTRIBUTES, BOOL, DATE, DELTA, DICT, FLAGS, FLOAT, FLOAT_SPECS, FORMATS, INT, INT_SPECS, LIST, MOMENTS,
    PATTERNS, RELATIVE, REPLACEMENTS, SMALL, TESTS, TEXT, TIME, ZONES,
};
use crate::prng::Prng;

/// How deep expressions nest.
const DEPTH: u32 = 3;
/// How deep statements nest.
const NESTING: u32 = 2;

/// The type an expression is meant to have; one in twenty has another.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Int,
    Float,
    Bool,
    List,
    Dict,
    Time,
    Date,
    Delta,
    Any,
}

const KINDS: [Kind; 9] = [
    Kind::Text,
    Kind::Int,
    Kind::Float,
    Kind::Bool,
    Kind::List,
    Kind::Dict,
    Kind::Time,
    Kind::Date,
    Kind::Delta,
];

/// The template of a seed.
#[must_use]
pub fn template(seed: u64) -> String {
    let mut maker = Maker { prng: Prng::new(seed), names: Vec::new() };
    let count = maker.prng.within(1, 3);
    (0..count).map(|_| maker.statement(NESTING)).collect()
}

struct Maker {
    prng: Prng,
    /// Names that the template has set, with their kinds.
    names: Vec<(String, Kind)>,
}

impl Maker {
    fn of<'a>(&mut self, list: &'a [&'a str]) -> &'a str {
        let at = usize::try_from(self.prng.below(list.len() as u64)).unwrap_or(0);
        list[at]
    }

    /// An expression of a kind, mostly.
    fn expression(&mut self, kind: Kind, depth: u32) -> String {
        let kind = match kind {
            Kind::Any => self.prng.pick(&KINDS),
            kind if self.prng.happens(0.04) => {
                let other = self.prng.pick(&KINDS);
                if other == kind { Kind::Text } else { other }
            }
            kind => kind,
        };
        if depth == 0 || self.prng.happens(0.25) {
            return self.leaf(kind);
        }
        let pattern = match kind {
            Kind::Text => self.of(TEXT),
            Kind::Int => self.of(INT),
            Kind::Float => self.of(FLOAT),
            Kind::Bool => self.of(BOOL),
            Kind::List => self.of(LIST),
            Kind::Dict => self.of(DICT),
            Kind::Time => self.of(TIME),
            Kind::Date => self.of(DATE),
            Kind::Delta | Kind::Any => self.of(DELTA),
        };
        self.filled(pattern, depth - 1)
    }

    fn leaf(&mut self, kind: Kind) -> String {
        let known: Vec<String> =
            self.names.iter().filter(|(_, known)| *known == kind).map(|(name, _)| name.clone()).collect();
        if !known.is_empty() && self.prng.happens(0.3) {
            let at = usize::try_from(self.prng.below(known.len() as u64)).unwrap_or(0);
            return known[at].clone();
        }
        let leaves: &[&str] = match kind {
            Kind::Text => &[
                "s", "t", "u", "e", "html", "path", "csv", "multi", "num", "flo", "when", "'it''s'", "'x'",
                "\"a'b\"",
            ],
            Kind::Int => &["i", "zero", "neg", "big", "0", "1", "2", "10", "-1", "255", "1_000", "0x1F"],
            Kind::Float => &["f", "g", "h", "dec", "dec38", "0.1", "1.0", "-2.75", "1e3", "3.14159", "100.5"],
            Kind::Bool => &["yes", "no", "true", "false", "none", "nil"],
            Kind::List => &["l", "ls", "ll", "lm", "el", "rows", "[]", "[1, 2, 3]", "()", "range(4)"],
            Kind::Dict => &["d", "ed", "rows[0]", "{}", "{'b': 2}"],
            Kind::Time => &["start", "ustart", "tstart", "naive"],
            Kind::Date => &["utils.date(2026, 3, 1)", "start.date()", "naive.date()"],
            Kind::Delta | Kind::Any => {
                &["utils.timedelta(days=1)", "utils.timedelta(hours=-5, seconds=3)", "utils.timedelta()"]
            }
        };
        self.of(leaves).to_owned()
    }

    /// The pattern with its places filled.
    fn filled(&mut self, pattern: &str, depth: u32) -> String {
        let mut out = String::new();
        let mut rest = pattern;
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let mut chars = rest[1..].chars();
            let (letter, closed) = (chars.next().unwrap_or(' '), chars.next() == Some('}'));
            let place = if closed { self.place(letter, depth) } else { None };
            match place {
                Some(text) => {
                    out.push_str(&text);
                    rest = &rest[3..];
                }
                None => {
                    out.push('{');
                    rest = &rest[1..];
                }
            }
        }
        out + rest
    }

    fn place(&mut self, letter: char, depth: u32) -> Option<String> {
        let kind = match letter {
            'T' => Kind::Text,
            'I' => Kind::Int,
            'F' => Kind::Float,
            'B' => Kind::Bool,
            'L' => Kind::List,
            'D' => Kind::Dict,
            'Y' => Kind::Time,
            'C' => Kind::Date,
            'E' => Kind::Delta,
            'A' => Kind::Any,
            'R' | 'Z' => {
                let pattern = self.of(if letter == 'R' { RELATIVE } else { ZONES });
                let pattern =
                    if depth == 0 { pattern.replace("{R}", RELATIVE[0]) } else { pattern.to_owned() };
                return Some(self.filled(&pattern, depth.saturating_sub(1)));
            }
            'n' => return Some(self.prng.within(1, 12).to_string()),
            'i' => return Some((self.prng.within(0, 12) as i64 - 4).to_string()),
            'f' => return Some(format!("{}.{}", self.prng.within(0, 3), self.prng.within(0, 99))),
            other => {
                let list = match other {
                    't' => SMALL,
                    's' => FORMATS,
                    'x' => PATTERNS,
                    'y' => REPLACEMENTS,
                    'p' => INT_SPECS,
                    'q' => FLOAT_SPECS,
                    'r' => FLAGS,
                    'v' => MOMENTS,
                    'z' => ATTRIBUTES,
                    'w' => TESTS,
                    _ => return None,
                };
                return Some(self.of(list).to_owned());
            }
        };
        Some(self.expression(kind, depth))
    }

    fn any(&mut self) -> String {
        let depth = u32::try_from(self.prng.within(1, u64::from(DEPTH))).unwrap_or(1);
        self.expression(Kind::Any, depth)
    }

    fn statement(&mut self, nesting: u32) -> String {
        let choice = if nesting == 0 { self.prng.below(6) } else { self.prng.below(22) };
        match choice {
            6 => {
                let (test, other) = (self.expression(Kind::Bool, 2), self.expression(Kind::Bool, 1));
                let (a, b, c) =
                    (self.statement(nesting - 1), self.statement(nesting - 1), self.statement(nesting - 1));
                format!("{{% if {test} %}}{a}{{% elif {other} %}}{b}{{% else %}}{c}{{% endif %}}")
            }
            7 | 8 => self.for_loop(nesting),
            9 | 10 => {
                let kind = self.prng.pick(&KINDS);
                let name = format!("v{}", self.names.len());
                let value = self.expression(kind, 2);
                self.names.push((name.clone(), kind));
                format!("{{% set {name} = {value} %}}{}", self.statement(nesting - 1))
            }
            11 => self.block(nesting),
            12 => {
                let (kind, body) = (self.prng.pick(&KINDS), self.any());
                let value = self.expression(kind, 1);
                format!(
                    "{{% macro m(a, b={value}) %}}{{{{ a }}}}-{{{{ b }}}}{{{{ {body} }}}}{{% endmacro %}}{{{{ m({}) }}}}{{{{ m({}, b=1) }}}}",
                    self.any(),
                    self.any()
                )
            }
            13 => {
                let trims = ["{{-", "{{", "{{", "{{+"];
                let ends = ["-}}", "}}", "}}"];
                format!(" \n {} {} {}\n ", self.of(&trims[..3]), self.any(), self.of(&ends))
            }
            15 => {
                let list = self.expression(Kind::Dict, 2);
                let body = self.statement(nesting - 1);
                format!("{{% for k, v in {list}.items() %}}{{{{ k }}}}={{{{ v }}}};{body}{{% endfor %}}")
            }
            16 => {
                let list = self.expression(Kind::List, 2);
                format!(
                    "{{% set a, b = {list} %}}{{{{ a }}}}|{{{{ b }}}}{{% for a, b in {list} %}}{{{{ a }}}}{{% endfor %}}"
                )
            }
            17 => {
                let (value, body) = (self.any(), self.statement(nesting - 1));
                format!(
                    "{{% macro w(n) %}}<{{{{ caller(n) }}}}>{{{{ varargs }}}}{{{{ kwargs }}}}{{% endmacro %}}{{% call(x) w({value}, 1, z=2) %}}{{{{ x }}}}{body}{{% endcall %}}"
                )
            }
            18 => {
                let list = self.expression(Kind::List, 2);
                format!(
                    "{{% for x in [[1, [2, []]], {list}] recursive %}}{{{{ loop.depth }}}}{{% if x is sequence and x is not string %}}({{{{ loop(x) }}}}){{% else %}}{{{{ x }}}}{{% endif %}}{{% endfor %}}"
                )
            }
            14 => "{# note #}text <&> \"'\\n {% raw %}{{ x }}{% endraw %}\n".to_owned(),
            _ => format!("{{{{ {} }}}}", self.any()),
        }
    }

    fn for_loop(&mut self, nesting: u32) -> String {
        let list = self.expression(Kind::List, 2);
        let filter = if self.prng.happens(0.2) {
            format!(" if {}", self.of(&["x", "x is string", "x is number", "loop is undefined", "x != 1"]))
        } else {
            String::new()
        };
        let body = self.of(&[
            "{{ loop.index }}{{ x }},",
            "{{ x }}{% if not loop.last %}, {% endif %}",
            "{{ loop.cycle('a', 'b') }}{{ loop.revindex }}",
            "{{ loop.previtem }}<{{ x }}<{{ loop.nextitem }};",
            "{{ loop.changed(x) }}{{ loop.first }}{{ loop.length }}",
            "{{ x ~ loop.index0 }} ",
        ]);
        let body = body.to_owned();
        let inner = if self.prng.happens(0.4) { self.statement(nesting - 1) } else { String::new() };
        format!("{{% for x in {list}{filter} %}}{body}{inner}{{% else %}}none{{% endfor %}}")
    }

    fn block(&mut self, nesting: u32) -> String {
        let inner = self.statement(nesting - 1);
        match self.prng.below(5) {
            0 => {
                let filter = self.of(&[
                    "upper",
                    "indent(2)",
                    "replace('a', 'b')",
                    "trim",
                    "e",
                    "title",
                    "wordwrap(10)",
                    "urlize",
                ]);
                format!("{{% filter {filter} %}}{inner}{{% endfilter %}}")
            }
            1 => format!("{{% with w = {} %}}{{{{ w }}}}{inner}{{% endwith %}}", self.any()),
            2 => format!("{{% set c %}}{inner}{{% endset %}}{{{{ c|length }}}}{{{{ c }}}}"),
            3 => format!("{{% autoescape true %}}{inner}{{{{ {} }}}}{{% endautoescape %}}", self.any()),
            _ => format!(
                "{{% set ns = namespace(n={}) %}}{{% for x in [1, 2] %}}{{% set ns.n = x %}}{{% endfor %}}{{{{ ns.n }}}}{inner}",
                self.any()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn seed_gives_the_same_template() {
        assert_eq!(template(5), template(5));
        assert_ne!(template(5), template(6));
    }
}
