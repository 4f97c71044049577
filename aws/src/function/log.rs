//! The log of a function: one JSON object a line, as CloudWatch Logs Insights reads them.

use std::io::Write;

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use super::metrics;
use crate::names::DEFAULT_PREFIX;

/// The target of the events that say that a run ended or is tried again.
const RUN: &str = "pumice::run";
/// The target of the events about runs whose jobs ask for metrics.
const METRICS: &str = "pumice::metrics";
/// The target of the events about refused requests whose caller does not wait for the answer.
const REFUSED: &str = "pumice::refused";
/// The target of the events about records that cannot be read.
const UNREADABLE: &str = "pumice::unreadable";
/// The target of the events that say that a sweep is over.
const SWEEP: &str = "pumice::sweep";
/// The target of the events about messages that could not be sent.
const UNSENT: &str = crate::queue::UNSENT;
/// The target of the events about broken limits of schedules.
const LATE: &str = "pumice::late";
/// All of them: the lines that alarms need are logged under any filter.
const WITH_METRICS: [&str; 7] = [RUN, METRICS, REFUSED, UNREADABLE, SWEEP, UNSENT, LATE];

/// Logs to standard output from now on: what `PUMICE_LOG` says, as in `debug` or `pumice_core=trace`;
/// `info` of Pumice's own unless it says something. The end of a run is logged with its metrics. The environment names the
/// realm and its prefix.
pub fn start_log(variable: &dyn Fn(&str) -> Option<String>) {
    let asked = variable("PUMICE_LOG");
    let lines = Lines {
        realm: variable("LAVA_REALM").unwrap_or_default(),
        prefix: variable("LAVA_PREFIX").unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
    };
    Registry::default().with(lines.with_filter(targets(asked.as_deref()))).init();
}

/// Where the runtime of Lambda logs each failure of an invocation once more, with its whole text. A panic, which it logs there
/// too, is on standard error.
const LOGGED_TWICE: &str = "lambda_runtime::layers::panic";

/// The targets to log. The metrics are always among them: alarms need them even if no person reads the
/// log.
fn targets(asked: Option<&str>) -> Targets {
    let asked = asked.and_then(|asked| asked.parse::<Targets>().ok());
    let chosen = asked.map(|asked| asked.with_targets(WITH_METRICS.map(|target| (target, Level::INFO))));
    let chosen = chosen.unwrap_or_else(|| {
        let ours =
            ["pumice", "pumice_core", "pumice_aws", "pumice_job_types", "dispatcher_lambda", "worker_lambda"];
        Targets::new().with_default(Level::WARN).with_targets(ours.map(|target| (target, Level::INFO)))
    });
    chosen.with_target(LOGGED_TWICE, LevelFilter::OFF)
}

struct Lines {
    realm: String,
    prefix: String,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = self.line(*metadata.level(), metadata.target(), &mut |fields| event.record(fields));
        pumice_core::secret::mask_value(&mut line);
        // A failed write has nowhere else to be reported.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

impl Lines {
    /// One event as a line.
    fn line(&self, level: Level, target: &str, record: &mut dyn FnMut(&mut Fields)) -> Value {
        let now = Utc::now();
        let mut fields = Fields(Map::new());
        fields.0.insert("timestamp".to_owned(), now.to_rfc3339_opts(SecondsFormat::Millis, true).into());
        fields.0.insert("level".to_owned(), level.as_str().into());
        fields.0.insert("target".to_owned(), target.into());
        fields.0.insert("realm".to_owned(), (&*self.realm).into());
        if WITH_METRICS.contains(&target) {
            // A realm of the same name may live under another prefix, as a restored one does.
            fields.0.insert("prefix".to_owned(), (&*self.prefix).into());
        }
        record(&mut fields);
        let at = now.timestamp_millis();
        match target {
            RUN => metrics::add(&mut fields.0, at),
            METRICS => metrics::add_of_job(&mut fields.0, at),
            REFUSED => metrics::add_count(&mut fields.0, "Refused", at),
            UNREADABLE => metrics::add_count(&mut fields.0, "Unreadable", at),
            UNSENT => metrics::add_count(&mut fields.0, "Unsent", at),
            LATE => metrics::add_count(&mut fields.0, "Late", at),
            SWEEP => metrics::add_sweep(&mut fields.0, at),
            _ => {}
        }
        Value::Object(fields.0)
    }
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_logged_with_any_filter() {
        for asked in [None, Some("info"), Some("warn"), Some("error"), Some("off"), Some("no such level")] {
            for target in WITH_METRICS {
                assert!(targets(asked).would_enable(target, &Level::INFO), "{target} {asked:?}");
            }
        }
        let told = |asked| targets(asked).would_enable("pumice_core::engine", &Level::INFO);
        assert!(told(None) && !told(Some("error")));
    }

    #[test]
    fn line_with_metrics_has_what_they_are_by() {
        let lines = Lines { realm: "demo".to_owned(), prefix: "lavb".to_owned() };
        for target in WITH_METRICS {
            let line = lines.line(Level::INFO, target, &mut |fields| {
                for name in ["worker", "status", "reason", "job_id", "namespace"] {
                    fields.0.insert(name.to_owned(), "x".into());
                }
                fields.0.insert("count".to_owned(), 1.into());
                fields.0.insert("swept".to_owned(), 1.into());
            });
            assert_eq!((&line["prefix"], &line["realm"]), (&"lavb".into(), &"demo".into()), "{target}");
            let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
            for directive in directives {
                let sets = directive["Dimensions"].as_array().unwrap().iter();
                let names: Vec<&str> =
                    sets.flat_map(|set| set.as_array().unwrap()).filter_map(Value::as_str).collect();
                assert!(names.iter().all(|name| line[*name].is_string()), "{target}: {line}");
            }
        }
    }

    #[test]
    fn runtime_logs_no_failure_a_second_time() {
        for asked in [None, Some("info"), Some("trace"), Some("lambda_runtime=debug")] {
            assert!(!targets(asked).would_enable(LOGGED_TWICE, &Level::ERROR), "{asked:?}");
            assert!(
                targets(asked).would_enable("lambda_runtime::layers::api_client", &Level::ERROR),
                "{asked:?}"
            );
        }
    }

    #[test]
    fn log_line_has_event_time_and_place() {
        let lines = Lines { realm: "prod".to_owned(), prefix: "lava".to_owned() };
        let line = lines.line(Level::WARN, "pumice_core::engine", &mut |fields| {
            fields.0.insert("message".to_owned(), "a \"quoted\"\nword".into());
        });
        assert_eq!((line["level"].as_str(), line["realm"].as_str()), (Some("WARN"), Some("prod")));
        assert!(!line.to_string().contains('\n'));
        assert!(line.get("_aws").is_none());
    }
}
