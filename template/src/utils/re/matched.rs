//! Match objects.

use std::sync::Arc;

use super::pattern::Pattern;
use super::substitute::Template;
use crate::call::{self, Args};
use crate::fault::{Fault, Outcome, fail};
use crate::native::Methods;
use crate::runtime::Runtime;
use crate::value::containers::{Dict, Entries, Key};
use crate::value::show::{repr, repr_str};
use crate::value::{Text, Val};

pub(crate) const MATCH_METHODS: Methods = &[
    ("end", |rt, this, args| bound(rt, this, args, "end", |(_, end)| Val::Int(end))),
    ("expand", expand),
    ("group", group),
    ("groupdict", groupdict),
    ("groups", groups),
    ("span", |rt, this, args| {
        bound(rt, this, args, "span", |(start, end)| Val::tuple(vec![Val::Int(start), Val::Int(end)]))
    }),
    ("start", |rt, this, args| bound(rt, this, args, "start", |(start, _)| Val::Int(start))),
];

/// Where a pattern matched.
#[derive(Debug)]
pub(crate) struct Match {
    pattern: Arc<Pattern>,
    text: Text,
    /// Byte ranges of the whole match and its groups.
    spans: Vec<Option<(usize, usize)>>,
}

impl Match {
    pub(super) fn new(pattern: Arc<Pattern>, text: Text, spans: Vec<Option<(usize, usize)>>) -> Self {
        Self { pattern, text, spans }
    }

    /// The text that was looked through.
    pub(crate) fn string(&self) -> &str {
        self.text.as_str()
    }

    /// The byte range of the whole match.
    pub(super) fn whole(&self) -> (usize, usize) {
        self.spans.first().copied().flatten().unwrap_or((0, 0))
    }

    /// The text of a group; `None` if it took no part.
    pub(super) fn part(&self, group: usize) -> Option<&str> {
        let (start, end) = self.spans.get(group).copied().flatten()?;
        self.text.as_str().get(start..end)
    }

    pub(super) fn groups(&self) -> usize {
        self.spans.len() - 1
    }

    fn number_of(&self, group: &Val) -> Option<usize> {
        match group {
            Val::Int(number) => usize::try_from(*number).ok().filter(|number| *number < self.spans.len()),
            Val::Str(name) => self.pattern.group_of(name.as_str()),
            _ => None,
        }
    }

    pub(super) fn value(&self, group: usize, default: &Val) -> Val {
        self.part(group).map_or_else(|| default.clone(), Val::str)
    }

    /// `m[group]`.
    pub(crate) fn group(&self, group: &Val) -> Option<Val> {
        Some(self.value(self.number_of(group)?, &Val::None))
    }

    /// [`group`](Self::group), charged.
    pub(crate) fn charged(&self, rt: &Runtime<'_>, group: &Val) -> Outcome<Option<Val>> {
        if let Some(number) = self.number_of(group) {
            rt.alloc(self.part(number).map_or(0, str::len))?;
        }
        Ok(self.group(group))
    }

    /// The bytes of all groups.
    fn bytes(&self) -> usize {
        (1..self.spans.len()).filter_map(|group| self.part(group)).map(str::len).sum()
    }

    /// A byte position counted in characters.
    fn chars_to(&self, at: usize) -> i64 {
        self.text.as_str()[..at].chars().count() as i64
    }

    pub(crate) fn field(&self, name: &str) -> Option<Val> {
        let last = (1..self.spans.len())
            .filter(|group| self.spans[*group].is_some())
            .max_by_key(|group| self.spans[*group].map(|(start, end)| (end, std::cmp::Reverse(start))));
        Some(match name {
            "string" => Val::Str(self.text.clone()),
            "re" => Val::Pattern(Arc::clone(&self.pattern)),
            "pos" => Val::Int(0),
            "endpos" => Val::Int(self.text.chars() as i64),
            "lastindex" => last.map_or(Val::None, |group| Val::Int(group as i64)),
            "lastgroup" => self
                .pattern
                .names()
                .find(|(_, number)| Some(*number) == last)
                .map_or(Val::None, |(name, _)| Val::str(name)),
            _ => return None,
        })
    }

    pub(crate) fn repr(&self) -> String {
        let (start, end) = self.whole();
        format!(
            "<re.Match object; span=({}, {}), match={}>",
            self.chars_to(start),
            self.chars_to(end),
            // Python shows fifty characters of it.
            repr_str(self.part(0).unwrap_or("")).chars().take(50).collect::<String>()
        )
    }
}

fn own(this: &Val) -> Outcome<&Arc<Match>> {
    match this {
        Val::Match(found) => Ok(found),
        other => fail(format!("a {} is not a match", other.type_name())),
    }
}

fn no_group(rt: &Runtime<'_>, found: &Match, group: &Val) -> Box<Fault> {
    let shown = repr(rt, group).unwrap_or_default();
    let count = found.groups();
    Fault::new(crate::ErrorKind::Runtime, format!("the pattern has no group {shown}: it has {count}"))
}

fn group(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let found = own(this)?;
    let one = |group: &Val| match found.charged(rt, group)? {
        Some(value) => Ok(value),
        None => Err(no_group(rt, found, group)),
    };
    match &args.pos[..] {
        [] => one(&Val::Int(0)),
        [group] => one(group),
        groups => {
            rt.alloc_items(groups.len())?;
            let values: Outcome<Vec<Val>> = groups.iter().map(one).collect();
            Ok(Val::tuple(values?))
        }
    }
}

fn groups(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [default] = args.bind("groups", ["default"], 0)?;
    let default = default.unwrap_or(Val::None);
    let found = own(this)?;
    rt.alloc_items(found.groups())?;
    rt.alloc(found.bytes())?;
    Ok(Val::tuple((1..=found.groups()).map(|group| found.value(group, &default)).collect()))
}

fn groupdict(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [default] = args.bind("groupdict", ["default"], 0)?;
    let default = default.unwrap_or(Val::None);
    let found = own(this)?;
    rt.alloc_entries(found.groups())?;
    rt.alloc(found.bytes())?;
    let entries: Entries = found
        .pattern
        .names()
        .map(|(name, group)| (Key(Val::str(name)), found.value(group, &default)))
        .collect();
    Ok(Val::Dict(Arc::new(Dict::new(entries))))
}

fn bound(rt: &Runtime<'_>, this: &Val, args: Args, function: &str, get: fn((i64, i64)) -> Val) -> Outcome {
    let [group] = args.bind(function, ["group"], 0)?;
    let group = group.unwrap_or(Val::Int(0));
    let found = own(this)?;
    let Some(number) = found.number_of(&group) else {
        return Err(no_group(rt, found, &group));
    };
    rt.step(found.text.as_str().len() as u64 / 32)?;
    Ok(get(match found.spans[number] {
        Some((start, end)) => (found.chars_to(start), found.chars_to(end)),
        None => (-1, -1),
    }))
}

fn expand(rt: &Runtime<'_>, this: &Val, args: Args) -> Outcome {
    let [template] = args.bind("expand", ["template"], 1)?;
    let template = template.unwrap_or(Val::None);
    let found = own(this)?;
    let template = call::text(rt, "expand", "template", &template)?;
    rt.rewrite(template)?;
    rt.room(template.len().saturating_mul(32))?;
    let template = Template::parse(&found.pattern, &rt.readable_slashes(template))?;
    let mut out = crate::value::show::Shown::new(rt);
    template.expand(found, &mut out)?;
    rt.text(out.text)
}
