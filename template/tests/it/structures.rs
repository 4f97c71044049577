//! Structures: lava's results by rendering their JSON text, compared with those of rendering each
//! string by itself.
//!
//! The cases were made with lava 8.3's own utilities:
//! `json.loads(jinja2.Template(json.dumps(structure)).render(…))`.

use pumice_template::{Context, Renderer, Value, Zone};
use serde_json::{Value as Json, json};

fn context() -> Context {
    let mut ctx = Context::new(Zone::Utc);
    ctx.insert(
        "globals",
        Value::from(json!({
            "v": "a\"b c",
            "w": "back\\slash \"q\"\nline\ttab é 🌋",
            "words": ["x", "y"],
            "path": "C:\\temp\\new",
            "n": 3,
        })),
    );
    ctx
}

#[test]
fn structures_render_as_lava_renders_them() {
    let cases: Vec<Json> = serde_json::from_str(include_str!("structures.json")).unwrap();
    let (renderer, ctx) = (Renderer::default(), context());
    let mut wrong = Vec::new();
    for case in &cases {
        match renderer.render_json(&case["structure"], &ctx) {
            Ok(got) if got == case["expected"] => {}
            got => wrong.push(format!("{} gives {got:?}, not {}", case["structure"], case["expected"])),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() > 250);
}

#[test]
fn value_of_the_context_stays_verbatim() {
    let renderer = Renderer::default();
    for value in [
        "C:\\temp\\new",
        "a\"b",
        "a\\",
        "\\\"",
        "line\nend\r\n",
        "\\u0041",
        "{\"a\": 1}",
        "é\u{fdd0}\u{fdd1}\u{fdd2}",
        "\\\"\u{16}\u{15}",
        "\\\"\u{14}\u{12}\u{16}\u{1}\u{0}\u{7f}",
    ] {
        let mut ctx = context();
        ctx.insert("x", Value::text(value));
        let got = renderer.render_json(&json!({"{{ x }}": ["{{ x }}", "-{{ x }}-"]}), &ctx).unwrap();
        assert_eq!(got, json!({value: [value, format!("-{value}-")]}));
        for trimmed in ["{{ x|tojson|trim('\"') }}", "{{ (x|tojson)[1:-1] }}", "{{ utils.tojson(x)[1:-1] }}"]
        {
            assert_eq!(renderer.render_json(&json!([trimmed]), &ctx).unwrap(), json!([value]), "{trimmed}");
        }
        // Not only the quotes were taken away: the text is JSON as it was.
        assert_eq!(
            renderer.render_json(&json!(["{{ [x]|tojson }}"]), &ctx).unwrap()[0],
            json!(renderer.render("{{ [x]|tojson }}", &ctx).unwrap())
        );
    }
}

#[test]
fn text_around_tags_stays_verbatim() {
    let (renderer, ctx) = (Renderer::default(), context());
    let controls: String = (0..=0x20)
        .chain([0x7f, 0x85, 0x2028, 0xfdd0, 0xfdd1, 0xfdd2, 0xffff])
        .filter_map(char::from_u32)
        .collect();
    for text in
        [controls.as_str(), "\\", "\\n", "\"", "\\\"", "a\\u0041", "p\u{fdd0}q\u{fdd1}", "\u{16}\u{15}"]
    {
        let source = format!("{text}{{{{ globals.v }}}}{text}{{{{ globals.path }}}}{text}");
        let wanted = format!("{text}a\"b c{text}C:\\temp\\new{text}");
        assert_eq!(renderer.render_json(&json!([source]), &ctx).unwrap(), json!([wanted]));
    }
}

#[test]
fn control_characters_are_refused_when_none_is_left() {
    let renderer = Renderer::default();
    let mut ctx = context();
    let all: String = (0..0x20u8).map(char::from).collect();
    ctx.insert("x", Value::text(all + "\\"));
    let error = renderer.render_json(&json!(["{{ x }}"]), &ctx).unwrap_err();
    assert!(error.message().contains("too many different control characters"), "{error}");
    // Literals count too, and make other marks necessary.
    let literal = "{{ '\u{16}\u{15}' ~ globals.path }}";
    assert_eq!(renderer.render_json(&json!([literal]), &ctx).unwrap(), json!(["\u{16}\u{15}C:\\temp\\new"]));
}

#[test]
fn text_that_json_cannot_read_is_refused() {
    let (renderer, ctx) = (Renderer::default(), context());
    for source in
        [r"{{ '\d' }}", r"{{ 'a\' }}", r"{{ (globals.w|tojson)[1:6] ~ 'x' }}", r"{{ 'a\nb'|upper }}"]
    {
        let error = renderer.render_json(&json!([source]), &ctx).unwrap_err();
        assert!(error.message().contains("not a string of JSON"), "{source}: {error}");
    }
}

#[test]
fn lone_string_is_an_ordinary_template() {
    let (renderer, ctx) = (Renderer::default(), context());
    let source = json!(r"{{ utils.re.sub('\\bx', 'Y', 'x xx') }}");
    assert_eq!(renderer.render_json(&source, &ctx).unwrap(), json!("Y Yx"));
    let structure = renderer.render_structure_within(
        &json!(r"{{ utils.re.sub('\bx', 'Y', 'x xx') }}"),
        &ctx,
        &renderer.budget(),
    );
    assert_eq!(structure.unwrap(), json!("Y Yx"));
}

#[test]
fn name_set_in_another_string_is_refused() {
    let renderer = Renderer::default();
    let refused = [
        json!({"a": "{% set q = 5 %}x", "b": "{{ q }}"}),
        json!(["{% if true %}{% set q, r = 1, 2 %}{% endif %}", {"c": ["{{ r + 1 }}"]}]),
        json!({"{% macro q() %}{% endmacro %}k": "{{ q() }}"}),
        json!({"a": "{% set state = 5 %}", "b": "{{ state }}"}),
        json!(["{% set q %}x{% endset %}", "{% for x in [1] %}{{ q }}{% endfor %}"]),
        // It is used before it is set here as well, or may be.
        json!(["{% set q = 5 %}", "{{ q }}{% set q = 6 %}"]),
        json!(["{% set q = 5 %}", "{% set q = q + 1 %}{{ q }}"]),
        json!(["{% set q = 5 %}", "{% if x %}{% set q = 6 %}{% endif %}{{ q }}"]),
        json!(["{% set q = 5 %}", "{% for x in [1] %}{% set q = 6 %}{% endfor %}{{ q }}"]),
        json!(["{% set q = 5 %}", "{% with q = 6 %}{% endwith %}{{ q }}"]),
        json!(["{% set q = 5 %}", "{% with q = q %}{{ q }}{% endwith %}"]),
        json!(["{% set q = 5 %}", "{% macro m(q) %}{% endmacro %}{{ q }}"]),
        json!(["{% set q = 5 %}", "{% set q %}{{ q }}{% endset %}"]),
        json!(["{% set q = 5 %}", "{{ q | default('none') }}{{ 'y' if q is defined }}"]),
    ];
    for structure in refused {
        let error = renderer.check_json(&structure).unwrap_err();
        assert!(
            error.message().contains("is set in another string of the structure"),
            "{structure}: {error}"
        );
        assert!(!error.path().is_empty());
        let rendered = renderer.render_json(&structure, &context()).unwrap_err();
        assert_eq!((rendered.message(), rendered.path()), (error.message(), error.path()));
    }
    let fine = [
        json!({"a": "{{ q }}", "b": "{% set q = 5 %}"}),
        json!({"a": "{% set q = 5 %}", "b": "{% set q = 6 %}{{ q }}"}),
        json!(["{% for q in [1] %}{{ q }}{% endfor %}", "{{ q }}"]),
        json!(["{% with q = 1 %}{{ q }}{% endwith %}", "{{ q }}"]),
        json!(["{% set q = 5 %}", "{% if x %}{% set q = 6 %}{% else %}{% set q = 7 %}{% endif %}{{ q }}"]),
        json!([
            "{% set q = 5 %}",
            "{% for q in [1] %}{{ q }}{% endfor %}{% with q = 6 %}{{ q }}{% endwith %}"
        ]),
        json!(["{% set q = 5 %}", "{% macro m(q=1) %}{{ q }}{% endmacro %}{{ m() }}"]),
        json!(["{% set q = 5 %}", "{% macro m() %}{{ q }}{% endmacro %}{% set q = 6 %}{{ m() }}"]),
        json!(["{% set q = 5 %}", "{% set q = 6 %}{% for x in [1] %}{{ q }}{% endfor %}"]),
        json!(["{% set ns = namespace() %}{% set ns.q = 1 %}", "{{ q }}"]),
    ];
    for structure in fine {
        renderer.check_json(&structure).unwrap();
    }
}

#[test]
fn error_in_a_structure_has_the_place_of_its_source() {
    let (renderer, ctx) = (Renderer::default(), context());
    let source = "a\n\t{{ '\\d' ~ globals.nope.x }}";
    let error = renderer.render_json(&json!([source]), &ctx).unwrap_err();
    assert_eq!((error.line(), error.column()), (Some(2), Some(19)));
}

/// Texts of tags, quotes, backslashes and line ends, however they follow.
fn scrambled(mut seed: u64) -> String {
    const PIECES: [&str; 24] = [
        "{{", "}}", "{%", "%}", "{#", "#}", "'", "\"", "\\", "\n", "\r\n", "\t", " ", "é", "🌋", "raw",
        "endraw", "-", "x", "\\'", "\\n", "set q = ", "1, 2", "\u{fdd0}",
    ];
    let mut text = String::new();
    for _ in 0..seed % 14 + 1 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        text.push_str(PIECES[(seed >> 20) as usize % PIECES.len()]);
    }
    text
}

#[test]
fn scrambled_text_renders_or_is_refused_in_its_place() {
    let (renderer, ctx) = (Renderer::default(), context());
    let mut rendered = 0;
    for seed in 1..40_000 {
        let text = scrambled(seed * 0x9e37_79b9);
        match renderer.render_json(&json!({"a": [text]}), &ctx) {
            Ok(_) => rendered += 1,
            Err(error) => assert!(error.path().starts_with(".a[0]"), "{text:?}: {}", error.report()),
        }
        if !text.contains('{') {
            let plain = renderer.render_json(&json!([text]), &ctx).unwrap();
            assert_eq!(plain, json!([text]));
        }
    }
    assert!(rendered > 1_000, "{rendered}");
}
