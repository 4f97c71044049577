//! Results of real Jinja2 3.1.6 with python-dateutil 2.9.0, compared with those of this crate.
//!
//! `PUMICE_JINJA_CASES=FILE` runs another file of the same form.

use std::collections::BTreeMap;
use std::{env, fs};

use pumice_template::Renderer;

use serde_json::Value as Json;

use crate::cases;

/// Cases that differ on purpose.
const EXPLAINED: [(&str, &str); 3] = [
    (
        "json_roundtrip-023",
        "lava renders a structure as one text, so a variable set in one string is seen in the \
         next; here each string is a template of its own",
    ),
    ("json_roundtrip-028", "a comment that begins in one string and ends in another: as above"),
    (
        "json_roundtrip-030",
        "lava renders the JSON text, where each backslash of a template stands twice; here the \
         template is what the string says",
    ),
];

#[test]
fn cases_render_as_jinja2_renders_them() {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/jinja_cases.json");
    let path = env::var("PUMICE_JINJA_CASES").unwrap_or_else(|_| own.to_owned());
    let text = fs::read_to_string(&path).unwrap();
    let list: Vec<Json> = serde_json::from_str(&text).unwrap();
    let renderer = Renderer::default();
    let mut failed = BTreeMap::new();
    for case in &list {
        if let Err(difference) = cases::check(&renderer, case) {
            failed.insert(case["id"].as_str().unwrap().to_owned(), difference);
        }
    }
    let mut unexplained = 0;
    for (id, difference) in &failed {
        match EXPLAINED.iter().find(|(known, _)| known == id) {
            Some((_, reason)) => println!("{id}: on purpose: {reason}"),
            None => {
                unexplained += 1;
                println!("{id}: {difference}");
            }
        }
    }
    println!("jinja cases: {} of {}", list.len() - failed.len(), list.len());
    assert_eq!(unexplained, 0, "cases differ from Jinja2");
}
