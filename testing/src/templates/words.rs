//! The parts of random templates.
//!
//! `{T}`, `{I}`, … are replaced by expressions of a kind, and small letters by words of the lists below.

#[rustfmt::skip]
pub(super) const TEXT: &[&str] = &[
    "({T} ~ {A})", "({t} + {t})", "({t} * {n})", "{T}[{i}]", "{T}[{i}:{i}]", "{T}[::{n}]", "{T}[:{i}]",
    "({T} if {B} else {T})", "{T}|upper", "{T}|lower", "{T}|title", "{T}|capitalize", "{T}|trim",
    "{T}|trim({t})", "{T}|center({n})", "{T}|replace({t}, {t})", "{T}|replace({t}, {t}, {n})",
    "{T}|indent({n})", "{T}|indent({n}, true)", "{T}|indent({n}, first={B}, blank={B})",
    "{T}|truncate({n})", "{T}|truncate({n}, true)", "{T}|truncate({n}, {B}, {t})",
    "{T}|truncate({n}, false, '..', {n})", "{T}|wordwrap({n})", "{T}|wordwrap({n}, {B})",
    "{T}|wordwrap({n}, wrapstring='|')", "{T}|wordwrap({n}, break_on_hyphens={B})", "{A}|string",
    "{A}|escape", "{A}|e", "{A}|forceescape", "{A}|safe", "{T}|striptags", "{T}|urlencode", "{D}|urlencode",
    "{T}|urlize", "{T}|urlize({n})", "{T}|urlize(nofollow=true, target={t})", "{A}|tojson",
    "{A}|tojson({n})", "{A}|pprint", "{L}|join", "{L}|join({t})", "rows|join(', ', attribute='name')",
    "{I}|filesizeformat", "{F}|filesizeformat(true)", "{T}|reverse", "{L}|first", "{T}|first", "{L}|last",
    "{T}|last", "{T}|format({A})", "{D}|xmlattr", "{D}|xmlattr(false)", "{A}|default({T})",
    "{A}|d({T}, true)", "nope|default({A})", "{A}|attr('real')", "{T}.upper()", "{T}.lower()",
    "{T}.title()", "{T}.capitalize()", "{T}.swapcase()", "{T}.casefold()", "{T}.strip()", "{T}.strip({t})",
    "{T}.lstrip({t})", "{T}.rstrip()", "{T}.center({n})", "{T}.center({n}, '*')", "{T}.ljust({n}, '.')",
    "{T}.rjust({n})", "{T}.zfill({n})", "{T}.replace({t}, {t})", "{T}.replace({t}, {t}, {i})",
    "{T}.removeprefix({t})", "{T}.removesuffix({t})", "{t}.join(ls)", "{t}.join(({L})|map('string'))",
    "{T}.expandtabs({n})", "{T}.partition({t})[0]", "{T}.rpartition({t})|last", "{T}.encode().decode()",
    "{T}.format({A}, {A})", "'{}-{}'.format({A}, {A})", "'{0:>{1}}'.format({T}, {n})",
    "'{:{p}}'.format({I})", "'{:{q}}'.format({F})", "'{!r:>5}'.format({A})", "'{:{p}}'.format({F})",
    "'{a[0]} {b.year}'.format(a={L}, b={Y})", "'%s' % {A}", "'%r' % {T}", "'%s-%s' % ({A}, {A})",
    "'%{r}d' % {I}", "'%{r}.{n}f' % {F}", "'%{r}x' % {I}", "'%g %e' % ({F}, {F})", "'%(b)s %(a)s' % d",
    "'%c' % 65", "'%5.2s|' % {T}", "{T}.translate({'a': 'b'})", "{A}|string|length|string",
    "{Y}.strftime({s})", "{C}.strftime({s})", "{Y}.isoformat()", "{Y}.isoformat(' ')",
    "{Y}.isoformat(timespec='minutes')", "{Y}.ctime()", "{Y}.tzname()", "{C}.isoformat()", "{E}|string",
    "utils.path.basename({T})", "utils.path.dirname({T})", "utils.path.join({T}, {T})",
    "utils.path.normpath({T})", "utils.path.splitext({T})[1]", "utils.path.relpath('a/b', 'a/c')",
    "utils.re.sub({x}, {t}, {T})", "utils.re.sub({x}, {y}, {T}, {n})", "utils.re.escape({T})",
    "utils.re.search({x}, {T})", "utils.re.match({x}, {T}).group(0)", "utils.s3bucket({T})",
    "utils.s3key({T})", "utils.tojson({A})", "utils.tojson({A}, indent={n})",
    "utils.tojson({D}, sort_keys=true)", "utils.date(2026, 3, {n}).strftime('%A')", "({T}|safe) ~ {T}",
    "({T}|e) + {T}", "(html|e)|replace('&', {t})", "{R}",
    "utils.dateutil.rrule.rrule({n} % 7, dtstart=naive, count={n})", "{Y}.time().isoformat()",
    "utils.time({n}, {n}).strftime('%H:%M')", "utils.time({n}, 5, 6, 7).replace(hour=1)", "{Y}.timetz()",
    "{T}.encode('utf-8')", "{T}.encode('ascii')", "{T}.encode().hex()",
    "utils.re.compile({x}).sub({y}, {T})", "utils.re.subn({x}, {t}, {T})",
    "utils.re.search({x}, {T}).span()", "utils.re.search({x}, {T}).groups()",
    "utils.re.search({x}, {T}).start()", "utils.re.search({x}, {T}).lastindex",
    "utils.path.commonprefix(ls)", "utils.path.commonpath(['/a/b', '/a/c'])", "{T}.maketrans({t}, {t})",
    "{A}|items|list", "{A}|list", "{A}|length", "{D}.pop({t}, {A})", "{D}.setdefault({t}, {A})",
    "[{D}.update({D}), d]", "[l.append({A}), l]", "[ls.extend({L}), ls]", "[l.insert({i}, {A}), l]",
    "l.pop({i})", "[lm.remove({A}), lm]", "[l.sort(), l]", "[ls.reverse(), ls]",
    "[ls.sort(reverse=true), ls]", "cycler({A}, {A}).next()", "joiner({t})()", "{A}.real", "{A}['b']",
    "{A}[{i}]", "{A}.upper()", "{A}|upper", "{A}|trim", "{A}|first", "{A}|last", "{A}|reverse|list",
    "{A}|unique|list", "{A}|sort", "{A}|sum", "{A}|join('-')", "{A}|round", "{A}|int", "{A}|float",
    "{A}|abs", "{A}|filesizeformat", "{A}|title", "{A}|wordcount", "{A}|truncate(5)", "{A}|indent",
    "{A}|wordwrap(5)", "{A}|center(20)", "{A}|replace('a', 'b')", "{A}|batch(2)|list", "{A}|slice(2)|list",
    "{A}|map('string')|list", "{A}|select|list", "{A}|groupby('b')", "{A}|dictsort", "{A}|min", "{A}|max",
    "{A}|xmlattr", "{A}|urlencode", "{A}|striptags", "{A}|tojson|length", "{A}|pprint|length",
    "(rows * {n})|pprint", "{L}|map('length')|list", "{A} ~ {A}", "{A} + {A}", "{A} - {A}", "{A} * {A}",
    "{A} / {A}", "{A} // {A}", "{A} % {A}", "{A} ** 2", "-({A})", "+({A})", "{A} < {A}", "{A} in {A}",
    "{A} and {A}", "{A} or {A}", "utils.tojson({A}, ensure_ascii=false)",
    "utils.date.today() > utils.date(2020, 1, 1)", "{T}.istitle() ~ {T}.title()",
    "{T}|urlize(extra_schemes=['ftp:'])", "'{:>{n}}|{:^9}|{:<5}'.format({T}, {I}, {F})",
    "'%*d' % ({n}, {I})", "'%-{n}s|' % {T}", "'%i%%' % {F}", "'%s' % ({L},)", "'%s %s' % {A}",
];

#[rustfmt::skip]
pub(super) const INT: &[&str] = &[
    "({I} + {I})", "({I} - {I})", "({I} * {I})", "({I} // {I})", "({I} % {I})", "({i} ** {n})", "-{I}",
    "{T}|length", "{L}|length", "{D}|length", "{L}|count", "{F}|int", "{T}|int", "{T}|int({I})",
    "{T}|int(base=16)", "{I}|abs", "{L}|sum", "rows|sum(attribute='pay')", "[{I}, {I}]|max",
    "[{I}, {I}]|min", "{T}|wordcount", "{T}.count({t})", "{T}.find({t})", "{T}.rfind({t}, {i})",
    "{T}.find({t}, {i}, {i})", "{T}.index({t})", "{L}.count({A})", "{L}.index({A})", "{Y}.year",
    "{Y}.month", "{Y}.day", "{Y}.hour", "{Y}.minute", "{Y}.microsecond", "{Y}.weekday()",
    "{Y}.isoweekday()", "{Y}.toordinal()", "{Y}.isocalendar()[1]", "{Y}.isocalendar().week",
    "{Y}.timetuple().tm_yday", "{E}.days", "{E}.seconds", "({C} - {C}).days", "{I}.bit_length()",
    "{L}[{i}]", "{D}.b", "{D}['b']", "{D}.get('b', {I})", "({I} if {B} else {I})", "({B} and {I})",
    "({I} or {I})", "{I}|round|int", "{F}|round(0, 'ceil')|int", "{E} // {E}", "({I}, {I})|first",
    "utils.re.findall({x}, {T})|length", "loop.index", "{R}.years", "{R}.days", "{T}.encode()|length",
    "{Y}.fold", "{I}.conjugate()", "{I}.numerator", "{L}|map('length')|sum", "{L}|max", "{L}|min",
    "ls|map('length')|max", "rows|map(attribute='tags')|map('length')|sum", "{D}|length",
    "({I}|string)|length", "{I}.as_integer_ratio()[0]", "utils.datetime(2026, 3, {n}).isoweekday()",
    "dec|int", "'{:d}'.format({I})|int",
];

#[rustfmt::skip]
pub(super) const FLOAT: &[&str] = &[
    "({F} + {F})", "({F} - {I})", "({F} * {F})", "({I} / {I})", "({F} // {I})", "({F} % {F})",
    "({F} ** {n})", "{T}|float", "{I}|float", "{T}|float({F})", "{F}|round", "{F}|round({n})",
    "{F}|round({n}, 'floor')", "{F}|abs", "-{F}", "{E}.total_seconds()", "{E} / {E}", "dec", "(dec * {I})",
    "(dec + {I})", "(dec / {I})", "dec|round(1)", "(dec // {I})", "(dec % {I})", "{Y}.timestamp()",
    "[{F}, {I}]|sum", "[{F}, {I}, {F}]|max", "rows|map(attribute='pay')|sum", "{F}|round({i})",
    "dec ** {n}", "dec|float", "({F}|string)|float", "{I}|round(-1)", "{I}|round({i}, 'floor')",
    "dec|round({n})", "-dec", "-dec38", "dec38.quantize(dec)", "(dec38 // {I})", "dec38|round(20)", "+dec38", "dec38 % dec", "dec - dec", "{F}.real", "({I} / 3)|round(2)", "dec|abs",
    "(dec * dec)|round({n}, 'ceil')",
];

#[rustfmt::skip]
pub(super) const BOOL: &[&str] = &[
    "({A} == {A})", "({I} < {I})", "({T} < {T})", "({F} >= {I})", "({I} < {I} <= {I})", "({A} != {A})",
    "({A} in {L})", "({t} in {T})", "({t} not in {D})", "(not {A})", "({A} and {B})", "({A} or {B})",
    "({A} is defined)", "({A} is none)", "({A} is string)", "({A} is number)", "({A} is integer)",
    "({A} is float)", "({A} is boolean)", "({A} is mapping)", "({A} is sequence)", "({A} is iterable)",
    "({I} is odd)", "({I} is even)", "({I} is divisibleby({n}))", "({A} is eq({A}))", "({A} is in({L}))",
    "({A} is sameas({A}))", "({T} is upper)", "({T} is lower)", "({A} is callable)", "({A} is escaped)",
    "({A} is true)", "({A} is false)", "('upper' is filter)", "({I} is gt({I}))", "({I} is le {n})",
    "{T}.startswith({t})", "{T}.endswith({t})", "{T}.startswith(({t}, {t}))", "{T}.isdigit()",
    "{T}.isalpha()", "{T}.isalnum()", "{T}.isspace()", "{T}.isupper()", "{T}.islower()", "{T}.istitle()",
    "{T}.isnumeric()", "{T}.isdecimal()", "{T}.isidentifier()", "{T}.isascii()", "{T}.isprintable()",
    "({Y} < {Y})", "({C} == {C})", "({E} > {E})", "({L} == {L})", "({L} < {L})", "({D} == {D})",
    "(utils.re.fullmatch({x}, {T}) is none)", "utils.path.isabs({T})", "({R} == {R})",
    "(nope is undefined)",
];

#[rustfmt::skip]
pub(super) const LIST: &[&str] = &[
    "({L} + {L})", "({L} * {n})", "{L}[{i}:{i}]", "{L}[::-1]", "{L}|list", "{T}|list", "{D}|list",
    "{L}|sort", "{L}|sort(reverse={B})", "ls|sort(case_sensitive={B})", "rows|sort(attribute={z})",
    "rows|sort(attribute='dept,pay')", "{L}|reverse|list", "{L}|unique|list",
    "ls|unique(case_sensitive={B})|list", "{L}|map('string')|list", "{L}|map('upper')|list",
    "{L}|map('int')|list", "rows|map(attribute={z})|list", "rows|map(attribute='nope', default={A})|list",
    "rows|selectattr({z})|list", "rows|selectattr('dept', 'eq', 'ops')|map(attribute='name')|list",
    "rows|rejectattr('pay', 'gt', {I})|list", "{L}|select|list", "{L}|select({w})|list",
    "{L}|reject({w})|list", "{L}|batch({n})|list", "{L}|batch({n}, {A})|list", "{L}|slice({n})|list",
    "{L}|slice({n}, {A})|list", "{D}|dictsort", "{D}|dictsort(reverse={B}, by='value')", "{D}|items|list",
    "{D}.items()|list", "{D}.keys()|list", "{D}.values()|list", "rows|groupby({z})",
    "rows|groupby('dept')|map('first')|list", "range({n})|list", "range({i}, {i})|list",
    "range({i}, {i}, {n})|list", "{T}.split()", "{T}.split({t})", "{T}.split({t}, {n})",
    "{T}.rsplit({t}, {n})", "{T}.splitlines()", "{T}.splitlines(true)", "{T}.partition({t})|list",
    "[{A}, {A}, {A}]", "[{I}, {I}]", "({A}, {A})", "({A},)", "{L}.copy()", "utils.re.findall({x}, {T})",
    "utils.re.split({x}, {T})", "utils.path.split({T})", "utils.path.splitext({T})",
    "({L} if {B} else {L})", "{Y}.timetuple()", "{Y}.isocalendar()",
    "utils.dateutil.rrule.rrule({n} % 7, dtstart=naive, count={n})|list", "{L}|map('default', {A})|list",
    "{L}|map('round', {n})|list", "{L}|map('tojson')|list", "{L}|map(attribute=0)|list",
    "ll|map('first')|list", "{L}|map('replace', {t}, {t})|list", "{L}|list|sort|reverse|list",
    "rows|sort(attribute='pay', reverse={B})|map(attribute='name')|list",
    "rows|groupby('dept', default={t})|list", "rows|unique(attribute='dept')|list",
    "rows|map(attribute='tags.0')|list", "rows|map(attribute='tags.0', default='-')|list",
    "{D}|dictsort(case_sensitive={B})", "{D}.items()|sort", "{T}|batch({n}, '-')|map('join')|list",
    "({L}|batch({n})|list)[0]", "utils.re.finditer({x}, {T})|map(attribute='string')|list",
    "{L}|selectattr('b')|list", "ls|map('capitalize')|list", "ls|map('center', {n})|list",
    "ls|select('in', {T})|list", "ls|reject('lower')|list", "[{L}, {L}]|sum(start=[])", "{L}|zip",
    "{T}.split({t})|select|list",
    "utils.dateutil.rrule.rrule(2, dtstart=naive, count={n}, byweekday=({n} % 7, {n} % 5))|list",
    "utils.dateutil.rrule.rrule(1, dtstart=naive, count={n}, bymonthday={i})|list",
    "utils.dateutil.rrule.rrule(0, dtstart=naive, count=3, byweekday=utils.dateutil.rrule.MO({i}))|list",
    "utils.dateutil.rrule.rrule(4, dtstart=naive, count={n}, interval={n})[:{n}]",
];

#[rustfmt::skip]
pub(super) const DICT: &[&str] = &[
    "{'k': {A}, {t}: {A}}", "{{I}: {A}}", "dict(a={A}, b={A})", "dict({D}, z={A})", "dict([['k', {A}]])",
    "rows[{i}]", "d.a", "{D}.copy()", "utils.re.match('(?P<a>.)(?P<b>.?)', {T}).groupdict()",
    "{1: {A}, 1.0: {A}}", "{none: {A}, true: {A}}", "dict.fromkeys({L}|map('string'), {A})",
];

#[rustfmt::skip]
pub(super) const TIME: &[&str] = &[
    "({Y} + {E})", "({Y} - {E})", "({Y} + {R})", "({Y} - {R})", "{Y}.replace(day={n})",
    "{Y}.replace(hour={n}, minute=0)", "{Y}.replace(tzinfo=none)", "{Y}.astimezone({Z})",
    "{Y}.replace(tzinfo={Z})", "utils.datetime(2026, {n}, {n}, {n})",
    "utils.datetime(2026, 3, {n}, tzinfo={Z})", "utils.datetime.strptime('2026-03-0{n}', '%Y-%m-%d')",
    "utils.datetime.strptime({v}, {s})", "utils.datetime.fromisoformat({v})",
    "utils.datetime.fromtimestamp({I})", "utils.datetime.utcfromtimestamp({n})",
    "utils.datetime.combine({C}, utils.time({n}, {n}))", "utils.parsedate.parse({v}, default=naive)",
    "utils.parsedate.parse({v}, default=naive, dayfirst={B}, yearfirst={B})",
    "utils.parsedate.isoparse({v})", "utils.parsedate.parse({v}, default=naive, fuzzy=true)",
    "utils.dateutil.tz.resolve_imaginary({Y})", "utils.dateutil.tz.enfold({Y}, {n} % 2)",
    "utils.datetime.fromordinal(738000 + {n})", "{Y}.replace(fold={n} % 2)",
    "{Y}.replace(year=2000 + {n}, month={n})", "{Y}.astimezone()",
    "utils.datetime.fromisoformat({Y}.isoformat())", "utils.parsedate.parse({Y}|string)",
    "utils.parsedate.isoparse({Y}.isoformat())", "utils.datetime.fromtimestamp({Y}.timestamp(), {Z})",
    "utils.datetime.strptime({Y}.strftime('%Y%m%d%H%M%S'), '%Y%m%d%H%M%S')",
    "utils.datetime.strptime({Y}.strftime({s}), {s})", "{Y}.astimezone({Z}).astimezone({Z})",
    "utils.datetime(2026, {n}, 28, {n}, tzinfo={Z}) + {E}", "[{Y}, {Y}]|max", "[{Y}, {Y}]|min",
    "utils.datetime(2026, 4, 5, 2, {n}, tzinfo=start.tzinfo, fold={n} % 2)",
    "utils.datetime(2026, 10, 4, 2, {n}, tzinfo=start.tzinfo)",
    "utils.dateutil.utils.default_tzinfo({Y}, {Z})",
    "utils.datetime.fromisocalendar(2026, {n}, 1 + {n} % 7)",
];

#[rustfmt::skip]
pub(super) const DATE: &[&str] = &[
    "{Y}.date()", "utils.date(2026, {n}, {n})", "({C} + {E})", "({C} - {R})", "({C} + {R})",
    "{C}.replace(day={n})", "utils.date.fromisoformat({v})", "utils.date.fromordinal(700000 + {n})",
    "utils.dateutil.easter.easter(2000 + {n})",
];

#[rustfmt::skip]
pub(super) const DELTA: &[&str] = &[
    "utils.timedelta(days={I})", "utils.timedelta(hours={F})", "utils.timedelta({n}, minutes={I})",
    "utils.timedelta(seconds={F}, microseconds={i})", "({Y} - {Y})", "({C} - {C})", "({E} + {E})",
    "({E} * {I})", "({E} / {I})", "({E} // {n})", "-{E}", "({E} % {E})", "{E}|abs", "{Y}.utcoffset()",
    "{Y}.dst()",
];

#[rustfmt::skip]
pub(super) const RELATIVE: &[&str] = &[
    "utils.dateutil.relativedelta.relativedelta(months={i})",
    "utils.dateutil.relativedelta.relativedelta(days={i}, hours={n})",
    "utils.dateutil.relativedelta.relativedelta(day={n}, month={n})",
    "utils.dateutil.relativedelta.relativedelta(weekday=utils.dateutil.relativedelta.FR({n}))",
    "utils.dateutil.relativedelta.relativedelta(years={i}, day=31)",
    "utils.dateutil.relativedelta.relativedelta(naive, utils.datetime(2020, {n}, {n}))",
    "utils.dateutil.relativedelta.relativedelta(days={f}).normalized()", "({R} + {R})", "({R} * {n})",
    "-{R}",
];

#[rustfmt::skip]
pub(super) const ZONES: &[&str] = &[
    "utils.dateutil.tz.UTC", "utils.dateutil.tz.tzutc()", "utils.dateutil.tz.tzlocal()",
    "utils.dateutil.tz.gettz('Europe/London')", "utils.dateutil.tz.gettz('America/New_York')",
    "utils.dateutil.tz.tzoffset('X', {n} * 900)", "utils.dateutil.tz.tzstr('EST5EDT')",
    "utils.dateutil.tz.gettz('CET-1CEST,M3.5.0,M10.5.0/3')", "start.tzinfo", "none",
    "utils.dateutil.tz.gettz('America/Sao_Paulo')", "utils.dateutil.tz.gettz('Asia/Kathmandu')",
];

/// Texts: separators, parts of the variables, and parts of formats and patterns.
#[rustfmt::skip]
pub(super) const SMALL: &[&str] = &[
    "' '", "','", "'a'", "'l'", "'o'", "''", "'-'", "'Hello'", "'\\n'", "', '", "'ab'", "'.'", "'é'", "'0'",
    "'<'", "\"'\"",
];

#[rustfmt::skip]
pub(super) const FORMATS: &[&str] = &[
    "'%Y-%m-%d'", "'%Y%m%dT%H%M%S'", "'%a %d %b %y'", "'%A, %B %-d'", "'%I:%M %p'", "'%j %U %W %V'",
    "'%H:%M:%S.%f'", "'%z %Z'", "'%c'", "'%x %X'", "'%G-W%V-%u'", "'%%'", "'%Q'", "'%5d|%_d|%e'", "'%s'",
    "'%y%C'", "'%D %T %R %F'", "'x'",
];

#[rustfmt::skip]
pub(super) const PATTERNS: &[&str] = &[
    "'[a-z]+'", "'l+'", "'\\\\d+'", "'\\\\w+'", "'\\\\s*,\\\\s*'", "'(\\\\w)(\\\\w)'", "'^.'", "'.$'", "''",
    "'[^,]*'", "'o|l'", "'(?i)h'", "'\\\\b'", "'(?P<x>[aeiou])'", "'a{2,}'", "'(a)|b'", "'(l)\\\\1'",
    "'\\\\W'", "'(?<=l)l'", "'.(?=o)'",
];

#[rustfmt::skip]
pub(super) const REPLACEMENTS: &[&str] = &[
    "'<\\\\1>'", "'\\\\g<0>\\\\g<0>'", "''", "'-'", "'\\\\n'", "'$'",
];

#[rustfmt::skip]
pub(super) const INT_SPECS: &[&str] = &[
    "d", "5d", "05d", "+d", ",", "_", "x", "#x", "b", "o", "<6", "^7", "*>8", "e", ".2f", "%", "n", "c", "",
    "X", " d", "010,",
];

#[rustfmt::skip]
pub(super) const FLOAT_SPECS: &[&str] = &[
    ".2f", "10.3f", "e", ".3e", "g", ".4g", "%", ",.2f", "+.1f", "", "n", "010.2f", "<9", ".0f", "G",
    "_.3f", "#.0f",
];

#[rustfmt::skip]
pub(super) const FLAGS: &[&str] = &[
    "", "5", "-5", "05", "+", " ", "#", "+06", "-08",
];

#[rustfmt::skip]
pub(super) const MOMENTS: &[&str] = &[
    "'2026-03-01'", "'2026-03-01T04:05:06'", "'2026-03-01 04:05:06+11:00'", "'20260301'", "'1 March 2026'",
    "'01/02/2026'", "'March 5'", "'10:30'", "'10:30pm'", "'2026-W09-7'", "'2026-060'",
    "'Sun Mar  1 15:05:06 2026'", "'20260301T040506Z'", "'2026-03-01T04:05:06.123456Z'", "'3/4'",
    "'Tuesday'", "'2026'", "'soon'", "''", "'31/12/99'", "'12h30m'", "'Jan 2026'", "'2026-03-01T24:00'",
    "'99.12.31'", "'5 pm UTC'", "when",
];

#[rustfmt::skip]
pub(super) const ATTRIBUTES: &[&str] = &[
    "'name'", "'dept'", "'pay'", "'tags'", "'tags.0'", "'nope'",
];

#[rustfmt::skip]
pub(super) const TESTS: &[&str] = &[
    "'odd'", "'string'", "'none'", "'number'", "'defined'", "'gt', 1", "'in', [1, 'x']", "'eq', 2",
    "'mapping'",
];
