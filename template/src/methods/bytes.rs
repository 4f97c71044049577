//! Methods of `bytes`.

use crate::call::{self, Args};
use crate::fault::{Outcome, fail};
use crate::native::Methods;
use crate::runtime::Runtime;
use crate::value::Val;

pub(crate) const METHODS: Methods = &[("decode", decode), ("hex", hex)];

fn own(this: &Val) -> &[u8] {
    match this {
        Val::Bytes(bytes) => bytes,
        _ => &[],
    }
}

fn decode(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [encoding, _errors] = args.bind("decode", ["encoding", "errors"], 0)?;
    let encoding = encoding.unwrap_or_else(|| Val::str("utf-8"));
    let name = call::text(rt, "decode", "encoding", &encoding)?.to_lowercase().replace('_', "-");
    let bytes = own(this);
    rt.step(bytes.len() as u64 / 16)?;
    rt.alloc(bytes.len().saturating_mul(2))?;
    match name.as_str() {
        "utf-8" | "utf8" | "ascii" | "us-ascii" => match std::str::from_utf8(bytes) {
            Ok(text) => rt.text(text),
            Err(_) => fail(format!("the bytes are not {name}")),
        },
        "latin-1" | "latin1" | "iso-8859-1" => {
            rt.text(bytes.iter().map(|byte| char::from(*byte)).collect::<String>())
        }
        _ => fail(format!("unknown encoding \"{name}\": use utf-8, ascii or latin-1")),
    }
}

fn hex(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    args.none("hex")?;
    rt.step(own(this).len() as u64 / 8)?;
    rt.alloc(own(this).len() * 4)?;
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    rt.text(own(this).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>())
}
