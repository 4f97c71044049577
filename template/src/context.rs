//! The variables of a rendering, and where it gets time and chance from.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, FixedOffset, NaiveDateTime, Utc};
use serde_json::Value as Json;

use crate::Zone;
use crate::clock::datetime;
use crate::clock::zone::TzInfo;
use crate::value::containers::{Dict, Entries, Key};
use crate::value::marks::{Controls, Looks, Marks};
use crate::value::{Decimal, Text, Val, convert};

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

/// The variables that templates see, by name, and the zone, time and
/// randomness they work with. Cheap to clone.
///
/// `utils` and Jinja2's own functions need not be inserted; a variable of
/// the same name hides them. A rendering never changes a context: templates
/// that change a list work on a copy.
#[derive(Clone)]
pub struct Context {
    vars: Arc<HashMap<Arc<str>, Var>>,
    zone: Zone,
    now: Option<DateTime<Utc>>,
    random: Option<Arc<Fill>>,
    /// Set when a template asks for the time, for chance or for the worker's zone.
    asked: Option<Arc<AtomicBool>>,
}

/// A variable, and what structures need of it, found out once.
#[derive(Clone)]
struct Var {
    value: Val,
    looks: Arc<OnceLock<Looks>>,
    marked: Arc<OnceLock<Val>>,
}

impl Var {
    fn looks(&self) -> Looks {
        *self.looks.get_or_init(|| Looks::of(&self.value))
    }
}

/// The functions and filters whose value depends on the moment they are called, on chance or on the
/// worker's zone. A search for them in the text of a template shows before it is rendered what
/// [`Context::with_asked`] shows afterwards.
pub const OF_THE_MOMENT: [&str; 13] = [
    "fromtimestamp",
    "gettz",
    "lipsum",
    "now",
    "parse",
    "random",
    "rrule",
    "today",
    "tzlocal",
    "utcnow",
    "uuid",
    "uuid1",
    "uuid4",
];

impl Context {
    /// A context without variables, for a worker in `zone`.
    pub fn new(zone: Zone) -> Self {
        Self { vars: Arc::default(), zone, now: None, random: None, asked: None }
    }

    /// The same context in which it is always `now`: what
    /// `utils.datetime.now()`, `utcnow()`, `today()` and the fields a parsed
    /// date leaves out are taken from. Without it, the system's clock.
    #[must_use]
    pub fn with_now(mut self, now: DateTime<Utc>) -> Self {
        self.now = Some(now);
        self
    }

    /// The same context with `fill` as the source of the random bytes behind
    /// `utils.uuid()`, `random` and `lipsum`. Without it, the system's.
    #[must_use]
    pub fn with_random(mut self, fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        self.random = Some(Arc::new(fill));
        self
    }

    /// The same context, which sets `asked` when a template asks for the time,
    /// for random bytes or for the worker's zone: rendered later, or
    /// elsewhere, it may have another value.
    #[must_use]
    pub fn with_asked(mut self, asked: Arc<AtomicBool>) -> Self {
        self.asked = Some(asked);
        self
    }

    fn note_asked(&self) {
        if let Some(asked) = &self.asked {
            asked.store(true, Ordering::Relaxed);
        }
    }

    /// Sets a variable. Local times in `value` are given this context's
    /// zone.
    pub fn insert(&mut self, name: impl Into<String>, value: Value) {
        let value = datetime::settle(value.0, self.zone);
        let var = Var { value, looks: Arc::default(), marked: Arc::default() };
        Arc::make_mut(&mut self.vars).insert(name.into().into(), var);
    }

    /// The zone of the worker for which templates are rendered.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// The same for a template that asks for it: another worker may have another.
    pub(crate) fn local_zone(&self) -> Zone {
        self.note_asked();
        self.zone
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Val> {
        self.vars.get(name).map(|var| &var.value)
    }

    /// The control characters in the texts of a variable, if there is one.
    pub(crate) fn controls(&self, name: &str) -> Controls {
        self.vars.get(name).map(|var| var.looks().controls).unwrap_or_default()
    }

    /// A variable with these marks in its texts.
    pub(crate) fn get_marked(&self, name: &str, marks: Marks) -> Option<Cow<'_, Val>> {
        let var = self.vars.get(name)?;
        Some(if !var.looks().needs_marks {
            Cow::Borrowed(&var.value)
        } else if marks == Marks::USUAL {
            Cow::Borrowed(var.marked.get_or_init(|| marks.protect_value(&var.value)))
        } else {
            Cow::Owned(marks.protect_value(&var.value))
        })
    }

    /// The names of the variables, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.vars.keys().map(|name| &**name)
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.note_asked();
        self.about_now()
    }

    /// The time, for what is the same all year: the names of the worker's
    /// zone.
    pub(crate) fn about_now(&self) -> DateTime<Utc> {
        self.now.unwrap_or_else(Utc::now)
    }

    pub(crate) fn random_bytes(&self) -> [u8; 16] {
        self.note_asked();
        match &self.random {
            Some(fill) => {
                let mut bytes = [0; 16];
                fill(&mut bytes);
                bytes
            }
            None => *uuid::Uuid::new_v4().as_bytes(),
        }
    }

    pub(crate) fn random_u64(&self) -> u64 {
        let bytes = self.random_bytes();
        // The middle bytes of a version 4 UUID are not all random.
        let mut folded = 0u64;
        for byte in bytes {
            folded = folded.rotate_left(8) ^ u64::from(byte).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        folded
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = self.names().collect();
        names.sort_unstable();
        f.debug_struct("Context").field("names", &names).field("zone", &self.zone).finish_non_exhaustive()
    }
}

/// A variable's value.
#[derive(Clone)]
pub struct Value(pub(crate) Val);

impl From<Json> for Value {
    /// JSON as Python's `json.loads` reads it. Objects keep their order.
    fn from(value: Json) -> Self {
        Self(convert::from_json(value))
    }
}

impl Value {
    /// Text.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self(Val::Str(Text::plain(text)))
    }

    /// A number as DynamoDB gives it, shown as Python's Decimal shows it:
    /// `2.50` stays `2.50`. `None` if the text is not a decimal number.
    pub fn decimal(number: &str) -> Option<Self> {
        Decimal::parse(number).map(|number| Self(Val::Decimal(Arc::new(number))))
    }

    /// An instant as a time in the worker's zone, like lava's `start`
    /// (dateutil's `tzlocal()`). The zone is that of the context the value is
    /// inserted in.
    pub fn local(at: DateTime<Utc>) -> Self {
        Self(datetime::from_instant(at, TzInfo::Worker))
    }

    /// An instant as a UTC time, like lava's `job.ts_ustart` (dateutil's
    /// `tzutc()`).
    pub fn utc(at: DateTime<Utc>) -> Self {
        Self(datetime::from_instant(at, TzInfo::TzUtc))
    }

    /// An instant as a UTC time, like lava's `ustart` (Python's
    /// `timezone.utc`).
    pub fn timezone_utc(at: DateTime<Utc>) -> Self {
        Self(datetime::from_instant(at, TzInfo::Utc))
    }

    /// An instant as a worker in `zone` writes it into a message and another
    /// reads it, like lava's `job.ts_dispatch`: with the offset that the zone
    /// has then (dateutil's `isoparse`).
    pub fn sent(at: DateTime<Utc>, zone: Zone) -> Self {
        let local = datetime::from_instant(at, TzInfo::Local(zone));
        let seconds = match &local {
            Val::DateTime(local) => local.offset().unwrap_or(0),
            _ => 0,
        };
        let tz = if seconds == 0 { TzInfo::TzUtc } else { TzInfo::Offset { name: None, seconds } };
        Self(datetime::from_instant(at, tz))
    }

    /// A time with a fixed offset, as `datetime.fromisoformat` reads it.
    pub fn offset(at: DateTime<FixedOffset>) -> Self {
        let seconds = at.offset().local_minus_utc();
        Self(datetime::from_instant(at.to_utc(), TzInfo::fixed(seconds)))
    }

    /// A time without a zone.
    pub fn naive(at: NaiveDateTime) -> Self {
        Self(datetime::naive(at))
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Self {
        Self(Val::list(items.into_iter().map(|item| item.0).collect()))
    }

    /// A map; a later entry replaces an earlier one of the same key.
    pub fn map(entries: impl IntoIterator<Item = (String, Value)>) -> Self {
        let entries: Entries =
            entries.into_iter().map(|(key, value)| (Key(Val::Str(Text::plain(key))), value.0)).collect();
        Self(Val::Dict(Arc::new(Dict::new(entries))))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.0.type_name())
    }
}
