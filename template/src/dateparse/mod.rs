//! dateutil's `parser`: dates as people write them, and `isoparse`.

mod build;
mod isoparse;
mod numeric;
mod reader;
mod tokens;
mod words;
mod ymd;

use std::sync::Arc;

use crate::call::Args;
use crate::clock::date::Date;
use crate::clock::datetime::DateTime;
use crate::error::ErrorKind;
use crate::eval::objects::Object;
use crate::fault::{Fault, Outcome, fail};
use crate::native::{Member, Methods, Native};
use crate::runtime::Runtime;
use crate::value::show::repr_str;
use crate::value::undefined::with_article;
use crate::value::{Val, digits};
use reader::{Options, Reader};

pub(crate) static MODULE: Native = Native::module(
    "dateutil.parser",
    &[
        ("parse", Member::Native(&PARSE)),
        ("isoparse", Member::Native(&ISOPARSE)),
        ("parser", Member::Native(&PARSER)),
        ("isoparser", Member::Native(&ISOPARSER)),
        ("parserinfo", Member::Refused("name dayfirst, yearfirst or tzinfos in parse()")),
        ("ParserError", Member::Refused(ERRORS)),
        ("UnknownTimezoneWarning", Member::Refused(ERRORS)),
        ("DEFAULTTZPARSER", Member::Refused("use tz.tzstr")),
        ("DEFAULTPARSER", Member::Value(|| Val::Object(Arc::new(Object::Parser)))),
    ],
);

const ERRORS: &str = "a template cannot catch errors";

static PARSER: Native = Native::class("dateutil.parser._parser.parser", parser, &[]);
static ISOPARSER: Native = Native::class("dateutil.parser.isoparser.isoparser", isoparser, &[]);

pub(crate) const PARSER_METHODS: Methods = &[("parse", |rt, _, args| {
    if args.kw.iter().any(|(name, _)| &**name == "parserinfo") {
        return fail("parse() has no parameter \"parserinfo\"");
    }
    let mut args = args;
    if args.pos.len() > 1 {
        args.pos.insert(1, Val::None);
    }
    parse(rt, args)
})];

pub(crate) const ISOPARSER_METHODS: Methods = &[
    ("isoparse", |rt, this, args| {
        let [text] = args.bind("isoparse", ["dt_str"], 1)?;
        isoparsed(rt, text, separator_of(this))
    }),
    ("parse_isodate", |rt, _, args| {
        let [text] = args.bind("parse_isodate", ["datestr"], 1)?;
        let text = text_arg(rt, text)?;
        found(&text, isoparse::date(text.as_bytes()).map(|date| date.map(|date| Val::Date(Date(date)))))
    }),
    ("parse_isotime", |rt, _, args| {
        let [text] = args.bind("parse_isotime", ["timestr"], 1)?;
        let text = text_arg(rt, text)?;
        found(&text, isoparse::clock(text.as_bytes()).map(|time| time.map(|time| Val::Time(Arc::new(time)))))
    }),
    ("parse_tzstr", |rt, _, args| {
        let [text, zero] = args.bind("parse_tzstr", ["tzstr", "zero_as_utc"], 1)?;
        let text = text_arg(rt, text)?;
        let zero = zero.is_none_or(|zero| zero.truth());
        found(&text, Ok(isoparse::offset(text.as_bytes(), zero).map(|zone| Val::Zone(Arc::new(zone)))))
    }),
];

fn separator_of(this: &Val) -> Option<u8> {
    match this {
        Val::Object(object) => match &**object {
            Object::IsoParser(separator) => *separator,
            _ => None,
        },
        _ => None,
    }
}

/// `parser(info)`.
fn parser(_rt: &Runtime<'_>, args: Args) -> Outcome {
    let [info] = args.bind("parser", ["info"], 0)?;
    if info.is_some_and(|info| !info.is_none()) {
        return fail("parser() takes no parserinfo here");
    }
    Ok(Val::Object(Arc::new(Object::Parser)))
}

/// `isoparser(sep)`: the character between date and time; any if none.
fn isoparser(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [separator] = args.bind("isoparser", ["sep"], 0)?;
    let separator = match separator {
        None | Some(Val::None) => None,
        Some(text) => match crate::call::text(rt, "isoparser", "sep", &text)?.as_bytes() {
            [byte] if byte.is_ascii() && !byte.is_ascii_digit() => Some(*byte),
            _ => return fail("isoparser(): \"sep\" must be one ASCII character that is not a digit"),
        },
    };
    Ok(Val::Object(Arc::new(Object::IsoParser(separator))))
}

static PARSE: Native = Native::function("parse", parse);
static ISOPARSE: Native = Native::function("isoparse", isoparse);

/// Characters of a text that is looked through for a date.
const MAX_TEXT: usize = 10_000;

fn text_arg(rt: &Runtime<'_>, value: Option<Val>) -> Outcome<String> {
    match value {
        Some(Val::Str(text)) => {
            rt.step(100 + text.as_str().len() as u64)?;
            if text.as_str().len() > MAX_TEXT {
                return crate::fault::over("the text is too long to be a date", "10000 bytes");
            }
            Ok(text.as_str().to_owned())
        }
        Some(value @ Val::Undefined(_)) => Err(rt.undefined(&value)),
        other => fail(format!(
            "a date is parsed from text, not from {}",
            with_article(other.map_or("NoneType", |other| other.type_name()))
        )),
    }
}

/// `parse(timestr, default=…, ignoretz=…, tzinfos=…, dayfirst=…,
/// yearfirst=…, fuzzy=…, fuzzy_with_tokens=…)`.
fn parse(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [text, info, default, ignoretz, tzinfos, dayfirst, yearfirst, fuzzy, with_tokens] = args.bind(
        "parse",
        [
            "timestr",
            "parserinfo",
            "default",
            "ignoretz",
            "tzinfos",
            "dayfirst",
            "yearfirst",
            "fuzzy",
            "fuzzy_with_tokens",
        ],
        1,
    )?;
    if info.is_some_and(|info| !info.is_none()) {
        return fail("parse() takes no parserinfo here");
    }
    let text = text_arg(rt, text)?;
    let set = |value: &Option<Val>| value.as_ref().is_some_and(Val::truth);
    let with_tokens = set(&with_tokens);
    let options =
        Options { dayfirst: set(&dayfirst), yearfirst: set(&yearfirst), fuzzy: set(&fuzzy) || with_tokens };
    let now = crate::clock::classes::now(rt)?;
    let year = chrono::Datelike::year(&now.wall);
    let Some((found, skipped)) = Reader::new(&digits::ascii(&text), year, options).read() else {
        return fail(format!("{} is not a date dateutil can read", repr_str(&text)));
    };
    if found.is_empty() {
        return fail(format!("there is no date in {}", repr_str(&text)));
    }
    let built = build::build(rt, &found, default.as_ref(), &now)
        .and_then(|naive| {
            if set(&ignoretz) { Ok(naive) } else { build::with_zone(rt, naive, &found, tzinfos.as_ref()) }
        })
        .map_err(|fault| in_text(fault, &text))?;
    if with_tokens {
        let skipped = skipped.iter().map(|part| Val::str(part)).collect();
        return Ok(Val::tuple(vec![built.into_val(), Val::tuple(skipped)]));
    }
    Ok(built.into_val())
}

/// `isoparse(dt_str)`.
fn isoparse(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [text] = args.bind("isoparse", ["dt_str"], 1)?;
    isoparsed(rt, text, None)
}

fn isoparsed(rt: &Runtime<'_>, text: Option<Val>, separator: Option<u8>) -> Outcome {
    let text = text_arg(rt, text)?;
    found(&text, isoparse::isoparse(text.as_bytes(), separator).map(|at| at.map(DateTime::into_val)))
}

fn found(text: &str, result: Outcome<Option<Val>>) -> Outcome {
    match result {
        Ok(Some(value)) => Ok(value),
        Ok(None) => fail(format!("{} is not in ISO 8601 format", repr_str(text))),
        Err(fault) => Err(in_text(fault, text)),
    }
}

fn in_text(mut fault: Box<Fault>, text: &str) -> Box<Fault> {
    if fault.kind == ErrorKind::Runtime {
        fault.message = format!("{} is not a date: {}", repr_str(text), fault.message);
    }
    fault
}
