//! Makes up templates: the grammar, filters, tests, methods and utilities, over variables of every type.

use crate::prng::Prng;

/// How deep expressions nest.
const DEPTH: u32 = 3;
/// How deep statements nest.
const NESTING: u32 = 2;

/// The type an expression is meant to have; one in twenty has another.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Int,
    Float,
    Bool,
    List,
    Dict,
    Time,
    Date,
    Delta,
    Any,
}

const KINDS: [Kind; 9] = [
    Kind::Text,
    Kind::Int,
    Kind::Float,
    Kind::Bool,
    Kind::List,
    Kind::Dict,
    Kind::Time,
    Kind::Date,
    Kind::Delta,
];

/// The template of a seed.
#[must_use]
pub fn template(seed: u64) -> String {
    let mut maker = Maker { prng: Prng::new(seed), names: Vec::new() };
    let count = maker.prng.within(1, 3);
    (0..count).map(|_| maker.statement(NESTING)).collect()
}

struct Maker {
    prng: Prng,
    /// Names that the template has set, with their kinds.
    names: Vec<(String, Kind)>,
}

/// `{T}`, `{I}`, … in a pattern stand for expressions of a kind; `{t}`, `{i}` and so on for small ones.
const TEXT: &[&str] = &[
    "({T} ~ {A})",
    "({t} + {t})",
    "({t} * {n})",
    "{T}[{i}]",
    "{T}[{i}:{i}]",
    "{T}[::{n}]",
    "{T}[:{i}]",
    "({T} if {B} else {T})",
    "{T}|upper",
    "{T}|lower",
    "{T}|title",
    "{T}|capitalize",
    "{T}|trim",
    "{T}|trim({t})",
    "{T}|center({n})",
    "{T}|replace({t}, {t})",
    "{T}|replace({t}, {t}, {n})",
    "{T}|indent({n})",
    "{T}|indent({n}, true)",
    "{T}|indent({n}, first={B}, blank={B})",
    "{T}|truncate({n})",
    "{T}|truncate({n}, true)",
    "{T}|truncate({n}, {B}, {t})",
    "{T}|truncate({n}, false, '..', {n})",
    "{T}|wordwrap({n})",
    "{T}|wordwrap({n}, {B})",
    "{T}|wordwrap({n}, wrapstring='|')",
    "{T}|wordwrap({n}, break_on_hyphens={B})",
    "{A}|string",
    "{A}|escape",
    "{A}|e",
    "{A}|forceescape",
    "{A}|safe",
    "{T}|striptags",
    "{T}|urlencode",
    "{D}|urlencode",
    "{T}|urlize",
    "{T}|urlize({n})",
    "{T}|urlize(nofollow=true, target={t})",
    "{A}|tojson",
    "{A}|tojson({n})",
    "{A}|pprint",
    "{L}|join",
    "{L}|join({t})",
    "rows|join(', ', attribute='name')",
    "{I}|filesizeformat",
    "{F}|filesizeformat(true)",
    "{T}|reverse",
    "{L}|first",
    "{T}|first",
    "{L}|last",
    "{T}|last",
    "{T}|format({A})",
    "{D}|xmlattr",
    "{D}|xmlattr(false)",
    "{A}|default({T})",
    "{A}|d({T}, true)",
    "nope|default({A})",
    "{A}|attr('real')",
    "{T}.upper()",
    "{T}.lower()",
    "{T}.title()",
    "{T}.capitalize()",
    "{T}.swapcase()",
    "{T}.casefold()",
    "{T}.strip()",
    "{T}.strip({t})",
    "{T}.lstrip({t})",
    "{T}.rstrip()",
    "{T}.center({n})",
    "{T}.center({n}, '*')",
    "{T}.ljust({n}, '.')",
    "{T}.rjust({n})",
    "{T}.zfill({n})",
    "{T}.replace({t}, {t})",
    "{T}.replace({t}, {t}, {i})",
    "{T}.removeprefix({t})",
    "{T}.removesuffix({t})",
    "{t}.join(ls)",
    "{t}.join(({L})|map('string'))",
    "{T}.expandtabs({n})",
    "{T}.partition({t})[0]",
    "{T}.rpartition({t})|last",
    "{T}.encode().decode()",
    "{T}.format({A}, {A})",
    "'{}-{}'.format({A}, {A})",
    "'{0:>{1}}'.format({T}, {n})",
    "'{:{p}}'.format({I})",
    "'{:{q}}'.format({F})",
    "'{!r:>5}'.format({A})",
    "'{:{p}}'.format({F})",
    "'{a[0]} {b.year}'.format(a={L}, b={Y})",
    "'%s' % {A}",
    "'%r' % {T}",
    "'%s-%s' % ({A}, {A})",
    "'%{r}d' % {I}",
    "'%{r}.{n}f' % {F}",
    "'%{r}x' % {I}",
    "'%g %e' % ({F}, {F})",
    "'%(b)s %(a)s' % d",
    "'%c' % 65",
    "'%5.2s|' % {T}",
    "{T}.translate({'a': 'b'})",
    "{A}|string|length|string",
    "{Y}.strftime({s})",
    "{C}.strftime({s})",
    "{Y}.isoformat()",
    "{Y}.isoformat(' ')",
    "{Y}.isoformat(timespec='minutes')",
    "{Y}.ctime()",
    "{Y}.tzname()",
    "{C}.isoformat()",
    "{E}|string",
    "utils.path.basename({T})",
    "utils.path.dirname({T})",
    "utils.path.join({T}, {T})",
    "utils.path.normpath({T})",
    "utils.path.splitext({T})[1]",
    "utils.path.relpath('a/b', 'a/c')",
    "utils.re.sub({x}, {t}, {T})",
    "utils.re.sub({x}, {y}, {T}, {n})",
    "utils.re.escape({T})",
    "utils.re.search({x}, {T})",
    "utils.re.match({x}, {T}).group(0)",
    "utils.s3bucket({T})",
    "utils.s3key({T})",
    "utils.tojson({A})",
    "utils.tojson({A}, indent={n})",
    "utils.tojson({D}, sort_keys=true)",
    "utils.date(2026, 3, {n}).strftime('%A')",
    "({T}|safe) ~ {T}",
    "({T}|e) + {T}",
    "(html|e)|replace('&', {t})",
    "{R}",
    "utils.dateutil.rrule.rrule({n} % 7, dtstart=naive, count={n})",
];

const INT: &[&str] = &[
    "({I} + {I})",
    "({I} - {I})",
    "({I} * {I})",
    "({I} // {I})",
    "({I} % {I})",
    "({i} ** {n})",
    "-{I}",
    "{T}|length",
    "{L}|length",
    "{D}|length",
    "{L}|count",
    "{F}|int",
    "{T}|int",
    "{T}|int({I})",
    "{T}|int(base=16)",
    "{I}|abs",
    "{L}|sum",
    "rows|sum(attribute='pay')",
    "[{I}, {I}]|max",
    "[{I}, {I}]|min",
    "{T}|wordcount",
    "{T}.count({t})",
    "{T}.find({t})",
    "{T}.rfind({t}, {i})",
    "{T}.find({t}, {i}, {i})",
    "{T}.index({t})",
    "{L}.count({A})",
    "{L}.index({A})",
    "{Y}.year",
    "{Y}.month",
    "{Y}.day",
    "{Y}.hour",
    "{Y}.minute",
    "{Y}.microsecond",
    "{Y}.weekday()",
    "{Y}.isoweekday()",
    "{Y}.toordinal()",
    "{Y}.isocalendar()[1]",
    "{Y}.isocalendar().week",
    "{Y}.timetuple().tm_yday",
    "{E}.days",
    "{E}.seconds",
    "({C} - {C}).days",
    "{I}.bit_length()",
    "{L}[{i}]",
    "{D}.b",
    "{D}['b']",
    "{D}.get('b', {I})",
    "({I} if {B} else {I})",
    "({B} and {I})",
    "({I} or {I})",
    "{I}|round|int",
    "{F}|round(0, 'ceil')|int",
    "{E} // {E}",
    "({I}, {I})|first",
    "utils.re.findall({x}, {T})|length",
    "loop.index",
    "{R}.years",
    "{R}.days",
];

const FLOAT: &[&str] = &[
    "({F} + {F})",
    "({F} - {I})",
    "({F} * {F})",
    "({I} / {I})",
    "({F} // {I})",
    "({F} % {F})",
    "({F} ** {n})",
    "{T}|float",
    "{I}|float",
    "{T}|float({F})",
    "{F}|round",
    "{F}|round({n})",
    "{F}|round({n}, 'floor')",
    "{F}|abs",
    "-{F}",
    "{E}.total_seconds()",
    "{E} / {E}",
    "dec",
    "(dec * {I})",
    "(dec + {I})",
    "(dec / {I})",
    "dec|round(1)",
    "(dec // {I})",
    "(dec % {I})",
    "{Y}.timestamp()",
    "[{F}, {I}]|sum",
    "[{F}, {I}, {F}]|max",
    "rows|map(attribute='pay')|sum",
];

const BOOL: &[&str] = &[
    "({A} == {A})",
    "({I} < {I})",
    "({T} < {T})",
    "({F} >= {I})",
    "({I} < {I} <= {I})",
    "({A} != {A})",
    "({A} in {L})",
    "({t} in {T})",
    "({t} not in {D})",
    "(not {A})",
    "({A} and {B})",
    "({A} or {B})",
    "({A} is defined)",
    "({A} is none)",
    "({A} is string)",
    "({A} is number)",
    "({A} is integer)",
    "({A} is float)",
    "({A} is boolean)",
    "({A} is mapping)",
    "({A} is sequence)",
    "({A} is iterable)",
    "({I} is odd)",
    "({I} is even)",
    "({I} is divisibleby({n}))",
    "({A} is eq({A}))",
    "({A} is in({L}))",
    "({A} is sameas({A}))",
    "({T} is upper)",
    "({T} is lower)",
    "({A} is callable)",
    "({A} is escaped)",
    "({A} is true)",
    "({A} is false)",
    "('upper' is filter)",
    "({I} is gt({I}))",
    "({I} is le {n})",
    "{T}.startswith({t})",
    "{T}.endswith({t})",
    "{T}.startswith(({t}, {t}))",
    "{T}.isdigit()",
    "{T}.isalpha()",
    "{T}.isalnum()",
    "{T}.isspace()",
    "{T}.isupper()",
    "{T}.islower()",
    "{T}.istitle()",
    "{T}.isnumeric()",
    "{T}.isdecimal()",
    "{T}.isidentifier()",
    "{T}.isascii()",
    "{T}.isprintable()",
    "({Y} < {Y})",
    "({C} == {C})",
    "({E} > {E})",
    "({L} == {L})",
    "({L} < {L})",
    "({D} == {D})",
    "(utils.re.fullmatch({x}, {T}) is none)",
    "utils.path.isabs({T})",
    "({R} == {R})",
    "(nope is undefined)",
];

const LIST: &[&str] = &[
    "({L} + {L})",
    "({L} * {n})",
    "{L}[{i}:{i}]",
    "{L}[::-1]",
    "{L}|list",
    "{T}|list",
    "{D}|list",
    "{L}|sort",
    "{L}|sort(reverse={B})",
    "ls|sort(case_sensitive={B})",
    "rows|sort(attribute={z})",
    "rows|sort(attribute='dept,pay')",
    "{L}|reverse|list",
    "{L}|unique|list",
    "ls|unique(case_sensitive={B})|list",
    "{L}|map('string')|list",
    "{L}|map('upper')|list",
    "{L}|map('int')|list",
    "rows|map(attribute={z})|list",
    "rows|map(attribute='nope', default={A})|list",
    "rows|selectattr({z})|list",
    "rows|selectattr('dept', 'eq', 'ops')|map(attribute='name')|list",
    "rows|rejectattr('pay', 'gt', {I})|list",
    "{L}|select|list",
    "{L}|select({w})|list",
    "{L}|reject({w})|list",
    "{L}|batch({n})|list",
    "{L}|batch({n}, {A})|list",
    "{L}|slice({n})|list",
    "{L}|slice({n}, {A})|list",
    "{D}|dictsort",
    "{D}|dictsort(reverse={B}, by='value')",
    "{D}|items|list",
    "{D}.items()|list",
    "{D}.keys()|list",
    "{D}.values()|list",
    "rows|groupby({z})",
    "rows|groupby('dept')|map('first')|list",
    "range({n})|list",
    "range({i}, {i})|list",
    "range({i}, {i}, {n})|list",
    "{T}.split()",
    "{T}.split({t})",
    "{T}.split({t}, {n})",
    "{T}.rsplit({t}, {n})",
    "{T}.splitlines()",
    "{T}.splitlines(true)",
    "{T}.partition({t})|list",
    "[{A}, {A}, {A}]",
    "[{I}, {I}]",
    "({A}, {A})",
    "({A},)",
    "{L}.copy()",
    "utils.re.findall({x}, {T})",
    "utils.re.split({x}, {T})",
    "utils.path.split({T})",
    "utils.path.splitext({T})",
    "({L} if {B} else {L})",
    "{Y}.timetuple()",
    "{Y}.isocalendar()",
    "utils.dateutil.rrule.rrule({n} % 7, dtstart=naive, count={n})|list",
    "{L}|map('default', {A})|list",
    "{L}|map('round', {n})|list",
    "{L}|map('tojson')|list",
];

const DICT: &[&str] = &[
    "{'k': {A}, {t}: {A}}",
    "{{I}: {A}}",
    "dict(a={A}, b={A})",
    "dict({D}, z={A})",
    "dict([['k', {A}]])",
    "rows[{i}]",
    "d.a",
    "{D}.copy()",
    "utils.re.match('(?P<a>.)(?P<b>.?)', {T}).groupdict()",
    "{1: {A}, 1.0: {A}}",
    "{none: {A}, true: {A}}",
    "dict.fromkeys({L}|map('string'), {A})",
];

const TIME: &[&str] = &[
    "({Y} + {E})",
    "({Y} - {E})",
    "({Y} + {R})",
    "({Y} - {R})",
    "{Y}.replace(day={n})",
    "{Y}.replace(hour={n}, minute=0)",
    "{Y}.replace(tzinfo=none)",
    "{Y}.astimezone({Z})",
    "{Y}.replace(tzinfo={Z})",
    "utils.datetime(2026, {n}, {n}, {n})",
    "utils.datetime(2026, 3, {n}, tzinfo={Z})",
    "utils.datetime.strptime('2026-03-0{n}', '%Y-%m-%d')",
    "utils.datetime.strptime({v}, {s})",
    "utils.datetime.fromisoformat({v})",
    "utils.datetime.fromtimestamp({I})",
    "utils.datetime.utcfromtimestamp({n})",
    "utils.datetime.combine({C}, utils.time({n}, {n}))",
    "utils.parsedate.parse({v}, default=naive)",
    "utils.parsedate.parse({v}, default=naive, dayfirst={B}, yearfirst={B})",
    "utils.parsedate.isoparse({v})",
    "utils.parsedate.parse({v}, default=naive, fuzzy=true)",
    "utils.dateutil.tz.resolve_imaginary({Y})",
    "utils.dateutil.tz.enfold({Y}, {n} % 2)",
    "utils.datetime.fromordinal(738000 + {n})",
];

const DATE: &[&str] = &[
    "{Y}.date()",
    "utils.date(2026, {n}, {n})",
    "({C} + {E})",
    "({C} - {R})",
    "({C} + {R})",
    "{C}.replace(day={n})",
    "utils.date.fromisoformat({v})",
    "utils.date.fromordinal(700000 + {n})",
    "utils.dateutil.easter.easter(2000 + {n})",
];

const DELTA: &[&str] = &[
    "utils.timedelta(days={I})",
    "utils.timedelta(hours={F})",
    "utils.timedelta({n}, minutes={I})",
    "utils.timedelta(seconds={F}, microseconds={i})",
    "({Y} - {Y})",
    "({C} - {C})",
    "({E} + {E})",
    "({E} * {I})",
    "({E} / {I})",
    "({E} // {n})",
    "-{E}",
    "({E} % {E})",
    "{E}|abs",
    "{Y}.utcoffset()",
    "{Y}.dst()",
];

const RELATIVE: &[&str] = &[
    "utils.dateutil.relativedelta.relativedelta(months={i})",
    "utils.dateutil.relativedelta.relativedelta(days={i}, hours={n})",
    "utils.dateutil.relativedelta.relativedelta(day={n}, month={n})",
    "utils.dateutil.relativedelta.relativedelta(weekday=utils.dateutil.relativedelta.FR({n}))",
    "utils.dateutil.relativedelta.relativedelta(years={i}, day=31)",
    "utils.dateutil.relativedelta.relativedelta(naive, utils.datetime(2020, {n}, {n}))",
    "utils.dateutil.relativedelta.relativedelta(days={f}).normalized()",
    "({R} + {R})",
    "({R} * {n})",
    "-{R}",
];

const ZONES: &[&str] = &[
    "utils.dateutil.tz.UTC",
    "utils.dateutil.tz.tzutc()",
    "utils.dateutil.tz.tzlocal()",
    "utils.dateutil.tz.gettz('Europe/London')",
    "utils.dateutil.tz.gettz('America/New_York')",
    "utils.dateutil.tz.tzoffset('X', {n} * 900)",
    "utils.dateutil.tz.tzstr('EST5EDT')",
    "utils.dateutil.tz.gettz('CET-1CEST,M3.5.0,M10.5.0/3')",
    "start.tzinfo",
    "none",
];

/// Texts: separators, parts of the variables, and what formats and patterns are made of.
const SMALL: &[&str] = &[
    "' '", "','", "'a'", "'l'", "'o'", "''", "'-'", "'Hello'", "'\\n'", "', '", "'ab'", "'.'", "'é'", "'0'",
    "'<'", "\"'\"",
];
const FORMATS: &[&str] = &[
    "'%Y-%m-%d'",
    "'%Y%m%dT%H%M%S'",
    "'%a %d %b %y'",
    "'%A, %B %-d'",
    "'%I:%M %p'",
    "'%j %U %W %V'",
    "'%H:%M:%S.%f'",
    "'%z %Z'",
    "'%c'",
    "'%x %X'",
    "'%G-W%V-%u'",
    "'%%'",
    "'%Q'",
    "'%5d|%_d|%e'",
    "'%s'",
    "'%y%C'",
    "'%D %T %R %F'",
    "'x'",
];
const PATTERNS: &[&str] = &[
    "'[a-z]+'",
    "'l+'",
    "'\\\\d+'",
    "'\\\\w+'",
    "'\\\\s*,\\\\s*'",
    "'(\\\\w)(\\\\w)'",
    "'^.'",
    "'.$'",
    "''",
    "'[^,]*'",
    "'o|l'",
    "'(?i)h'",
    "'\\\\b'",
    "'(?P<x>[aeiou])'",
    "'a{2,}'",
    "'(a)|b'",
    "'(l)\\\\1'",
    "'\\\\W'",
    "'(?<=l)l'",
    "'.(?=o)'",
];
const REPLACEMENTS: &[&str] = &["'<\\\\1>'", "'\\\\g<0>\\\\g<0>'", "''", "'-'", "'\\\\n'", "'$'"];
const INT_SPECS: &[&str] = &[
    "d", "5d", "05d", "+d", ",", "_", "x", "#x", "b", "o", "<6", "^7", "*>8", "e", ".2f", "%", "n", "c", "",
    "X", " d", "010,",
];
const FLOAT_SPECS: &[&str] = &[
    ".2f", "10.3f", "e", ".3e", "g", ".4g", "%", ",.2f", "+.1f", "", "n", "010.2f", "<9", ".0f", "G", "_.3f",
    "#.0f",
];
const FLAGS: &[&str] = &["", "5", "-5", "05", "+", " ", "#", "+06", "-08"];
const MOMENTS: &[&str] = &[
    "'2026-03-01'",
    "'2026-03-01T04:05:06'",
    "'2026-03-01 04:05:06+11:00'",
    "'20260301'",
    "'1 March 2026'",
    "'01/02/2026'",
    "'March 5'",
    "'10:30'",
    "'10:30pm'",
    "'2026-W09-7'",
    "'2026-060'",
    "'Sun Mar  1 15:05:06 2026'",
    "'20260301T040506Z'",
    "'2026-03-01T04:05:06.123456Z'",
    "'3/4'",
    "'Tuesday'",
    "'2026'",
    "'soon'",
    "''",
    "'31/12/99'",
    "'12h30m'",
    "'Jan 2026'",
    "'2026-03-01T24:00'",
    "'99.12.31'",
    "'5 pm UTC'",
    "when",
];
const ATTRIBUTES: &[&str] = &["'name'", "'dept'", "'pay'", "'tags'", "'tags.0'", "'nope'"];
const TESTS: &[&str] = &[
    "'odd'",
    "'string'",
    "'none'",
    "'number'",
    "'defined'",
    "'gt', 1",
    "'in', [1, 'x']",
    "'eq', 2",
    "'mapping'",
];

impl Maker {
    fn of<'a>(&mut self, list: &'a [&'a str]) -> &'a str {
        let at = usize::try_from(self.prng.below(list.len() as u64)).unwrap_or(0);
        list[at]
    }

    /// An expression of a kind, mostly.
    fn expression(&mut self, kind: Kind, depth: u32) -> String {
        let kind = match kind {
            Kind::Any => self.prng.pick(&KINDS),
            kind if self.prng.happens(0.04) => {
                let other = self.prng.pick(&KINDS);
                if other == kind { Kind::Text } else { other }
            }
            kind => kind,
        };
        if depth == 0 || self.prng.happens(0.25) {
            return self.leaf(kind);
        }
        let pattern = match kind {
            Kind::Text => self.of(TEXT),
            Kind::Int => self.of(INT),
            Kind::Float => self.of(FLOAT),
            Kind::Bool => self.of(BOOL),
            Kind::List => self.of(LIST),
            Kind::Dict => self.of(DICT),
            Kind::Time => self.of(TIME),
            Kind::Date => self.of(DATE),
            Kind::Delta | Kind::Any => self.of(DELTA),
        };
        self.filled(pattern, depth - 1)
    }

    fn leaf(&mut self, kind: Kind) -> String {
        let known: Vec<String> =
            self.names.iter().filter(|(_, known)| *known == kind).map(|(name, _)| name.clone()).collect();
        if !known.is_empty() && self.prng.happens(0.3) {
            let at = usize::try_from(self.prng.below(known.len() as u64)).unwrap_or(0);
            return known[at].clone();
        }
        let leaves: &[&str] = match kind {
            Kind::Text => &[
                "s", "t", "u", "e", "html", "path", "csv", "multi", "num", "flo", "when", "'it''s'", "'x'",
                "\"a'b\"",
            ],
            Kind::Int => &["i", "zero", "neg", "big", "0", "1", "2", "10", "-1", "255", "1_000", "0x1F"],
            Kind::Float => &["f", "g", "h", "dec", "0.1", "1.0", "-2.75", "1e3", "3.14159", "100.5"],
            Kind::Bool => &["yes", "no", "true", "false", "none", "nil"],
            Kind::List => &["l", "ls", "ll", "lm", "el", "rows", "[]", "[1, 2, 3]", "()", "range(4)"],
            Kind::Dict => &["d", "ed", "rows[0]", "{}", "{'b': 2}"],
            Kind::Time => &["start", "ustart", "tstart", "naive"],
            Kind::Date => &["utils.date(2026, 3, 1)", "start.date()", "naive.date()"],
            Kind::Delta | Kind::Any => {
                &["utils.timedelta(days=1)", "utils.timedelta(hours=-5, seconds=3)", "utils.timedelta()"]
            }
        };
        self.of(leaves).to_owned()
    }

    /// The pattern with its places filled.
    fn filled(&mut self, pattern: &str, depth: u32) -> String {
        let mut out = String::new();
        let mut rest = pattern;
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let mut chars = rest[1..].chars();
            let (letter, closed) = (chars.next().unwrap_or(' '), chars.next() == Some('}'));
            let place = if closed { self.place(letter, depth) } else { None };
            match place {
                Some(text) => {
                    out.push_str(&text);
                    rest = &rest[3..];
                }
                None => {
                    out.push('{');
                    rest = &rest[1..];
                }
            }
        }
        out + rest
    }

    fn place(&mut self, letter: char, depth: u32) -> Option<String> {
        let kind = match letter {
            'T' => Kind::Text,
            'I' => Kind::Int,
            'F' => Kind::Float,
            'B' => Kind::Bool,
            'L' => Kind::List,
            'D' => Kind::Dict,
            'Y' => Kind::Time,
            'C' => Kind::Date,
            'E' => Kind::Delta,
            'A' => Kind::Any,
            'R' | 'Z' => {
                let pattern = self.of(if letter == 'R' { RELATIVE } else { ZONES });
                let pattern =
                    if depth == 0 { pattern.replace("{R}", RELATIVE[0]) } else { pattern.to_owned() };
                return Some(self.filled(&pattern, depth.saturating_sub(1)));
            }
            'n' => return Some(self.prng.within(1, 12).to_string()),
            'i' => return Some((self.prng.within(0, 12) as i64 - 4).to_string()),
            'f' => return Some(format!("{}.{}", self.prng.within(0, 3), self.prng.within(0, 99))),
            other => {
                let list = match other {
                    't' => SMALL,
                    's' => FORMATS,
                    'x' => PATTERNS,
                    'y' => REPLACEMENTS,
                    'p' => INT_SPECS,
                    'q' => FLOAT_SPECS,
                    'r' => FLAGS,
                    'v' => MOMENTS,
                    'z' => ATTRIBUTES,
                    'w' => TESTS,
                    _ => return None,
                };
                return Some(self.of(list).to_owned());
            }
        };
        Some(self.expression(kind, depth))
    }

    fn any(&mut self) -> String {
        let depth = u32::try_from(self.prng.within(1, u64::from(DEPTH))).unwrap_or(1);
        self.expression(Kind::Any, depth)
    }

    fn statement(&mut self, nesting: u32) -> String {
        let choice = if nesting == 0 { self.prng.below(6) } else { self.prng.below(20) };
        match choice {
            6 => {
                let (test, other) = (self.expression(Kind::Bool, 2), self.expression(Kind::Bool, 1));
                let (a, b, c) =
                    (self.statement(nesting - 1), self.statement(nesting - 1), self.statement(nesting - 1));
                format!("{{% if {test} %}}{a}{{% elif {other} %}}{b}{{% else %}}{c}{{% endif %}}")
            }
            7 | 8 => self.for_loop(nesting),
            9 | 10 => {
                let kind = self.prng.pick(&KINDS);
                let name = format!("v{}", self.names.len());
                let value = self.expression(kind, 2);
                self.names.push((name.clone(), kind));
                format!("{{% set {name} = {value} %}}{}", self.statement(nesting - 1))
            }
            11 => self.block(nesting),
            12 => {
                let (kind, body) = (self.prng.pick(&KINDS), self.any());
                let value = self.expression(kind, 1);
                format!(
                    "{{% macro m(a, b={value}) %}}{{{{ a }}}}-{{{{ b }}}}{{{{ {body} }}}}{{% endmacro %}}{{{{ m({}) }}}}{{{{ m({}, b=1) }}}}",
                    self.any(),
                    self.any()
                )
            }
            13 => {
                let trims = ["{{-", "{{", "{{", "{{+"];
                let ends = ["-}}", "}}", "}}"];
                format!(" \n {} {} {}\n ", self.of(&trims[..3]), self.any(), self.of(&ends))
            }
            14 => "{# note #}text <&> \"'\\n {% raw %}{{ x }}{% endraw %}\n".to_owned(),
            _ => format!("{{{{ {} }}}}", self.any()),
        }
    }

    fn for_loop(&mut self, nesting: u32) -> String {
        let list = self.expression(Kind::List, 2);
        let filter = if self.prng.happens(0.2) {
            format!(" if {}", self.of(&["x", "x is string", "x is number", "loop is undefined", "x != 1"]))
        } else {
            String::new()
        };
        let body = self.of(&[
            "{{ loop.index }}{{ x }},",
            "{{ x }}{% if not loop.last %}, {% endif %}",
            "{{ loop.cycle('a', 'b') }}{{ loop.revindex }}",
            "{{ loop.previtem }}<{{ x }}<{{ loop.nextitem }};",
            "{{ loop.changed(x) }}{{ loop.first }}{{ loop.length }}",
            "{{ x ~ loop.index0 }} ",
        ]);
        let body = body.to_owned();
        let inner = if self.prng.happens(0.4) { self.statement(nesting - 1) } else { String::new() };
        format!("{{% for x in {list}{filter} %}}{body}{inner}{{% else %}}none{{% endfor %}}")
    }

    fn block(&mut self, nesting: u32) -> String {
        let inner = self.statement(nesting - 1);
        match self.prng.below(5) {
            0 => {
                let filter = self.of(&[
                    "upper",
                    "indent(2)",
                    "replace('a', 'b')",
                    "trim",
                    "e",
                    "title",
                    "wordwrap(10)",
                    "urlize",
                ]);
                format!("{{% filter {filter} %}}{inner}{{% endfilter %}}")
            }
            1 => format!("{{% with w = {} %}}{{{{ w }}}}{inner}{{% endwith %}}", self.any()),
            2 => format!("{{% set c %}}{inner}{{% endset %}}{{{{ c|length }}}}{{{{ c }}}}"),
            3 => format!("{{% autoescape true %}}{inner}{{{{ {} }}}}{{% endautoescape %}}", self.any()),
            _ => format!(
                "{{% set ns = namespace(n={}) %}}{{% for x in [1, 2] %}}{{% set ns.n = x %}}{{% endfor %}}{{{{ ns.n }}}}{inner}",
                self.any()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn seed_gives_the_same_template() {
        assert_eq!(template(5), template(5));
        assert_ne!(template(5), template(6));
    }
}
