//! Python's format specification: `[[fill]align][sign][#][0][width][,][.precision][type]`.

use super::number;
use crate::clock;
use crate::fault::{Outcome, fail, over};
use crate::runtime::Runtime;
use crate::value::number::Num;
use crate::value::undefined::with_article;
use crate::value::{Val, show};

/// Digits after the point that a number may be formatted with.
const MAX_PRECISION: usize = 1_000;

/// A parsed specification.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spec {
    pub(crate) fill: Option<char>,
    pub(crate) align: Option<char>,
    pub(crate) sign: Option<char>,
    pub(crate) alternate: bool,
    pub(crate) zero: bool,
    pub(crate) width: usize,
    pub(crate) grouping: Option<char>,
    pub(crate) precision: Option<usize>,
    pub(crate) kind: Option<char>,
}

impl Spec {
    pub(crate) fn parse(text: &str) -> Outcome<Self> {
        let mut spec = Self::default();
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        let is_align = |c: Option<&char>| c.is_some_and(|c| "<>=^".contains(*c));
        if is_align(chars.get(1)) {
            spec.fill = Some(chars[0]);
            spec.align = Some(chars[1]);
            at = 2;
        } else if is_align(chars.first()) {
            spec.align = Some(chars[0]);
            at = 1;
        }
        if let Some(sign @ ('+' | '-' | ' ')) = chars.get(at) {
            spec.sign = Some(*sign);
            at += 1;
        }
        if chars.get(at) == Some(&'z') {
            at += 1;
        }
        if chars.get(at) == Some(&'#') {
            spec.alternate = true;
            at += 1;
        }
        if chars.get(at) == Some(&'0') {
            spec.zero = true;
            at += 1;
        }
        spec.width = digits(&chars, &mut at)?.unwrap_or(0);
        if let Some(grouping @ (',' | '_')) = chars.get(at) {
            spec.grouping = Some(*grouping);
            at += 1;
        }
        if chars.get(at) == Some(&'.') {
            at += 1;
            spec.precision = digits(&chars, &mut at)?;
            if spec.precision.is_none() {
                return fail(format!("the format \"{text}\" lacks a precision after the point"));
            }
        }
        spec.kind = chars.get(at).copied();
        if let (Some(grouping), Some('n')) = (spec.grouping, spec.kind) {
            return fail(format!("a format cannot have both \"{grouping}\" and \"n\""));
        }
        if chars.len() > at + 1 {
            return fail(format!("the format \"{text}\" cannot be read"));
        }
        Ok(spec)
    }

    /// Puts padding around `body`, after its sign where zeros pad.
    pub(crate) fn pad(&self, rt: &Runtime<'_>, body: &str, default: char) -> Outcome<String> {
        rt.step(body.len() as u64 / 16)?;
        let length = body.chars().count();
        let missing = self.width.saturating_sub(length);
        rt.alloc(missing.saturating_mul(4).saturating_add(body.len()))?;
        let fill = self.fill.unwrap_or(if self.zero { '0' } else { ' ' });
        let align = self.align.unwrap_or(if self.zero && default == '>' { '=' } else { default });
        let padding = |count: usize| fill.to_string().repeat(count);
        Ok(match align {
            '<' => body.to_owned() + &padding(missing),
            '^' => padding(missing / 2) + body + &padding(missing - missing / 2),
            '=' => {
                let signed = body.starts_with(['+', '-', ' ']);
                let (sign, rest) = body.split_at(usize::from(signed));
                let prefix = ["0x", "0X", "0b", "0o"]
                    .iter()
                    .find(|prefix| self.alternate && rest.starts_with(**prefix))
                    .map_or(0, |prefix| prefix.len());
                let (prefix, rest) = rest.split_at(prefix);
                format!("{sign}{prefix}{}{rest}", padding(missing))
            }
            _ => padding(missing) + body,
        })
    }

    /// The precision of a number, if it is within bounds.
    pub(crate) fn bounded_precision(&self) -> Outcome<Option<usize>> {
        match self.precision {
            Some(precision) if precision > MAX_PRECISION => over("the precision is too large", "1000 digits"),
            precision => Ok(precision),
        }
    }
}

fn digits(chars: &[char], at: &mut usize) -> Outcome<Option<usize>> {
    let from = *at;
    let mut number = 0usize;
    while let Some(digit) = chars.get(*at).and_then(|c| c.to_digit(10)) {
        number = number.saturating_mul(10).saturating_add(digit as usize);
        *at += 1;
    }
    if number > 1 << 40 {
        return over("the width or precision is too large", "memory_bytes");
    }
    Ok((*at > from).then_some(number))
}

/// `format(value, spec)`.
pub(crate) fn format(rt: &Runtime<'_>, value: &Val, spec: &str) -> Outcome<String> {
    rt.step(spec.len() as u64 / 4)?;
    rt.room(spec.len().saturating_mul(4))?;
    if let Val::Str(text) = value {
        rt.rewrite(text.as_str())?;
        rt.room(text.as_str().len())?;
    }
    if spec.is_empty() {
        return Ok(show::text(rt, value)?.as_str().to_owned());
    }
    if matches!(value, Val::Date(_) | Val::DateTime(_) | Val::Time(_)) {
        return clock::strftime::strftime(rt, value, spec);
    }
    match value {
        Val::Str(text) => {
            let spec = Spec::parse(spec)?;
            let numeric = spec.sign.is_some() || spec.grouping.is_some() || spec.alternate;
            if spec.kind.is_some_and(|kind| kind != 's') || numeric || spec.align == Some('=') {
                return fail(format!("text cannot be formatted as \"{}\"", spec_kind(&spec)));
            }
            let text = text.as_str();
            let cut: String = match spec.precision {
                Some(precision) => text.chars().take(precision).collect(),
                None => text.to_owned(),
            };
            spec.pad(rt, &cut, '<')
        }
        value => match Num::of(value) {
            Some(number) => number::format(rt, &number, &Spec::parse(spec)?),
            None if value.is_undefined() => Err(rt.undefined(value)),
            None => fail(format!(
                "{} takes no format, so \"{spec}\" cannot be applied",
                with_article(value.type_name())
            )),
        },
    }
}

fn spec_kind(spec: &Spec) -> String {
    spec.kind.or(spec.sign).or(spec.align).map_or_else(String::new, String::from)
}
