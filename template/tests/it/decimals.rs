//! Python's Decimals, at and beyond their 28 digits, against what real Jinja2 makes of them.
//!
//! `tests/make_decimal_cases.py` writes the cases.

use pumice_template::{Context, Renderer, Value, Zone};
use serde_json::Value as Json;

/// The difference in a template's result, with one or two numbers.
fn difference(
    renderer: &Renderer,
    template: &str,
    numbers: &[(&str, &str)],
    expected: &Json,
) -> Option<String> {
    let mut context = Context::new(Zone::parse("UTC").expect("a zone"));
    for (name, number) in numbers {
        context.insert(*name, Value::decimal(number).expect("a number"));
    }
    let got = renderer.render(&format!("{{{{ {template} }}}}"), &context);
    let is_same = match (&got, expected) {
        // A Decimal has no negative zero and no infinity here: both are in the list of what differs.
        (Ok(text), Json::String(expected)) => {
            text == expected || expected.strip_prefix('-') == Some(text) && is_zero(text)
        }
        (Err(_), Json::String(expected)) => expected == "Infinity",
        (Err(_), Json::Object(_)) => true,
        _ => false,
    };
    (!is_same).then(|| format!("{template} of {numbers:?}: {got:?}, not {expected}"))
}

fn is_zero(text: &str) -> bool {
    let digits = text.split(['E', 'e']).next().unwrap_or_default();
    !digits.contains(|digit: char| digit.is_ascii_digit() && digit != '0')
}

#[test]
fn decimals_are_pythons() {
    let all: Json = serde_json::from_str(include_str!("decimal_cases.json")).expect("a document");
    let numbers: Vec<&str> =
        all["numbers"].as_array().expect("a list").iter().filter_map(Json::as_str).collect();
    let renderer = Renderer::default();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for case in all["cases"].as_array().expect("a list") {
        let template = case["template"].as_str().expect("a text");
        for (d, expected) in numbers.iter().zip(case["expected"].as_array().expect("a list")) {
            if let Json::Array(row) = expected {
                count += row.len();
                wrong.extend(numbers.iter().zip(row).filter_map(|(e, expected)| {
                    difference(&renderer, template, &[("d", d), ("e", e)], expected)
                }));
            } else {
                count += 1;
                wrong.extend(difference(&renderer, template, &[("d", d)], expected));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 4_000, "{count}");
}
