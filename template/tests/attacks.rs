//! Templates that try to take the process down. Each must fail or finish
//! within a second and 256 MiB.

use std::fs;
use std::time::Duration;

use pumice_template::{Context, ErrorKind, Limits, Renderer, Value, Zone};
use serde_json::json;

/// What an attack must end in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// A limit stops it.
    Limit,
    /// It is refused as wrong, or a limit stops it.
    Refused,
    /// It is harmless after all.
    Fine,
}

use End::{Fine, Limit, Refused};

fn context() -> Context {
    let mut ctx = Context::new(Zone::Utc);
    ctx.insert("globals", Value::from(json!({"a": "x", "list": [1, 2, 3]})));
    ctx
}

/// The most memory the process ever used, in MiB, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// The processor time this thread has used, where the system tells. What
/// else the machine is doing must not count.
fn processor_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = stat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// What an attack may take: a second. Without optimization everything takes
/// ten times as long or more.
const MAY_TAKE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });

fn run(attacks: &[(&str, End, String)]) {
    // Steps and memory must stop them all: a deadline is for what nobody
    // thought of, and would make these tests depend on the machine.
    let renderer = Renderer::new(Limits { deadline: Duration::from_secs(600), ..Limits::default() });
    let ctx = context();
    let mut wrong = Vec::new();
    for (name, end, template) in attacks {
        let started = processor_time();
        let result = renderer.render(template, &ctx);
        if let (Some(started), Some(ended)) = (started, processor_time()) {
            let took = ended.saturating_sub(started);
            if std::env::var_os("PUMICE_SHOW_ATTACKS").is_some() {
                println!("{took:>12.1?} {name}");
            }
            if took > MAY_TAKE {
                wrong.push(format!("{name} took {took:?}"));
            }
        }
        if let Some(peak) = peak_memory().filter(|peak| *peak > 256) {
            wrong.push(format!("{name}: {peak} MiB"));
        }
        let shown = result.as_ref().map(|text| text.chars().take(60).collect::<String>());
        let kind = result.as_ref().map_err(pumice_template::TemplateError::kind);
        let ok = match (end, kind) {
            (Fine, Ok(_)) => true,
            (Limit, Err(kind)) => kind == ErrorKind::Limit,
            (Refused, Err(_)) => true,
            _ => false,
        };
        if !ok {
            wrong.push(format!("{name} should be {end:?}: {shown:?}"));
        }
        if result.map_or_else(|error| error.report().len(), |_| 0) > 2_000 {
            wrong.push(format!("{name}: a long report"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn attack(name: &'static str, end: End, template: impl Into<String>) -> (&'static str, End, String) {
    (name, end, template.into())
}

#[test]
fn source_that_is_too_much_to_parse() {
    run(&[
        attack("source_bytes", Limit, "x{".repeat(200_000)),
        attack("tag_operators: sum", Limit, format!("{{{{ 1{} }}}}", "+1".repeat(9_000))),
        attack("tag_operators: filters", Limit, format!("{{{{ a{} }}}}", "|e".repeat(9_000))),
        attack("tag_operators: attributes", Limit, format!("{{{{ a{} }}}}", ".a".repeat(9_000))),
        attack("tag_operators: calls", Limit, format!("{{{{ a{} }}}}", "()".repeat(9_000))),
        attack("tag_operators: not", Limit, format!("{{{{ {} a }}}}", "not ".repeat(9_000))),
        attack("tag_operators: minus", Limit, format!("{{{{ {}a }}}}", "-".repeat(9_000))),
        attack("tag_operators: plus", Limit, format!("{{{{ {}a }}}}", "+ ".repeat(9_000))),
        attack("tag_operators: inline if", Limit, format!("{{{{ 1{} }}}}", " if a else 1".repeat(4_000))),
        attack("tag_operators: arguments", Limit, format!("{{{{ f({}) }}}}", "1,".repeat(9_000))),
    ]);
}

#[test]
fn source_that_is_deep() {
    run(&[
        attack("just below tag_operators", Fine, format!("{{{{ 1{} }}}}", "+1".repeat(990))),
        attack("just below tag_operators: not", Fine, format!("{{{{ {} 1 }}}}", "not ".repeat(990))),
        attack("just below tag_operators: if", Fine, format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(490))),
        attack("nested parentheses", Refused, format!("{{{{ {}1{} }}}}", "(".repeat(900), ")".repeat(900))),
        attack("nested lists", Refused, format!("{{{{ {}1{} }}}}", "[".repeat(450), "]".repeat(450))),
    ]);
}

#[test]
fn source_with_much_in_it() {
    run(&[
        attack("open parentheses", Refused, format!("{{{{ {}", "(".repeat(50_000))),
        attack("nested if", Refused, "{% if a %}".repeat(5_000)),
        attack("nested for", Refused, "{% for a in b %}".repeat(3_000)),
        attack("elifs", Limit, format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}\n".repeat(9_000))),
        attack("just below elifs", Fine, format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(490))),
        attack("template_parts", Limit, "{{a}}\n".repeat(40_000)),
        attack("many tags", Fine, "{{a}}\n".repeat(9_000)),
        attack("line_chars", Limit, format!("{{{{ a }}}}{}", "x".repeat(60_000))),
        attack("comments", Fine, "{##}".repeat(14_000)),
        attack("open quote", Refused, format!("{{{{ \"{}", "\\".repeat(59_001))),
        attack("digits", Refused, format!("{{{{ {} }}}}", "9".repeat(59_000))),
    ]);
}

/// A template that doubles a value over and over.
fn doubling(start: &str, double: &str, times: usize) -> String {
    let steps = format!("{{% set x = {double} %}}").repeat(times);
    format!("{{% set x = {start} %}}{steps}{{{{ x }}}}")
}

#[test]
fn text_that_grows() {
    run(&[
        attack("doubled text", Limit, doubling("'aaaaaaaa'", "x + x", 40)),
        attack("doubled text by ~", Limit, doubling("'aaaaaaaa'", "x ~ x", 40)),
        attack("doubled text by join", Limit, doubling("'aaaaaaaa'", "[x, x]|join", 40)),
        attack("doubled text by format", Limit, doubling("'aaaaaaaa'", "'%s%s' % (x, x)", 40)),
    ]);
}

#[test]
fn text_that_grows_by_filters() {
    run(&[
        attack("doubled text by str.format", Limit, doubling("'aaaaaaaa'", "'{0}{0}'.format(x)", 40)),
        attack("doubled text by replace", Limit, doubling("'aaaaaaaa'", "x|replace('a', 'aa')", 40)),
        attack("doubled text by sub", Limit, doubling("'aaaaaaaa'", "utils.re.sub('a', 'aa', x)", 40)),
        attack(
            "doubled text by set",
            Limit,
            doubling("'aaaaaaaa'", "x", 1) + &"{% set x %}{{ x }}{{ x }}{% endset %}".repeat(40),
        ),
        attack("text grown by escape", Fine, doubling("'&&&&&&&&'", "x|forceescape", 400)),
        attack("doubled text by tojson", Limit, doubling("'\"\"'", "x|tojson", 400)),
        attack("doubled text by repr", Limit, doubling("'\\\\'", "[x]|string", 60)),
        attack(
            "doubled text by urlencode",
            Limit,
            doubling("'%%%%'", "x|urlencode", 60)
                + &"{% set x = x|urlencode %}{% set x = x + x %}".repeat(60),
        ),
    ]);
}

#[test]
fn lists_that_grow() {
    run(&[
        attack("doubled list", Limit, doubling("[1, 2]", "x + x", 40)),
        attack(
            "doubled list by extend",
            Limit,
            format!("{{% set x = [1, 2] %}}{}", "{% set _ = x.extend(x) %}".repeat(40)),
        ),
        attack("nested references shown", Limit, doubling("[1]", "[x, x]", 60)),
        attack("nested references as JSON", Limit, doubling("[1]", "[x, x]", 60) + "{{ x|tojson }}"),
    ]);
}

#[test]
fn references_that_multiply() {
    run(&[
        attack(
            "nested references compared",
            Limit,
            "{% set x = [1] %}{% set y = [1] %}".to_owned()
                + &"{% set x = [x, x] %}{% set y = [y, y] %}".repeat(60)
                + "{{ x == y }}",
        ),
        attack(
            "nested references as key",
            Limit,
            "{% set x = (1, 2) %}".to_owned() + &"{% set x = (x, x) %}".repeat(60) + "{{ {x: 1} }}",
        ),
    ]);
}

#[test]
fn values_repeated() {
    run(&[
        attack("repeated text", Limit, "{{ 'ab' * 10**10 }}"),
        attack("repeated list", Limit, "{{ [1] * 10**10 }}"),
        attack("repeated by a big number", Limit, "{{ 'ab' * 10**30 }}"),
        attack("repeated nothing", Fine, "{{ '' * 10**18 }}{{ [] * 10**18 }}"),
    ]);
}

#[test]
fn widths_that_are_huge() {
    run(&[
        attack("% width", Limit, "{{ '%0999999999d'|format(1) }}"),
        attack("% precision", Limit, "{{ '%.999999999f'|format(1) }}"),
        attack("% digits", Limit, "{{ '%.999999999d'|format(1) }}"),
        attack("% star", Limit, "{{ '%*d' % (999999999, 1) }}"),
        attack("format width", Limit, "{{ '{:999999999}'.format(1) }}"),
        attack("format huge width", Limit, "{{ '{:99999999999999999999}'.format(1) }}"),
        attack("format precision", Limit, "{{ '{:.999999999f}'.format(1.5) }}"),
    ]);
}

#[test]
fn padding_that_is_huge() {
    run(&[
        attack("center", Limit, "{{ 'a'|center(999999999) }}"),
        attack("ljust", Limit, "{{ 'a'.ljust(999999999) }}"),
        attack("zfill", Limit, "{{ 'a'.zfill(999999999) }}"),
        attack("indent", Limit, "{{ 'a\nb'|indent(999999999) }}"),
        attack("expandtabs", Limit, "{{ 'a\tb'.expandtabs(999999999) }}"),
        attack("tojson indent", Limit, "{{ [1]|tojson(999999999) }}"),
        attack("strftime width", Limit, "{{ utils.date(2026, 1, 1).strftime('%999999999d') }}"),
        attack("batch fill", Limit, "{{ [1]|batch(999999999, 0)|list }}"),
        attack("slice", Limit, "{{ [1]|slice(999999999)|list }}"),
    ]);
}

#[test]
fn ranges_that_are_huge() {
    run(&[
        attack("range", Limit, "{{ range(10**12)|list }}"),
        attack("range in a loop", Limit, "{% for x in range(10**12) %}{% endfor %}"),
        attack("range summed", Limit, "{{ range(10**9)|sum }}"),
        attack("lipsum", Fine, "{{ lipsum(10**9)|length }}"),
        attack("lipsum words", Fine, "{{ lipsum(5, min=10**9, max=10**9)|length }}"),
    ]);
}

#[test]
fn numbers_that_grow() {
    run(&[
        attack("power", Limit, "{{ 10 ** (10 ** 10) }}"),
        attack("power of a power", Limit, doubling("3", "x ** 9", 30)),
        attack("squares", Limit, doubling("3", "x * x", 60)),
        attack("power of one", Fine, "{{ (-1) ** 10**30 }}{{ 0 ** 10**30 }}"),
        attack("many digits shown", Limit, "{{ 10 ** 15000 }}"),
        attack("many digits read", Fine, "{{ ('9' * 1000000)|int }}"),
        attack("decimal power", Limit, "{{ 2 ** 99999999999 }}"),
    ]);
}

#[test]
fn output_that_grows() {
    run(&[
        attack("replace", Limit, "{{ ('a' * 10**6)|replace('a', 'b' * 10**6) }}"),
        attack("wrapstring", Limit, "{{ ('a ' * 10**5)|wordwrap(1, wrapstring='b' * 10**4) }}"),
        attack("output", Limit, "{% set x = 'a' * 10**6 %}{% for i in range(1000) %}{{ x }}{% endfor %}"),
    ]);
}

#[test]
fn code_that_does_not_end() {
    run(&[
        attack(
            "nested loops",
            Limit,
            "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
        ),
        attack("endless macro", Limit, "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
        attack(
            "macros in turn",
            Limit,
            "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
        ),
        attack(
            "branching macros",
            Limit,
            "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        ),
        attack(
            "endless caller",
            Limit,
            "{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall %}{% endmacro %}{{ g() }}",
        ),
        attack("endless recursive loop", Limit, "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
        attack("block within itself", Limit, "{% block a %}{{ self.a() }}{% endblock %}"),
    ]);
}

#[test]
fn work_on_long_lists() {
    run(&[
        attack(
            "map of map",
            Limit,
            "{% set x = range(1000)|list %}{% for i in range(10000) %}{% set _ = x|map('string')|map('upper')|list %}{% endfor %}",
        ),
        attack(
            "long sorts",
            Limit,
            "{% set x = ('ab' * 20000)|list %}{% for i in range(10000) %}{% set _ = x|sort %}{% endfor %}",
        ),
        attack(
            "sorting equal lists",
            Fine,
            "{% set y = [0] * 30000 %}{% set x = [y] * 3000 %}{{ x|sort|length }}",
        ),
        attack(
            "looking for the absent",
            Limit,
            "{% set x = range(200000)|list %}{% for i in range(10000) %}{% if -1 in x %}{% endif %}{% endfor %}",
        ),
        attack(
            "long text searched",
            Limit,
            "{% set x = 'a' * 10**6 %}{% for i in range(100000) %}{% if 'b' in x %}{% endif %}{% endfor %}",
        ),
    ]);
}

#[test]
fn work_on_long_text() {
    run(&[
        attack(
            "long text indexed",
            Limit,
            "{% set x = 'é' * 10**6 %}{% for i in range(100000) %}{% set _ = x[-1] %}{% endfor %}",
        ),
        attack(
            "long text counted",
            Limit,
            "{% set x = 'é' * 10**6 %}{% for i in range(100000) %}{% set _ = x|length %}{% endfor %}",
        ),
        attack(
            "long text upper",
            Limit,
            "{% set x = 'a' * 10**6 %}{% for i in range(100000) %}{% set _ = x.upper() %}{% endfor %}",
        ),
        attack(
            "inserting at the front",
            Limit,
            "{% set x = [] %}{% for i in range(10**6) %}{% set _ = x.insert(0, i) %}{% endfor %}",
        ),
        attack(
            "removing from a dict",
            Limit,
            "{% set d = dict(range(200000)|batch(2)) %}{% for i in range(100000) %}{% set _ = d.pop(i, 0) %}{% endfor %}",
        ),
    ]);
}

#[test]
fn work_on_long_dates() {
    run(&[
        attack(
            "stripping many characters",
            Limit,
            "{% set x = 'a' * 10**6 %}{{ x.strip('b' * 10**6 + 'a') }}",
        ),
        attack("long date", Limit, "{{ utils.parsedate.parse('1 ' * 10**6) }}"),
        attack(
            "dates in a loop",
            Limit,
            "{% for i in range(10**6) %}{% set _ = utils.parsedate.parse('2026-03-01T04:05:06Z') %}{% endfor %}",
        ),
        attack(
            "formats in a loop",
            Limit,
            "{% for i in range(10**6) %}{% set _ = utils.datetime.strptime('%d' % i, '%f') %}{% endfor %}",
        ),
    ]);
}

#[test]
fn values_that_are_deep_or_hold_themselves() {
    let nest = |wrap: &str| {
        format!(
            "{{% set ns = namespace(x=0) %}}{{% for i in range(100000) %}}{{% set ns.x = {wrap} %}}{{% endfor %}}"
        )
    };
    run(&[
        attack("deep list", Fine, nest("[ns.x]")),
        attack("deep list shown", Limit, nest("[ns.x]") + "{{ ns.x }}"),
        attack("deep tuple", Fine, nest("(ns.x,)")),
        attack("deep dict", Fine, nest("{1: ns.x}")),
        attack("deep iterator", Fine, nest("[ns.x]|select('defined')")),
        attack("deep view", Fine, nest("{1: ns.x}.items()")),
        attack("deep method", Fine, nest("[ns.x].append")),
        attack("deep cycler", Fine, nest("cycler(ns.x)")),
        attack("deep namespace", Fine, nest("namespace(y=ns.x)")),
        attack("deep undefined", Fine, nest("[ns.x].nope")),
        attack(
            "deep from outside in",
            Fine,
            "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set y = [] %}{% set _ = ns.x.append(y) %}{% set ns.x = y %}{% endfor %}",
        ),
        attack(
            "deep lists compared",
            Limit,
            "{% set ns = namespace(x=0, y=0) %}{% for i in range(50000) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
        ),
        attack("list within itself", Fine, "{% set x = [1] %}{% set _ = x.append(x) %}{{ x }}"),
        attack(
            "list within itself as JSON",
            Limit,
            "{% set x = [1] %}{% set _ = x.append(x) %}{{ x|tojson }}",
        ),
        attack("dict within itself", Fine, "{% set x = {} %}{% set _ = x.update(a=x) %}{{ x }}"),
        attack(
            "namespace within itself",
            Fine,
            "{% set x = namespace() %}{% set x.x = x %}{{ x.x.x is defined }}",
        ),
        attack("namespace within itself shown", Limit, "{% set x = namespace() %}{% set x.x = x %}{{ x }}"),
        attack(
            "lists within each other compared",
            Limit,
            "{% set x = [] %}{% set y = [] %}{% set _ = x.append(y) %}{% set _ = y.append(x) %}{{ x == y }}",
        ),
        attack(
            "lists within each other sorted",
            Limit,
            "{% set x = [] %}{% set y = [] %}{% set _ = x.append(y) %}{% set _ = y.append(x) %}{{ [x, y]|sort }}",
        ),
        attack("pprint of a deep list", Limit, nest("[ns.x]") + "{{ ns.x|pprint }}"),
    ]);
}

#[test]
fn regular_expressions_that_backtrack_or_grow() {
    run(&[
        attack("nested repeats", Fine, "{{ utils.re.search('(a+)+$', 'a' * 5000 ~ 'b') }}"),
        attack(
            "nested repeats with a reference",
            Limit,
            r"{{ utils.re.search('(a+)+\\1$', 'a' * 5000 ~ 'b') }}",
        ),
        attack(
            "nested repeats looking ahead",
            Limit,
            "{{ utils.re.search('^(?=((a+)+)+$)(a+)+c', 'a' * 5000 ~ 'b') }}",
        ),
        attack("counted repeats", Limit, "{{ utils.re.search('((a{1,1000}){1,1000}){1,1000}', 'a') }}"),
        attack("large class repeated", Limit, r"{{ utils.re.search('(\\w{1,1000}){1,100}', 'a') }}"),
        attack("deep groups", Refused, "{{ utils.re.search('(' * 9000 ~ ')' * 9000, 'a') }}"),
        attack("long pattern", Limit, "{{ utils.re.search('a' * 10**6, 'a') }}"),
        attack(
            "many patterns",
            Limit,
            "{% for i in range(10**6) %}{% set _ = utils.re.search('%d' % i, 'a') %}{% endfor %}",
        ),
        attack(
            "many large patterns",
            Limit,
            r"{% for i in range(10**6) %}{% set _ = utils.re.search('(\\w{1,15}){1,9}%d' % i, 'a') %}{% endfor %}",
        ),
        attack("many matches", Limit, "{{ utils.re.findall('', 'a' * 10**6)|length }}"),
        attack("slow matches", Limit, r"{{ utils.re.findall('(.*)\\1b', 'a' * 10**5) }}"),
        attack("growing replacement", Limit, r"{{ utils.re.sub('.', '\\g<0>' * 10000, 'a' * 10000) }}"),
    ]);
}

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
fn a_rendering_changes_nothing_for_the_next() {
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
fn a_deadline_ends_a_rendering() {
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
