//! `s3bucket` and `s3key`.

use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::methods::text::alike;
use crate::runtime::Runtime;
use crate::value::Val;
use crate::value::show::repr_str;

/// Bucket and key of `bucket/key`, `/bucket/key`, `s3:bucket/key` or
/// `s3://bucket/key`; slashes around them are dropped.
fn split(name: &str) -> Outcome<(&str, &str)> {
    let bare =
        name.strip_prefix("s3://").or_else(|| name.strip_prefix("s3:")).unwrap_or(name).trim_matches('/');
    let (bucket, key) = bare.split_once('/').unwrap_or((bare, ""));
    if bucket.is_empty() {
        return fail(format!("{} names no S3 bucket", repr_str(name)));
    }
    Ok((bucket, key.trim_matches('/')))
}

/// `utils.s3bucket(name)`.
pub(super) fn bucket(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [name] = args.bind("s3bucket", ["s"], 1)?;
    let name = name.unwrap_or(Val::None);
    part(rt, &name, split(call::text(rt, "s3bucket", "s", &name)?)?.0)
}

/// `utils.s3key(name)`.
pub(super) fn key(rt: &Runtime<'_>, args: Args) -> Outcome {
    let [name] = args.bind("s3key", ["s"], 1)?;
    let name = name.unwrap_or(Val::None);
    part(rt, &name, split(call::text(rt, "s3key", "s", &name)?)?.1)
}

/// A part of a name, markup if the name is.
fn part(rt: &Runtime<'_>, name: &Val, part: &str) -> Outcome {
    match name {
        Val::Str(text) => alike(rt, text, part.to_owned()),
        _ => rt.text(part),
    }
}
