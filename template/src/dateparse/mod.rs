//! dateutil's `parser`: dates as people write them, and `isoparse`.

mod build;
mod isoparse;
mod numeric;
mod reader;
mod tokens;
mod words;
mod ymd;

use crate::call::Args;
use crate::error::ErrorKind;
use crate::fault::{Fault, Outcome, fail};
use crate::native::{Member, Native};
use crate::runtime::Runtime;
use crate::value::show::repr_str;
use crate::value::undefined::with_article;
use crate::value::{Val, digits};
use reader::{Options, Reader};

pub(crate) static MODULE: Native = Native::module(
    "dateutil.parser",
    &[("parse", Member::Native(&PARSE)), ("isoparse", Member::Native(&ISOPARSE))],
);

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
    let text = text_arg(rt, text)?;
    match isoparse::isoparse(text.as_bytes()) {
        Ok(Some(datetime)) => Ok(datetime.into_val()),
        Ok(None) => fail(format!("{} is not in ISO 8601 format", repr_str(&text))),
        Err(fault) => Err(in_text(fault, &text)),
    }
}

fn in_text(mut fault: Box<Fault>, text: &str) -> Box<Fault> {
    if fault.kind == ErrorKind::Runtime {
        fault.message = format!("{} is not a date: {}", repr_str(text), fault.message);
    }
    fault
}
