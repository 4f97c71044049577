//! Isolation: objects that stay out of reach, and renderings that stay apart.

use std::time::Duration;

use pumice_template::{ErrorKind, Limits, Renderer};
use serde_json::json;

use crate::harness::End::Refused;
use crate::harness::{attack, context, peak_memory, run};

#[test]
fn names_that_lead_out() {
    run(&[
        attack("class", Refused, "{{ ''.__class__ }}"),
        attack("class of a call", Refused, "{{ ''.__class__() }}"),
        attack("class as an item", Refused, "{{ ''['__class__'] }}"),
        attack("class by attr", Refused, "{{ ''|attr('__class__') }}"),
        attack("class by map", Refused, "{{ ['']|map(attribute='__class__')|list }}"),
        attack("class by format", Refused, "{{ '{0.__class__}'.format(1) }}"),
        attack("class by format's item", Refused, "{{ '{0[__class__]}'.format('') }}"),
        attack("globals of a function", Refused, "{{ utils.uuid.__globals__ }}"),
        attack("private member of a module", Refused, "{{ utils.re._cache }}"),
        attack("members of a cycler", Refused, "{{ cycler.__init__.__globals__.os }}"),
        attack("disk", Refused, "{{ utils.path.exists('/etc/passwd') }}"),
        attack("disk, not called", Refused, "{{ utils.path.exists }}"),
        attack("environment", Refused, "{{ utils.path.expandvars('$HOME') }}"),
        attack("current directory", Refused, "{{ utils.path.abspath('a') }}"),
        attack("include", Refused, "{% include '/etc/passwd' %}"),
        attack("import", Refused, "{% import 'x' as y %}"),
        attack("from", Refused, "{% from 'x' import y %}"),
        attack("extends", Refused, "{% extends 'x' %}"),
    ]);
}

#[test]
fn rendering_changes_nothing_for_the_next() {
    let renderer = Renderer::default();
    let ctx = context();
    for _ in 0..2 {
        let text = renderer
            .render("{% set _ = globals.list.append(4) %}{{ globals.list }}{% set _ = globals.update(a=1) %}{{ globals.a }}", &ctx)
            .unwrap();
        assert_eq!(text, "[1, 2, 3, 4]1");
    }
    assert_eq!(renderer.render("{{ globals }}", &ctx).unwrap(), "{'a': 'x', 'list': [1, 2, 3]}");
    // A method that changes a list is only reached by its name.
    assert!(renderer.render("{{ globals.list['append'](4) }}", &ctx).is_err());
    assert_eq!(
        renderer.render("{{ (globals.list|attr('append'))(4) }}{{ globals.list }}", &ctx).unwrap(),
        "None[1, 2, 3, 4]"
    );
    assert_eq!(renderer.render("{{ globals.list }}", &ctx).unwrap(), "[1, 2, 3]");
}

#[test]
fn lists_that_hold_themselves_are_given_back() {
    let renderer = Renderer::default();
    let ctx = context();
    let before = peak_memory();
    for _ in 0..300 {
        let text = renderer
            .render("{% set x = ['a' * 1000000] %}{% set _ = x.append(x) %}{{ x|length }}", &ctx)
            .unwrap();
        assert_eq!(text, "2");
    }
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        assert!(after < before + 128, "{before} MiB, then {after} MiB");
    }
}

#[test]
fn deadline_ends_a_rendering() {
    let renderer = Renderer::new(Limits { deadline: Duration::ZERO, ..Limits::default() });
    let template = "{% for i in range(100000) %}{% endfor %}";
    let error = renderer.render(template, &context()).unwrap_err();
    assert_eq!(error.message(), "the template takes too long (limit deadline)");
}

#[test]
fn limits_can_be_set() {
    let limits = Limits { steps: 5_000, output_bytes: 10, structure_depth: 2, ..Limits::default() };
    let renderer = Renderer::new(limits);
    let ctx = context();
    let error = renderer.render("{% for i in range(10000) %}{% endfor %}", &ctx).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Limit, "the template takes too many steps (limit steps)")
    );
    let error = renderer.render("{{ 'a' * 11 }}", &ctx).unwrap_err();
    assert_eq!(error.message(), "the rendered text is too long (limit output_bytes)");
    let error = renderer.render_json(&json!([[["{{ 1 }}"]]]), &ctx).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}
