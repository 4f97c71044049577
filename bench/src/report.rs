//! One form for what every command of this crate measures.

use std::thread::available_parallelism;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The load of the machine: without it a figure says little.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Load {
    /// Processors that this process may use.
    pub cores: usize,
    /// The load average over a minute when the measurement began; `None` if the system has none.
    pub before: Option<f64>,
    /// The same when it had ended.
    pub after: Option<f64>,
}

/// The figures of a command.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The command's arguments.
    pub command: String,
    /// The load of the machine.
    pub load: Load,
    /// Settings that the figures depend on.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
    /// For each figure the median of its rounds, to three digits after the point; `null` for one that is not a number.
    pub medians: Map<String, Value>,
    /// For each figure what each round measured, from the lowest to the highest.
    pub rounds: Map<String, Value>,
    /// For each figure that has one, what it should reach.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub goals: Map<String, Value>,
    /// The parts that this machine cannot run, with the reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The faults that were found; empty when there are none.
    pub wrong: Vec<String>,
}

/// Most faults that are printed as text; JSON has all.
const MAX_SHOWN: usize = 40;

/// The load average over the last minute (proc(5)).
fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn rounded(value: f64) -> Value {
    json!((value * 1_000.0).round() / 1_000.0)
}

impl Report {
    /// An empty report of this process's command, with the load of the machine now.
    #[must_use]
    pub fn begin() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self::of(&arguments)
    }

    fn of(arguments: &[String]) -> Self {
        let cores = available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            command: arguments.join(" "),
            load: Load { cores, before: load_average(), after: None },
            settings: Map::new(),
            medians: Map::new(),
            rounds: Map::new(),
            goals: Map::new(),
            left_out: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// Adds a figure: what its rounds measured.
    pub fn add(&mut self, name: &str, mut rounds: Vec<f64>) {
        rounds.sort_by(f64::total_cmp);
        let median = rounds.get(rounds.len() / 2).copied().map_or(Value::Null, rounded);
        self.medians.insert(name.to_owned(), median);
        self.rounds.insert(name.to_owned(), rounds.into_iter().map(rounded).collect());
    }

    /// Adds figures of which each round measured all, in the order of their names.
    pub fn add_all(&mut self, names: &[impl AsRef<str>], rounds: &[Vec<f64>]) {
        for (index, name) in names.iter().enumerate() {
            self.add(name.as_ref(), rounds.iter().filter_map(|round| round.get(index).copied()).collect());
        }
    }

    /// Adds a figure that was counted once.
    pub fn count(&mut self, name: &str, count: usize) {
        self.add(name, vec![count as f64]);
    }

    /// Adds what a figure should reach.
    pub fn goal(&mut self, name: &str, goal: f64) {
        self.goals.insert(name.to_owned(), rounded(goal));
    }

    /// The median of a figure; not a number when it has none.
    #[must_use]
    pub fn median(&self, name: &str) -> f64 {
        self.medians.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }

    /// Ends the measurement: takes the load of the machine again.
    pub fn end(&mut self) {
        self.load.after = load_average();
    }

    /// The report as text, or as JSON.
    #[must_use]
    pub fn shown(&self, as_json: bool) -> String {
        if as_json {
            return format!("{:#}", json!(self));
        }
        let number = |load: Option<f64>| load.map_or_else(|| "?".to_owned(), |load| format!("{load:.1}"));
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.wrong.iter().take(MAX_SHOWN).map(|wrong| format!("wrong: {wrong}")));
        lines.extend(self.left_out.iter().map(|why| format!("left out: {why}")));
        let width = self.medians.keys().map(String::len).max().unwrap_or_default();
        for (name, median) in &self.medians {
            let goal = self.goals.get(name).map(|goal| format!("   goal {goal}")).unwrap_or_default();
            let all = self.rounds.get(name).and_then(Value::as_array).filter(|rounds| rounds.len() > 1);
            let range = all.and_then(|rounds| Some(format!("   {} to {}", rounds.first()?, rounds.last()?)));
            let median = median.to_string();
            lines.push(format!("{name:<width$} {median:>12}{}{goal}", range.unwrap_or_default()));
        }
        let Load { cores, before, after } = self.load;
        lines.push(format!("{cores} cores, load {} before, {} after", number(before), number(after)));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::of(&["torture".to_owned(), "--edge".to_owned()]);
        report.add("rate_s", vec![3.0, 1.0, 2.000_4]);
        report.count("kills", 20);
        report.goal("rate_s", 5.0);
        report.end();
        report
    }

    #[test]
    fn report_as_json_has_medians_rounds_load_and_command() {
        let shown: Value = serde_json::from_str(&report().shown(true)).expect("JSON");
        assert_eq!(shown["command"], "torture --edge");
        assert_eq!(shown["medians"], json!({ "rate_s": 2.0, "kills": 20.0 }));
        assert_eq!(shown["rounds"]["rate_s"], json!([1.0, 2.0, 3.0]));
        assert_eq!((&shown["goals"]["rate_s"], &shown["wrong"]), (&json!(5.0), &json!([])));
        assert!(shown["load"]["cores"].as_u64() > Some(0));
        #[cfg(target_os = "linux")]
        assert!(shown["load"]["before"].is_f64() && shown["load"]["after"].is_f64());
    }

    #[test]
    fn figure_without_a_number_is_null_and_not_zero() {
        let mut report = report();
        report.add("none", Vec::new());
        report.add("odd", vec![f64::NAN]);
        assert_eq!((&report.medians["none"], &report.medians["odd"]), (&Value::Null, &Value::Null));
        assert!(report.median("none").is_nan());
    }

    #[test]
    fn report_as_text_has_a_line_for_each_figure_and_fault() {
        let mut report = report();
        report.wrong.push("a run is lost".to_owned());
        let shown = report.shown(false);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "wrong: a run is lost");
        assert!(
            lines[1].starts_with("rate_s") && lines[1].ends_with("2.0   1.0 to 3.0   goal 5.0"),
            "{shown}"
        );
        assert!(lines[2].starts_with("kills") && lines[2].ends_with("20.0"), "{shown}");
    }
}
