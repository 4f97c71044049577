//! Templates of our own, against what real Jinja2 makes of them.
//!
//! `tests/it/make_own_cases.py` writes the cases from `own_templates.txt`.

use pumice_template::Renderer;
use serde_json::Value as Json;

use crate::cases;

#[test]
fn own_templates_render_as_jinja2_renders_them() {
    let list: Vec<Json> = serde_json::from_str(include_str!("own_cases.json")).unwrap();
    let renderer = Renderer::default();
    let wrong: Vec<String> = list
        .iter()
        .filter_map(|case| {
            let difference = cases::check(&renderer, case).err()?;
            Some(format!("{}: {difference}", case["id"]))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(list.len() > 500);
}
