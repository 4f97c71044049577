//! An entry of a schedule in words.

use super::cron::last_days;
use super::planned::PlannedEntry;
use crate::spec::{Crontab, Limit, Nodes, OneOrMany, RecurrenceSpec, ScheduleEntry, Shift};

/// Most instants of an entry that are written out.
const MAX_INSTANTS: usize = 3;
const WEEKDAYS: &str = "Monday, Tuesday, Wednesday, Thursday, and Friday";

/// An entry in words, with its zone: `each day at 02:30 Europe/Berlin`.
#[must_use]
pub fn describe(planned: &PlannedEntry) -> String {
    let (starts, limits) = (starts_in_words(&planned.spec), limits_in_words(&planned.spec));
    let comma = if starts.contains(", ") { "," } else { "" };
    format!("{starts}{comma} {}{limits}", planned.zone.name())
}

/// The timing of an entry, in words and without its zone: `each day at 02:30`.
#[must_use]
pub fn starts_in_words(spec: &ScheduleEntry) -> String {
    match spec.starts() {
        None => "never".to_owned(),
        Some(RecurrenceSpec::Crontab(crontab)) => crontab_in_words(crontab),
        Some(RecurrenceSpec::Every(every)) => format!("every {every}"),
        Some(RecurrenceSpec::At(OneOrMany::One(at))) => format!("once at {at}"),
        Some(RecurrenceSpec::At(OneOrMany::Many(many))) => {
            let shown: Vec<&str> = many.iter().take(MAX_INSTANTS).map(|at| at.as_str()).collect();
            let rest = many.len().saturating_sub(MAX_INSTANTS);
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            format!("at {}{more}", shown.join(", "))
        }
    }
}

/// The time in which an entry holds, its calendars, jitter, number of starts and dead-man limits, each after a
/// comma.
#[must_use]
pub fn limits_in_words(spec: &ScheduleEntry) -> String {
    let mut parts = Vec::new();
    match (&spec.from, &spec.to) {
        (Some(from), Some(to)) => parts.push(format!("from {from} to {to}")),
        (Some(from), None) => parts.push(format!("from {from}")),
        (None, Some(to)) => parts.push(format!("until {to}")),
        (None, None) => {}
    }
    let names = |names: &Option<OneOrMany<String>>| {
        let names: Vec<&str> = names.as_ref()?.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    parts.extend(names(&spec.only).map(|only| format!("only on {only}")));
    parts.extend(names(&spec.skip).map(|skip| format!("not on {skip}")));
    parts.extend(spec.shift.map(|shift| match shift {
        Shift::Next => "else on the next day".to_owned(),
        Shift::Previous => "else on the day before".to_owned(),
    }));
    parts.extend(spec.jitter.map(|jitter| format!("up to {jitter} later")));
    parts.extend((spec.nodes == Some(Nodes::All)).then(|| "on each host".to_owned()));
    parts.extend(spec.max_runs.map(|max| match max.as_u32() {
        1 => "one time".to_owned(),
        max => format!("{max} times"),
    }));
    let within = |limit: Limit| match limit {
        Limit::After(span) => format!("within {span}"),
        Limit::At(_) => format!("by {limit}"),
    };
    parts.extend(spec.must_start.map(|limit| format!("must start {}", within(limit))));
    parts.extend(spec.finish_by.map(|limit| format!("must end {}", within(limit))));
    parts.extend(spec.max_silence.map(|max| format!("must end well each {max}")));
    parts.extend(spec.pause_after.map(|most| match most.as_u32() {
        1 => "paused after a failure".to_owned(),
        most => format!("paused after {most} failures"),
    }));
    parts.iter().map(|part| format!(", {part}")).collect()
}

/// A crontab as croner has it, to look at its fields; `None` for `@reboot`.
pub(super) fn pattern(crontab: &Crontab) -> Option<croner::Cron> {
    crontab.pattern()?.parse().ok()
}

/// A crontab in croner's words, which take a step as an interval where it is none: `*/40` is at 0 and 40.
fn crontab_in_words(crontab: &Crontab) -> String {
    let Some(mut cron) = pattern(crontab) else {
        return "when the service starts".to_owned();
    };
    let fields = &mut cron.pattern;
    for (field, size) in [(&mut fields.minutes, 60), (&mut fields.hours, 24), (&mut fields.months, 12)] {
        let (step, values) = (field.step, field.values());
        let is_even = step > 1
            && size % step == 0
            && values.len() > 1
            && values.first() == Some(&field.min)
            && values.len() == usize::from(size / step);
        if !is_even {
            field.step = 1;
        }
    }
    let every_day = fields.is_dom_wildcard() && fields.is_dow_wildcard();
    if every_day {
        // Each day of every second month is not one day in two months.
        fields.months.step = 1;
    }
    let fields = &cron.pattern;
    let one_time = fields.minutes.values().len() == 1 && fields.hours.values().len() == 1;
    let text = cron.describe();
    let text = text.trim_end_matches('.');
    let mut words = format!("{}{}", text[..1].to_ascii_lowercase(), &text[1..]);
    words =
        words.replace("at every ", "every ").replace(", of ", " of ").replace(WEEKDAYS, "Monday to Friday");
    // croner takes both for the last day.
    let last = match last_days(crontab.as_str().split_whitespace().nth(2).unwrap_or_default()) {
        (_, false) => "the last day of the month",
        (false, true) => "the last weekday of the month",
        (true, true) => "the last day and the last weekday of the month",
    };
    words = words.replace("the last day of the month", last);
    if every_day && one_time { format!("each day {words}") } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn words(entry: Value) -> String {
        let entry = match entry {
            Value::String(text) => json!({ "crontab": text }),
            other => other,
        };
        let spec: ScheduleEntry = serde_json::from_value(entry).unwrap();
        format!("{}{}", starts_in_words(&spec), limits_in_words(&spec))
    }

    #[test]
    fn crontab_is_said_as_it_fires() {
        for (crontab, wanted) in [
            ("30 2 * * *", "each day at 02:30"),
            ("@daily", "each day at 00:00"),
            ("@midnight", "each day at 00:00"),
            ("@hourly", "at minute 0 past every hour"),
            ("@weekly", "at 00:00, on Sunday"),
            ("@yearly", "at 00:00, on day 1, in January"),
            ("@reboot", "when the service starts"),
            ("* * * * *", "every minute"),
            ("*/15 * * * *", "every 15 minutes"),
            ("*/40 * * * *", "at minute 0 and 40 past every hour"),
            ("0-30/10 * * * *", "at minute 0, 10, 20, and 30 past every hour"),
            ("0 */6 * * *", "at minute 0 of every 6 hours"),
            ("0 */7 * * *", "at minute 0 of hour 0, 7, 14, and 21"),
            ("0 9 * * 1-5", "at 09:00, on Monday to Friday"),
            ("30 2 * * 1", "at 02:30, on Monday"),
            ("0 0 13 * 5", "at 00:00, on day 13 or Friday"),
            ("0 0 13 * +5", "at 00:00, on day 13 (if it is also Friday)"),
            ("0 0 L * *", "at 00:00, on the last day of the month"),
            ("0 0 LW * *", "at 00:00, on the last weekday of the month"),
            ("0 0 lw * *", "at 00:00, on the last weekday of the month"),
            ("0 0 L,LW * *", "at 00:00, on the last day and the last weekday of the month"),
            ("0 0 lw,l * *", "at 00:00, on the last day and the last weekday of the month"),
            ("0 0 15W * *", "at 00:00, on the weekday nearest day 15"),
            ("0 0 * * 5#2", "at 00:00, on the 2nd Friday of the month"),
            ("0 0 * * 5L", "at 00:00, on the last Friday of the month"),
            ("0 0 1 */3 *", "at 00:00, on day 1, in every 3 months"),
            ("0 0 * */12 *", "each day at 00:00, in January"),
            ("0 0 1 */12 *", "at 00:00, on day 1, in January"),
            ("0 0 * */6 *", "each day at 00:00, in January and July"),
            ("*/5 * * */6 *", "every 5 minutes, in January and July"),
            ("0 0 1 */5 *", "at 00:00, on day 1, in January, June, and November"),
            ("0 0 1 2-12/5 *", "at 00:00, on day 1, in February, July, and December"),
        ] {
            assert_eq!(words(json!(crontab)), wanted, "{crontab}");
        }
    }

    #[test]
    fn other_entries_and_limits_are_said() {
        for (entry, wanted) in [
            (json!({ "every": "6h" }), "every 6h"),
            (json!({ "every": "6h", "skip": [], "only": [] }), "every 6h"),
            (json!({ "every": "6h", "skip": ["a", "b"], "only": "c" }), "every 6h, only on c, not on a, b"),
            (json!({ "at": "2027-01-01" }), "once at 2027-01-01"),
            (json!({ "at": ["2027-01-01", "2027-01-02"] }), "at 2027-01-01, 2027-01-02"),
            (
                json!({ "at": ["2027-01-01", "2027-01-02", "2027-01-03", "2027-01-04"] }),
                "at 2027-01-01, 2027-01-02, 2027-01-03 and 1 more",
            ),
            (
                json!({ "crontab": "0 9 * * *", "from": "2027-01-01", "to": "2027-02-01", "jitter": "5m" }),
                "each day at 09:00, from 2027-01-01 to 2027-02-01, up to 5m later",
            ),
            (
                json!({ "crontab": "0 9 * * *", "skip": "nyse", "shift": "next", "max_runs": 3 }),
                "each day at 09:00, not on nyse, else on the next day, 3 times",
            ),
            (
                json!({ "every": "1h", "must_start": "10m", "finish_by": "6:00", "max_silence": "26h", "pause_after": 3 }),
                "every 1h, must start within 10m, must end by 06:00, must end well each 26h, paused after 3 failures",
            ),
        ] {
            assert_eq!(words(entry), wanted);
        }
    }
}
