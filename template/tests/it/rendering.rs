//! The crate's door: structures, conditions, arguments, contexts.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use chrono::{DateTime, Utc};
use pumice_template::{Context, Renderer, Value, Zone};
use serde_json::json;

fn context() -> Context {
    let mut ctx = Context::new(Zone::parse("Australia/Sydney").unwrap());
    ctx.insert("name", Value::from(json!("say \"hi\"\n}, {")));
    ctx.insert("n", Value::from(json!(42)));
    ctx
}

#[test]
fn structures_keep_their_shape() {
    let rendered = Renderer::default()
        .render_json(
            &json!({"z": "{{ name }}", "{{ n }}": ["{{ n }}", 1.50, null, true, {"k": "{{ n + 1 }}"}], "a": "plain { } text\n"}),
            &context(),
        )
        .unwrap();
    assert_eq!(
        rendered.to_string(),
        r#"{"z":"say \"hi\"\n}, {","42":["42",1.5,null,true,{"k":"43"}],"a":"plain { } text\n"}"#
    );
}

#[test]
fn condition_is_met_only_by_true() {
    let renderer = Renderer::default();
    let ctx = context();
    for (template, holds) in [
        (" TRUE\n", true),
        ("{{ n > 1 }}", true),
        ("{{ 1 }}", false),
        ("yes", false),
        ("{{ nope }}", false),
        ("", false),
    ] {
        assert_eq!(renderer.render_condition(template, &ctx).unwrap().0, holds, "{template}");
    }
    assert_eq!(renderer.render_condition("{{ n < 1 }}", &ctx).unwrap().1, "False");
}

#[test]
fn value_never_adds_an_argument() {
    let renderer = Renderer::default();
    let args = renderer.render_args("{{n}}.sh --x='{{ name }}' a\\ b", &context()).unwrap();
    assert_eq!(args, ["42.sh", "--x=say \"hi\"\n}, {", "a b"]);
    let args = renderer.render_command("{{n}}.sh {{n}}", &context()).unwrap();
    assert_eq!(args, ["{{n}}.sh", "42"]);
}

#[test]
fn time_and_chance_come_from_the_context() {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let now: DateTime<Utc> = "2026-03-01T04:05:06.5Z".parse().unwrap();
    let ctx = context().with_now(now).with_random(|bytes| bytes.fill(NEXT.fetch_add(1, Ordering::Relaxed)));
    let render = |template: &str| Renderer::default().render(template, &ctx).unwrap();
    assert_eq!(render("{{ utils.datetime.now() }}"), "2026-03-01 15:05:06.500000");
    assert_eq!(render("{{ utils.datetime.utcnow() }}"), "2026-03-01 04:05:06.500000");
    assert_eq!(render("{{ utils.date.today() }}"), "2026-03-01");
    assert_eq!(render("{{ utils.parsedate.parse('10:15') }}"), "2026-03-01 10:15:00");
    assert_eq!(
        render("{{ utils.uuid() }} {{ utils.uuid() }}"),
        "00000000-0000-4000-8000-000000000000 01010101-0101-4101-8101-010101010101"
    );
}

#[test]
fn values_of_a_context_are_pythons() {
    let at: DateTime<Utc> = "2026-03-01T04:05:06Z".parse().unwrap();
    let mut ctx = context();
    ctx.insert("times", Value::list([Value::local(at), Value::utc(at), Value::timezone_utc(at)]));
    ctx.insert(
        "map",
        Value::map([("z".to_owned(), Value::decimal("2.50").unwrap()), ("a".to_owned(), Value::text("x"))]),
    );
    ctx.insert("off", Value::offset(DateTime::parse_from_rfc3339("2026-03-01T15:05:06+11:00").unwrap()));
    ctx.insert("naive", Value::naive(at.naive_utc()));
    let render = |template: &str| Renderer::default().render(template, &ctx).unwrap();
    assert_eq!(
        render("{{ times }}"),
        "[datetime.datetime(2026, 3, 1, 15, 5, 6, tzinfo=tzlocal()), \
         datetime.datetime(2026, 3, 1, 4, 5, 6, tzinfo=tzutc()), \
         datetime.datetime(2026, 3, 1, 4, 5, 6, tzinfo=datetime.timezone.utc)]"
    );
    assert_eq!(render("{{ map }}"), "{'z': Decimal('2.50'), 'a': 'x'}");
    assert_eq!(render("{{ off }} {{ naive }}"), "2026-03-01 15:05:06+11:00 2026-03-01 04:05:06");
    assert!(Value::decimal("x").is_none() && Value::decimal("1e99999").is_none());
}

#[test]
fn renderer_is_shared_between_threads() {
    let renderer = Renderer::default();
    let ctx = context();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (renderer, ctx) = (renderer.clone(), ctx.clone());
            thread::spawn(move || {
                (0..200).all(|at| {
                    let template = format!("{{{{ n + {} }}}}", at % 50);
                    renderer.render(&template, &ctx).unwrap() == (42 + at % 50).to_string()
                })
            })
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

#[test]
fn zones_are_known_by_name() {
    assert_eq!(Zone::parse(":Australia/Sydney").unwrap().name(), "Australia/Sydney");
    assert_eq!(Zone::parse("UTC"), Some(Zone::Utc));
    assert_eq!(Zone::parse("EST5EDT4").unwrap().name(), "EST5EDT4");
    assert_eq!(Zone::parse(""), None);
}

#[test]
fn posix_zone_is_the_workers_zone() {
    let mut ctx = Context::new(Zone::parse("EST5EDT,M3.2.0,M11.1.0").unwrap());
    ctx.insert("start", Value::local("2026-03-01T15:05:06Z".parse::<DateTime<Utc>>().unwrap()));
    let cases = [
        ("{{ start }} {{ start.tzname() }}", "2026-03-01 10:05:06-05:00 EST"),
        ("{{ utils.dateutil.tz.gettz() }}", "tzstr('EST5EDT,M3.2.0,M11.1.0')"),
        ("{{ utils.datetime(2026, 11, 1, 1, 30, tzinfo=start.tzinfo) }}", "2026-11-01 01:30:00-04:00"),
        (
            "{{ utils.datetime(2026, 11, 1, 1, 30, tzinfo=start.tzinfo, fold=1) }}",
            "2026-11-01 01:30:00-05:00",
        ),
        ("{{ utils.datetime(2026, 7, 1).timestamp() }}", "1782878400.0"),
        ("{{ utils.datetime(2026, 3, 8, 2, 30).timestamp() }}", "1772955000.0"),
        ("{{ utils.datetime.fromtimestamp(1783000000) }}", "2026-07-02 09:46:40"),
    ];
    for (template, expected) in cases {
        assert_eq!(Renderer::default().render(template, &ctx).unwrap(), expected, "{template}");
    }
}

/// The files that Python reads have offsets as names where no letters are in use.
#[test]
fn zone_without_an_abbreviation_is_named_by_its_offset() {
    for (zone, name) in [
        ("America/Sao_Paulo", "-03"),
        ("Asia/Kathmandu", "+0545"),
        ("Asia/Dubai", "+04"),
        ("Australia/Sydney", "AEDT"),
        ("UTC", "UTC"),
    ] {
        let mut ctx = Context::new(Zone::parse(zone).unwrap());
        ctx.insert("start", Value::local("2026-03-01T15:05:06Z".parse::<DateTime<Utc>>().unwrap()));
        let template = "{{ start.tzname() }} {{ start.strftime('%Z') }}";
        assert_eq!(Renderer::default().render(template, &ctx).unwrap(), format!("{name} {name}"), "{zone}");
    }
}
