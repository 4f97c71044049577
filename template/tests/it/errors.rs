//! Error messages for the author of a job.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use pumice_template::{Context, ErrorKind, Renderer, TemplateError, Value, Zone};
use serde_json::json;

fn context() -> Context {
    let mut ctx = Context::new(Zone::Utc);
    ctx.insert("globals", Value::from(json!({"env": "prod", "rows": [1]})));
    ctx.insert("start", Value::utc("2026-03-01T04:05:06Z".parse().unwrap()));
    ctx
}

fn error(template: &str) -> TemplateError {
    Renderer::default().render(template, &context()).unwrap_err()
}

#[test]
fn error_shows_its_line_with_a_caret() {
    let error = error("first\n  {{ globls.env }} é");
    assert_eq!(error.kind(), ErrorKind::Undefined);
    assert_eq!((error.line(), error.column()), (Some(2), Some(6)));
    assert_eq!(error.hint(), Some("globals"));
    assert_eq!(
        error.report(),
        "unknown variable \"globls\" (did you mean \"globals\"?) at line 2, column 6\n\
         2 |   {{ globls.env }} é\n\
         \x20 |      ^^^^^^^^^^"
    );
}

#[test]
fn places_hold_where_the_text_was_changed() {
    let error = error("{{ 1, 2 }}{% for x in 1, +2, nope.x %}{% endfor %}");
    assert_eq!((error.line(), error.column()), (Some(1), Some(30)));
    assert!(error.report().ends_with("   ^^^^^^"), "{}", error.report());
}

#[test]
fn each_kind_of_trouble_has_its_words() {
    use ErrorKind::{Runtime, Syntax, Undefined};
    let cases = [
        ("{{ nope.x }}", Undefined, "unknown variable \"nope\""),
        ("{{ globals.row.x }}", Undefined, "the map has no key \"row\" (did you mean \"rows\"?)"),
        ("{{ none.x.y }}", Undefined, "None has no attribute \"x\""),
        ("{{ 'a'.uper() }}", Undefined, "a str has no method \"uper\" (did you mean \"upper\"?)"),
        (
            "{{ utils.path.basname('a') }}",
            Undefined,
            "path has no function \"basname\" (did you mean \"basename\"?)",
        ),
        (
            "{{ 1 + 'a' }}",
            Runtime,
            "\"+\" does not work between int and str: join text and other values with ~",
        ),
        ("{{ 1 / 0 }}", Runtime, "division by zero"),
        ("{{ 1 < 'a' }}", Runtime, "\"<\" cannot compare int with str"),
        ("{{ start.replace(month=13) }}", Runtime, "month 13 is out of range: 1 to 12"),
        ("{{ utils.date(2026, 2, 30) }}", Runtime, "day 30 is out of range for the month 2026-02"),
        (
            "{{ utils.timedelta(day=1) }}",
            Runtime,
            "timedelta() has no parameter \"day\" (did you mean \"days\"?)",
        ),
        ("{{ utils.parsedate.parse('soon') }}", Runtime, "'soon' is not a date dateutil can read"),
        (
            "{{ utils.re.search('(', 'a') }}",
            Runtime,
            "the pattern is not a regular expression: missing ), unterminated subpattern at position 0",
        ),
        ("{% for x in 5 %}{% endfor %}", Runtime, "an int cannot be looped over"),
        ("{{ globals.env() }}", Runtime, "'prod' is a str and cannot be called"),
        ("{{ 'a'|uper }}", Syntax, "unknown filter \"uper\" (did you mean \"upper\"?)"),
        ("{{ 1 is evn }}", Syntax, "unknown test \"evn\" (did you mean \"even\"?)"),
        ("{% fro x in y %}", Syntax, "unknown tag \"fro\""),
        ("{% do x() %}", Syntax, "unknown tag \"do\": use set"),
        ("{% include 'x' %}", Syntax, "\"include\" is refused: a job's template stands alone"),
    ];
    for (template, kind, expected) in cases {
        let error = error(template);
        assert_eq!(error.kind(), kind, "{template}");
        let shown = error.to_string();
        let (message, _) = shown.split_once(" at line 1").unwrap_or((&shown, ""));
        assert_eq!(message, expected, "{template}");
        assert!(error.line().is_some(), "{template} has no place");
    }
}

#[test]
fn error_names_its_place_in_a_structure() {
    let renderer = Renderer::default();
    let ctx = context();
    let path = |value: serde_json::Value| renderer.render_json(&value, &ctx).unwrap_err().path().to_owned();
    assert_eq!(path(json!({"args": ["a", "b", "{{ x.y }}"]})), ".args[2]");
    assert_eq!(path(json!({"x-tag": {"{{ x.y }}": 1}})), "[\"x-tag\"][\"{{ x.y }}\"]");
    assert_eq!(path(json!({"{{ 'a' }}": 1, "a": 2})), ".a");
    assert_eq!(renderer.check_json(&json!([{"a": "{{ "}])).unwrap_err().path(), "[0].a");
    let error = renderer.render_args("x '{{ y.z }}'", &ctx).unwrap_err();
    assert_eq!(error.path(), "[1]");
    assert!(error.to_string().ends_with("at line 1, column 4 in [1]"), "{error}");
}

#[test]
fn long_lines_are_cut_around_the_trouble() {
    let template = format!("{}{{{{ nope.x }}}}{}", "a".repeat(500), "b".repeat(500));
    let report = error(&template).report();
    assert!(report.lines().all(|line| line.chars().count() < 130), "{report}");
    let caret = report.lines().last().unwrap().find('^').unwrap();
    assert_eq!(&report.lines().nth(1).unwrap()[caret..caret + 6], "nope.x");
}
