//! Trouble inside a rendering, before it has a place in the template.

use crate::error::ErrorKind;
use crate::syntax::Span;

/// The result of everything that runs inside a template.
pub(crate) type Outcome<T = crate::value::Val> = Result<T, Box<Fault>>;

/// An error that has not been tied to the template's text yet.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) at: Option<Span>,
}

impl Fault {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Box<Self> {
        let mut message = message.into();
        if let Some((cut, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
            message.truncate(cut);
            message.push('…');
        }
        Box::new(Self { kind, message, hint: None, at: None })
    }

    /// Notes the place, unless a deeper one is known.
    pub(crate) fn or_at(mut self: Box<Self>, at: Span) -> Box<Self> {
        self.at.get_or_insert(at);
        self
    }

    /// Adds the nearest of `known` to `name` as a hint.
    pub(crate) fn nearest<'a>(
        mut self: Box<Self>,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Box<Self> {
        self.hint = nearest(name, known);
        self
    }
}

/// A wrong type or value: Python would raise.
pub(crate) fn fail<T>(message: impl Into<String>) -> Outcome<T> {
    Err(Fault::new(ErrorKind::Runtime, message))
}

/// A limit that was reached, with its name in [`Limits`](crate::Limits).
pub(crate) fn over<T>(message: impl Into<String>, limit: &str) -> Outcome<T> {
    let message = message.into();
    Err(Fault::new(ErrorKind::Limit, format!("{message} (limit {limit})")))
}

/// Characters of a message; its quotations may be long.
const LONGEST_MESSAGE: usize = 600;
/// Bytes of a name that others are compared with.
const LONGEST_NAME: usize = 100;
/// How unlike a name may be to be offered as a hint.
const LIKENESS: f64 = 0.7;

/// The known name most like `name`, if one is like it at all.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    known
        .into_iter()
        .take(1_000)
        .filter(|candidate| *candidate != name && candidate.len() <= LONGEST_NAME)
        .map(|candidate| {
            let score = strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase());
            (score, candidate)
        })
        .filter(|(score, _)| *score > LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}
