//! Random templates through Jinja2 with lava's utilities, and through Pumice.

use pumice_testing::standins::folder;
use pumice_testing::templates::Beside;

/// How many templates; `cargo xtask templates --seeds N` tries others.
const TEMPLATES: u64 = 1_000;

#[test]
fn templates_render_as_lava_renders_them() {
    let mut beside = Beside::start(&folder().join("lava/bin/python")).expect("Jinja2 starts");
    let mut wrong = Vec::new();
    for seed in 0..TEMPLATES {
        let difference = beside.compare(seed).expect("Jinja2 answers");
        wrong.extend(difference.filter(|difference| difference.meant.is_none()));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
