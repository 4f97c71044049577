//! Two or more programs in turn: what one does in an hour says little, what they do in turn says which is faster.

use std::process::{Command, Stdio};

use clap::{Args, value_parser};
use pumice_bench::report::Report;
use serde_json::{Map, Value};

/// The unit of times in `/proc` (USER_HZ), the same on every processor that Linux shows to programs.
const TICKS_A_SECOND: f64 = 100.0;

/// Runs the same figures with two or more `pumice-bench` programs in turn, and prints the medians of each and the ratios.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// A `pumice-bench` program, after variables of its environment if it needs any:
    /// "LD_PRELOAD=/lib/libjemalloc.so.2 before/pumice-bench". The others are compared with the first.
    #[arg(required = true, num_args = 2.., value_parser = Program::parse)]
    programs: Vec<Program>,
    /// Measure only figures whose name begins so.
    #[arg(long, value_name = "NAME", default_value = "process_s")]
    only: String,
    /// Measure in so many rounds, each with every program.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = value_parser!(u32).range(1..))]
    rounds: u32,
    /// Wait for the disk with each commit.
    #[arg(long)]
    durable: bool,
}

/// A program with its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Program {
    variables: Vec<(String, String)>,
    path: String,
}

impl Program {
    /// Reads `NAME=value … PATH`.
    fn parse(text: &str) -> Result<Self, String> {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        let path = words.pop().ok_or("no program is named")?;
        let variables = words.into_iter().map(|word| {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("{word:?} is not NAME=value"))?;
            Ok((name.to_owned(), value.to_owned()))
        });
        Ok(Self { variables: variables.collect::<Result<_, String>>()?, path: path.to_owned() })
    }

    /// Measures once: the figures, and `round_cpu_s`, the processor time of the whole round in s.
    fn measure(&self, compare: &Compare) -> Result<Vec<(String, f64)>, String> {
        let mut command = Command::new(&self.path);
        command.args(["bench", "--json", "--rounds", "1", "--only", &compare.only]);
        command.args(compare.durable.then_some("--durable"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let before = processor_time_of_children();
        let output = command.stderr(Stdio::null()).output();
        let output = output.map_err(|error| format!("{}: {error}", self.path))?;
        if !output.status.success() {
            return Err(format!("{}: {}", self.path, output.status));
        }
        let mut figures = figures(&output.stdout).map_err(|error| format!("{}: {error}", self.path))?;
        let worked = before.and_then(|before| Some(processor_time_of_children()? - before));
        figures.extend(worked.map(|worked| ("round_cpu_s".to_owned(), worked)));
        Ok(figures)
    }
}

impl Compare {
    /// Measures.
    pub(crate) fn run(&self, report: &mut Report) -> Result<(), String> {
        report.settings.insert("synchronous".to_owned(), if self.durable { "FULL" } else { "NORMAL" }.into());
        let mut rounds = vec![Vec::new(); self.programs.len()];
        for _ in 0..self.rounds {
            for (program, rounds) in self.programs.iter().zip(&mut rounds) {
                let figures = program.measure(self)?;
                eprintln!("{}: {figures:?}", program.path);
                rounds.push(figures);
            }
        }
        compared(report, &rounds);
        Ok(())
    }
}

/// The medians that a report has as JSON.
fn figures(report: &[u8]) -> Result<Vec<(String, f64)>, String> {
    let report: Map<String, Value> = serde_json::from_slice(report).map_err(|error| error.to_string())?;
    let medians = report.get("medians").and_then(Value::as_object).ok_or("no medians")?;
    let figure = |(name, value): (&String, &Value)| {
        Ok((name.clone(), value.as_f64().ok_or_else(|| format!("{name} is not a number"))?))
    };
    medians.iter().map(figure).collect()
}

/// Adds the figures of each program, numbered from 1, and for each program but the first the ratio of its median to the
/// first one's.
fn compared(report: &mut Report, rounds: &[Vec<Vec<(String, f64)>>]) {
    let names: Vec<&String> =
        rounds.iter().flatten().next().into_iter().flatten().map(|(name, _)| name).collect();
    for name in names {
        let mut first = f64::NAN;
        for (number, rounds) in (1..).zip(rounds) {
            let values = rounds.iter().flatten().filter(|(one, _)| one == name).map(|(_, value)| *value);
            let figure = format!("{name} {number}");
            report.add(&figure, values.collect());
            match number {
                1 => first = report.median(&figure),
                _ => {
                    let ratio = report.median(&figure) / first;
                    report.add(&format!("{name} {number}/1"), vec![ratio]);
                }
            }
        }
    }
}

/// The processor time of the children that this process has waited for, and of theirs, in s; `None` if the system does not
/// tell.
fn processor_time_of_children() -> Option<f64> {
    let ticks = children_ticks(&std::fs::read_to_string("/proc/self/stat").ok()?)?;
    Some(ticks as f64 / TICKS_A_SECOND)
}

/// `cutime` and `cstime` of a line of `/proc/PID/stat` (proc(5)).
fn children_ticks(line: &str) -> Option<u64> {
    // The name of the program may have blanks and brackets; after it comes the third field.
    let (_, fields) = line.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(16 - 3);
    let mut time = || times.next()?.parse::<u64>().ok();
    Some(time()? + time()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_has_its_variables_before_it() {
        let program = Program::parse("LD_PRELOAD=/lib/a.so TUNE=x=1 before/pumice-bench").unwrap();
        let variables = [("LD_PRELOAD", "/lib/a.so"), ("TUNE", "x=1")];
        assert_eq!(program.variables, variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(program.path, "before/pumice-bench");
        assert_eq!(Program::parse("pumice-bench bench").unwrap_err(), "\"pumice-bench\" is not NAME=value");
        assert_eq!(Program::parse(" ").unwrap_err(), "no program is named");
    }

    #[test]
    fn figures_are_the_medians_of_a_report() {
        let report = br#"{ "medians": { "process_s": 12.5, "rss_mb": 10.0 }, "rounds": {} }"#;
        let expected = [("process_s", 12.5), ("rss_mb", 10.0)].map(|(name, value)| (name.to_owned(), value));
        assert_eq!(figures(report).unwrap(), expected);
        let missing = figures(br#"{ "medians": { "process_s": null } }"#).unwrap_err();
        assert_eq!(missing, "process_s is not a number");
        assert!(figures(b"{}").is_err());
    }

    #[test]
    fn programs_are_compared_with_the_first() {
        let round = |rate: f64, cpu: f64| vec![("rate".to_owned(), rate), ("cpu".to_owned(), cpu)];
        let rounds = [
            vec![round(10.0, 8.0), round(30.0, 2.0), round(20.0, 4.0)],
            vec![round(50.0, 1.0), round(10.0, 3.0), round(30.0, 2.0)],
        ];
        let mut report = Report::begin();
        compared(&mut report, &rounds);
        let medians: Vec<_> =
            report.medians.iter().map(|(name, median)| (name.as_str(), median.as_f64())).collect();
        let expected = [
            ("rate 1", 20.0),
            ("rate 2", 30.0),
            ("rate 2/1", 1.5),
            ("cpu 1", 4.0),
            ("cpu 2", 2.0),
            ("cpu 2/1", 0.5),
        ];
        assert_eq!(medians, expected.map(|(name, median)| (name, Some(median))));
    }

    #[test]
    fn ticks_of_children_follow_a_name_with_brackets() {
        let line = "7 (a ) b) S 1 7 7 0 -1 4194304 1 2 3 4 50 60 700 8000 20 0 1 0";
        assert_eq!(children_ticks(line), Some(8_700));
        assert_eq!(children_ticks("7 (a) S 1"), None);
    }
}
