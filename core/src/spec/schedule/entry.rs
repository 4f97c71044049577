//! One entry of a schedule.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::limit::{Limit, broken_limit};
use super::times::{BadCrontab, Bound, Crontab, Timezone};
use crate::duration::Span;
use crate::globals::is_reserved_global;
use crate::number::Count;
use crate::problem::{given, show};
use crate::schema::{check, schema_of};
use crate::spec::Overlap;
use crate::text::quoted;

/// The longest interval: ten years.
const MAX_EVERY: Span = Span::from_days(3_660);
/// The longest time by which starts are spread.
const MAX_JITTER: Span = Span::from_days(1);
/// Most instants of an entry.
pub(crate) const MAX_INSTANTS: usize = 1_000;
/// The fields of an entry's timing: exactly one of these is given.
const TIMES: [&str; 3] = ["crontab", "every", "at"];

/// The policy for slots that were missed, as nothing looked at the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum CatchUp {
    /// They are passed over.
    None,
    /// The last one is made up for.
    #[default]
    Last,
    /// All are made up for.
    All,
}

/// On which hosts a slot starts its job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Nodes {
    /// On one of them.
    #[default]
    One,
    /// On each that is alive.
    All,
}

/// Where a slot goes that a calendar leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Shift {
    /// To the next day that the calendars leave.
    Next,
    /// To the day before that they leave.
    Previous,
}

/// One value or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// A list.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::Many(many) => many.iter(),
        }
    }
}

/// The timing of an entry.
#[derive(Clone, Copy, Debug)]
pub enum RecurrenceSpec<'a> {
    /// A crontab.
    Crontab(&'a Crontab),
    /// An interval.
    Every(Span),
    /// Instants, in any order.
    At(&'a OneOrMany<Bound>),
}

/// One entry: a crontab, an interval or instants, with the time in which it holds. With `from` after `to` it holds
/// outside the two (lava guide, Lava Scheduling Objects).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("format" = "schedule-entry"))]
pub struct ScheduleEntry {
    /// When the job is started: five fields, or an `@` form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crontab: Option<Crontab>,
    /// Instead of a crontab: how much time passes between two starts, counted from `from`, or from when the entry was
    /// first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Instead of a crontab: one instant or a list of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<OneOrMany<Bound>>,
    /// The time from which the entry holds: ISO 8601, or a text that dateutil reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Bound>,
    /// The time until which the entry holds: ISO 8601, or a text that dateutil reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Bound>,
    /// The IANA zone of its times; default: the job's, else the realm's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Timezone>,
    /// The policy for starts that were missed, as nothing was there to make them: `none`, `last` or `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// For how long after its time a start that was missed is made up for; default: the time between two, an hour at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
    /// With `catch_up: all`: with more to make up for than so many, 20 by default, the entry halts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Count>,
    /// The overlap policy when the job is already running, over the job's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// On which hosts a slot starts the job: on `one` that takes from its worker's queue, or on `all` that are alive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Nodes>,
    /// Starts come later by up to so much, by a time that follows from the job's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Span>,
    /// Calendars of the realm on whose days it does not start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<OneOrMany<String>>,
    /// Calendars of the realm on whose days alone it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<OneOrMany<String>>,
    /// Where a start goes that `skip` or `only` leaves out: to the `next` day that they leave, or the `previous`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
    /// After so many starts there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_runs: Option<Count>,
    /// Whether it starts the job once as soon as the entry is first seen.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub run_now: bool,
    /// How long after its slot, or by which time of day, the run of a slot must have begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub must_start: Option<Limit>,
    /// How long after its slot, or by which time of day, the run of a slot must have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_by: Option<Limit>,
    /// How long the entry may be without a run that ended well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_silence: Option<Span>,
    /// After so many runs in a row that ended badly the entry is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_after: Option<Count>,
    /// Globals of the runs of this entry, over the job's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub globals: Option<Map<String, Value>>,
    /// Parameters of the runs of this entry, over the job's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
}

impl ScheduleEntry {
    /// Reads a crontab or an object.
    pub(super) fn from_value(value: &Value) -> Result<Self, String> {
        if let Value::String(text) = value {
            let crontab = text.parse().map_err(|error: BadCrontab| error.to_string())?;
            return Ok(Self { crontab: Some(crontab), ..Self::default() });
        }
        // Each instant of a list takes its time to read.
        if let Some(many) = too_many_instants(value) {
            return Err(many);
        }
        // A list would be read as the fields of an entry, in their order.
        if !value.is_object() {
            return Err(format!("expected a string or an object, got {}", given(value)));
        }
        let entry = Self::deserialize(value).map_err(|error| mistakes(value).unwrap_or(error.to_string()))?;
        broken_rule(value).map_or(Ok(entry), Err)
    }

    /// Its timing.
    #[must_use]
    pub fn starts(&self) -> Option<RecurrenceSpec<'_>> {
        let crontab = self.crontab.as_ref().map(RecurrenceSpec::Crontab);
        crontab
            .or_else(|| self.every.map(RecurrenceSpec::Every))
            .or_else(|| self.at.as_ref().map(RecurrenceSpec::At))
    }
}

/// The error for an entry that starts its job on each host, where the job is to run once at a time.
pub(crate) fn locked_nodes(overlap: &str) -> String {
    format!(
        "nodes: all with overlap: {overlap} would start the job on one host alone, as its lock is one for all hosts; give the entry overlap: allow"
    )
}

/// The mistakes that keep an object from being an entry, in the words of `check`.
fn mistakes(value: &Value) -> Option<String> {
    static SCHEMA: LazyLock<Value> = LazyLock::new(schema_of::<ScheduleEntry>);
    let mistakes: Vec<String> = check(&SCHEMA, value).iter().map(ToString::to_string).collect();
    (!mistakes.is_empty()).then(|| mistakes.join("; "))
}

/// The error for an entry with more instants than it may have.
fn too_many_instants(value: &Value) -> Option<String> {
    let count = value.get("at").and_then(Value::as_array).map_or(0, Vec::len);
    (count > MAX_INSTANTS).then(|| format!("at has {count} instants, more than {MAX_INSTANTS}"))
}

/// The rule that an entry breaks, of those that one field by itself does not show.
pub(crate) fn broken_rule(value: &Value) -> Option<String> {
    let fields = value.as_object()?;
    let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let times: Vec<&str> = TIMES.into_iter().filter(|name| given(name).is_some()).collect();
    match times[..] {
        [] => return Some("the field \"crontab\" is missing, or every or at in its place".to_owned()),
        [_] => {}
        _ => return Some(format!("{} were given; give one of them", times.join(" and "))),
    }
    let span = |name: &str| given(name).and_then(|value| Span::deserialize(value).ok());
    if let Some(every) = span("every") {
        let whole = every.get().subsec_nanos() == 0;
        if every.is_zero() || !whole || every > MAX_EVERY {
            return Some(format!(
                "every is whole seconds, from 1s to {MAX_EVERY}, not {}",
                show(&fields["every"])
            ));
        }
    }
    if let Some(jitter) = span("jitter").filter(|jitter| *jitter > MAX_JITTER) {
        return Some(format!("a jitter of {jitter:#} is more than {MAX_JITTER}"));
    }
    for name in given("globals").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
        if is_reserved_global(name) {
            return Some(format!(
                "the global {} is reserved: names beginning with lava are the engine's own",
                quoted(name)
            ));
        }
    }
    let instants = given("at").and_then(Value::as_array).map_or(1, Vec::len);
    if instants == 0 {
        return Some("at has no instant".to_owned());
    }
    if let Some(many) = too_many_instants(value) {
        return Some(many);
    }
    if let Some(shift) = given("shift") {
        let plain = given("crontab").and_then(Value::as_str).is_some_and(names_one_time_a_day);
        if given("skip").is_none() && given("only").is_none() {
            return Some(format!("shift: {} has no calendar to shift by: give skip or only", show(shift)));
        }
        if !plain {
            return Some("shift is for a crontab with one minute and one hour".to_owned());
        }
    }
    if given("nodes").is_some_and(|nodes| nodes == "all")
        && let Some(overlap) = given("overlap").filter(|overlap| *overlap != "allow")
    {
        return Some(locked_nodes(overlap.as_str().unwrap_or_default()));
    }
    if given("max").is_some() && fields.get("catch_up") != Some(&Value::from("all")) {
        return Some("max is for catch_up: all".to_owned());
    }
    broken_limit(fields)
}

/// Whether a crontab names one time of the days that it names.
fn names_one_time_a_day(crontab: &str) -> bool {
    let is_number =
        |field: Option<&str>| field.is_some_and(|field| field.bytes().all(|b| b.is_ascii_digit()));
    let mut fields = crontab.split_whitespace();
    (is_number(fields.next()) && is_number(fields.next()))
        || ["@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"]
            .iter()
            .any(|form| crontab.trim().eq_ignore_ascii_case(form))
}
