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

#[test]
fn address_taken_apart_is_a_meant_difference() {
    let mut beside = Beside::start(&folder().join("lava/bin/python")).expect("Jinja2 starts");
    let mut meant = |template: &str| {
        let difference = beside.compare_text(0, template.to_owned()).expect("Jinja2 answers");
        difference.expect("the two differ").meant.map(|meant| meant.why)
    };
    for template in [
        "{{ dict.fromkeys('%s' % (l|map('upper')))|list }}",
        "{{ ('%s' % (l|map('upper')))|reverse }}",
        "{{ s.upper|string|upper|urlencode }}",
    ] {
        assert!(meant(template).is_some_and(|why| why.starts_with("the addresses")), "{template}");
    }
    assert_eq!(meant("{{ utils.path.exists('/') }}"), None);
}
