//! Attacks made up from the tables of what templates can reach.

use super::{Attack, context};
use crate::attributes;
use crate::native::{Kind, Member, Native};
use crate::value::Val;
use crate::{Context, Renderer};
use crate::{filters, methods, predicates, utils};

/// Values by the expressions that make them; `N` is the size. Each is of
/// another kind, or is hard in another way.
const VALUES: [&str; 30] = [
    "('a' * N)",
    "(')' * N)",
    "('.' * N)",
    "(' ' * N)",
    "('é' * N)",
    "('<&' * N)",
    "('aB ' * N)",
    "('%s' * N)",
    "('{}' * N)",
    "('a,\\n' * N)",
    "('-' * N)",
    "('1' * N)",
    "('\\t' * N)",
    "('\\'' * N)",
    "('&amp;' * N)|safe",
    "([0] * N)",
    "range(N)",
    "(range(N)|list)",
    "(range(N)|map('string')|list)",
    "([[1, 2]] * N)",
    "([('a', 'b')] * N)",
    "dict(range(N)|batch(2))",
    "dict(range(N)|map('string')|batch(2))",
    "(('a' * N).encode())",
    "(2 ** 30000)",
    "decimal",
    "start",
    "utils.timedelta(1)",
    "utils.re.search('(a+)', 'a' * N)",
    "utils.re.compile('(a|b)*')",
];

/// Arguments that are not among the values.
const ARGUMENTS: [&str; 24] = [
    "'a'",
    "','",
    "'\\n'",
    "''",
    "1",
    "0",
    "7",
    "-1",
    "1000000",
    "none",
    "true",
    "'upper'",
    "'string'",
    "'0'",
    "'%c'",
    "'a*'",
    "'(a|b)*c'",
    "'(?=a*b)a'",
    "'{0:010000,}'",
    "'%Y-%m-%d'",
    "v",
    "v",
    "v",
    "1.5",
];

const OPERATORS: [&str; 14] =
    ["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and", "is sameas", "is in"];

/// Calls that are tried until one is not a mistake.
const TRIES: usize = 60;

/// Small random numbers, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn arguments(&mut self, count: usize) -> String {
        let arguments: Vec<String> = (0..count)
            .map(|_| match self.below(3) {
                0 => self.of(&VALUES).to_owned(),
                _ => self.of(&ARGUMENTS).to_owned(),
            })
            .collect();
        arguments.join(", ")
    }
}

/// An operation on `v`, without its arguments.
struct Operation {
    before: String,
    after: String,
    /// Values it is worth trying on; all if empty.
    values: Vec<&'static str>,
}

/// The functions below a module or class.
fn functions(native: &'static Native, path: &str, found: &mut Vec<String>) {
    if native.kind != Kind::Module {
        found.push(path.to_owned());
    }
    for (name, member) in native.members {
        let path = format!("{path}.{name}");
        match member {
            Member::Native(native) => functions(native, &path, found),
            Member::Function(_) => found.push(path),
            Member::Value(_) | Member::Refused(_) => {}
        }
    }
}

/// The value of an expression, for its methods.
fn sample(expression: &str) -> Val {
    let kept = expression.replace('N', "4");
    crate::renderer::value_of(&kept, &context()).expect("a value")
}

fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    let mut add = |before: String, after: &str, values| {
        all.push(Operation { before, after: after.to_owned(), values });
    };
    for name in filters::names() {
        add(format!("v|{name}("), ")", Vec::new());
    }
    for name in predicates::names().filter(|name| name.starts_with(|c: char| c.is_alphabetic())) {
        add(format!("v is {name}("), ")", Vec::new());
    }
    for name in predicates::names() {
        add(format!("[v, v]|select('{name}', "), ")|list", Vec::new());
    }
    for operator in OPERATORS {
        add(format!("v {operator} ("), ")", Vec::new());
    }
    for after in
        ["v[::2]", "v[-1]", "v[w]", "v[:1000000]", "-v", "v.nope", "{v: 1}", "[v, v]", "(v,)", "v ~ v"]
    {
        add(format!("[{after}, "), "]", Vec::new());
    }
    let mut attributes: Vec<(String, Vec<&'static str>)> = Vec::new();
    for value in VALUES {
        for name in attributes::member_names(&sample(value)) {
            match attributes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => attributes.push((name, vec![value])),
            }
        }
    }
    for (name, values) in attributes.into_iter().filter(|(name, _)| !name.starts_with(char::is_numeric)) {
        add(format!("[v.{name}, v['{name}'], "), "]", values);
    }
    let mut found = Vec::new();
    functions(&utils::UTILS, "utils", &mut found);
    found
        .extend(crate::globals::NAMES.iter().filter(|name| **name != "utils").map(|name| (*name).to_owned()));
    for path in found {
        add(format!("{path}("), ")", Vec::new());
    }
    let mut methods_of: Vec<(&str, Vec<&'static str>)> = Vec::new();
    for value in VALUES {
        for name in methods::names(&sample(value)) {
            match methods_of.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => methods_of.push((name, vec![value])),
            }
        }
    }
    for (name, values) in methods_of {
        add(format!("v.{name}("), ")", values);
    }
    all
}

/// `count` attacks by each operation in each form.
pub(super) fn attacks(count: usize, seed: u64) -> Vec<Attack> {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut attacks = Vec::new();
    let tried = (Renderer::default(), context());
    for operation in operations() {
        for _ in 0..count {
            for (form, size) in [(Form::Once, 200_000), (Form::Kept, 20_000), (Form::Dropped, 5_000)] {
                let (value, call) = operation.that_works(&mut chance, &tried);
                let size = size / [1, 3, 10][chance.below(3)];
                attacks.push(form.attack(value, &call, size));
            }
        }
    }
    attacks
}

impl Operation {
    /// A value and a call on it that is not a mistake, if a few tries find one.
    fn that_works(
        &self,
        chance: &mut Chance,
        (renderer, ctx): &(Renderer, Context),
    ) -> (&'static str, String) {
        let values = if self.values.is_empty() { &VALUES[..] } else { &self.values };
        let mut last = (values[0], String::new());
        for _ in 0..TRIES {
            let value = chance.of(values);
            let many = chance.below(4);
            last = (value, format!("{}{}{}", self.before, chance.arguments(many), self.after));
            let small = Form::Once.attack(value, &last.1, 4);
            if renderer.render(&small.strings[0], ctx).is_ok() {
                break;
            }
        }
        last
    }
}

/// How often an operation is done, and the use of its results.
enum Form {
    Once,
    Kept,
    Dropped,
}

impl Form {
    fn attack(&self, value: &str, call: &str, size: usize) -> Attack {
        let size = size.to_string();
        let set = format!("{{% set w = 1 %}}{{% set v = {} %}}", value.replace('N', &size));
        let call = call.replace('N', &size);
        let many = "{% for i in range(100000) %}";
        let (template, part) = match self {
            Self::Once => (format!("{set}{{% set x = {call} %}}"), false),
            Self::Kept => {
                (format!("{{% set k = [] %}}{set}{many}{{% set _ = k.append({call}) %}}{{% endfor %}}"), true)
            }
            Self::Dropped => (format!("{set}{many}{{% set x = {call} %}}{{% endfor %}}"), true),
        };
        Attack { strings: vec![template], part }
    }
}
