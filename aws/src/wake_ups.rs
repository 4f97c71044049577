//! One-off schedules of EventBridge Scheduler, one for each run that is due later than a queue holds a
//! message.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::error::BuildError;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, Target,
};
use chrono::TimeDelta;
use futures_util::{StreamExt, stream};
use pumice_core::Timestamp;
use pumice_core::message::Message;
use pumice_core::ports::{Outgoing, StoreError, WakeUps};
use tokio::time::{Instant, timeout_at};

use crate::failure::schedule_error;
use crate::function::BadEnvironment;
use crate::names::Names;

/// The variable that names the schedules' group.
const GROUP: &str = "PUMICE_SCHEDULE_GROUP";
/// The variable that names the role with which Scheduler sends to the queues.
const ROLE: &str = "PUMICE_SCHEDULE_ROLE_ARN";
/// The variable that names the function which looks at the clock, by its ARN.
const CLOCK: &str = "PUMICE_CLOCK_FUNCTION";
/// The event by which that function looks at what is due.
const SWEEP: &str = r#"{"sweep": true}"#;
/// Most bytes of a schedule's input (EventBridge Scheduler, payload of a target: 256 KB).
const MAX_INPUT: usize = 256 * 1024;
/// How long Scheduler tries to reach a queue, in seconds. After an hour a message about one run's time
/// is of no use: the sweeper looks at all that is due.
const MAX_AGE: i32 = 3_600;
/// Most calls at the same time. Scheduler takes 250 and more a second, by region (quota CreateSchedule
/// request rate); the SDK repeats throttled calls.
const AT_ONCE: usize = 16;
/// How long a batch of schedules may take: the caller that dispatches runs waits for them, and goes
/// on without those that are not made by then.
const WHOLE: Duration = Duration::from_secs(10);
/// How long no calls go to Scheduler after a batch that ran into its limit: the next callers, in the same
/// invocation perhaps, do not wait as long again.
const REST: Duration = Duration::from_secs(60);

/// The schedules of a realm (EventBridge Scheduler API Reference, CreateSchedule).
#[derive(Clone, Debug)]
pub struct Schedules {
    client: Client,
    names: Names,
    group: String,
    role: String,
    /// The prefix of the ARNs of the realm's queues.
    queues: String,
    /// The function that looks at the clock, where it is known.
    clock: Option<String>,
    /// How long a batch may take.
    whole: Duration,
    /// Until when Scheduler is left alone.
    rests: Arc<Mutex<Option<Instant>>>,
}

impl Schedules {
    /// The schedules of a realm, as `PUMICE_SCHEDULE_GROUP` and `PUMICE_SCHEDULE_ROLE_ARN` have them;
    /// `None` when neither is set. The group is there already; Scheduler assumes the role, which may send
    /// to the realm's queues. They are in the role's account and the client's region.
    ///
    /// # Errors
    /// [`BadEnvironment`] naming the variable that is missing or invalid.
    pub fn from_environment(
        config: &SdkConfig,
        names: &Names,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, BadEnvironment> {
        let given = |name| variable(name).filter(|value| !value.is_empty());
        let (group, role) = match (given(GROUP), given(ROLE)) {
            (Some(group), Some(role)) => (group, role),
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                return Err(BadEnvironment::new(
                    GROUP,
                    format!("must name the group of schedules, for {ROLE} is set"),
                ));
            }
            (Some(_), None) => {
                return Err(BadEnvironment::new(
                    ROLE,
                    format!("must name the role of schedules, for {GROUP} is set"),
                ));
            }
        };
        let region = config
            .region()
            .ok_or_else(|| BadEnvironment::new("AWS_REGION", "must name the region of the queues"))?;
        let (partition, account) = home_of(&role).ok_or_else(|| {
            BadEnvironment::new(
                ROLE,
                format!("{role:?} is not the ARN of a role, as arn:aws:iam::123456789012:role/NAME"),
            )
        })?;
        let queues = format!("arn:{partition}:sqs:{region}:{account}:");
        Ok(Some(Self {
            client: Client::new(config),
            names: names.clone(),
            group,
            role,
            queues,
            clock: given(CLOCK),
            whole: WHOLE,
            rests: Arc::default(),
        }))
    }

    fn rests(&self) -> MutexGuard<'_, Option<Instant>> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a schedule under its name, unless there is one.
    async fn make(&self, OneOff { name, at, target }: OneOff) -> Result<(), StoreError> {
        let what = format!("making a schedule in group {}", self.group);
        let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build();
        let (window, target) = match (window, target) {
            (Ok(window), Ok(target)) => (window, target),
            (Err(error), _) => return Err(StoreError::invalid(format!("{what}: {error}"))),
            (_, Err(error)) => return Err(StoreError::invalid(format!("{what}: {error}"))),
        };
        let request = self
            .client
            .create_schedule()
            .name(&name)
            // Asked again, it is the same request.
            .client_token(&name)
            .group_name(&self.group)
            .schedule_expression(expression(at))
            .flexible_time_window(window)
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(target);
        match request.send().await {
            Ok(_) => Ok(()),
            // It is there.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_conflict_exception()) => {
                Ok(())
            }
            Err(error) => Err(schedule_error(&what, &error)),
        }
    }

    /// Makes schedules, many at the same time; those that are not made in time are given up.
    async fn make_all(&self, all: Vec<OneOff>) -> Vec<Result<(), StoreError>> {
        let unanswered = || {
            StoreError::unreachable(format!("making a schedule in group {}: no answer in time", self.group))
        };
        if self.rests().is_some_and(|until| Instant::now() < until) {
            return all.iter().map(|_| Err(unanswered())).collect();
        }
        let until = Instant::now() + self.whole;
        let making = all.into_iter().map(async |one| {
            let made = timeout_at(until, self.make(one)).await;
            made.unwrap_or_else(|_| {
                *self.rests() = Some(Instant::now() + REST);
                Err(unanswered())
            })
        });
        stream::iter(making).buffered(AT_ONCE).collect().await
    }

    /// The function that looks at the clock, as a target.
    fn clock_target(&self, function: &str) -> Result<Target, Unfit> {
        let retries = RetryPolicy::builder().maximum_event_age_in_seconds(MAX_AGE).build();
        let target = Target::builder().arn(function).role_arn(&self.role).input(SWEEP);
        Ok(target.retry_policy(retries).build()?)
    }

    /// The worker's queue as the target of a message.
    fn target(&self, message: &Message) -> Result<Target, Unfit> {
        let target = Target::builder()
            .arn(format!("{}{}", self.queues, self.names.queue(&message.worker)))
            .role_arn(&self.role)
            .input(input(message)?)
            .retry_policy(RetryPolicy::builder().maximum_event_age_in_seconds(MAX_AGE).build())
            .build()?;
        Ok(target)
    }
}

/// A schedule that is to be made.
struct OneOff {
    name: String,
    at: Timestamp,
    target: Result<Target, Unfit>,
}

/// Why a schedule is not asked for at all.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("the message has {0} bytes; the limit is {MAX_INPUT}")]
    TooLarge(usize),
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// The partition and the account of a role.
fn home_of(role: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = role.splitn(6, ':').collect();
    match parts[..] {
        ["arn", partition, "iam", "", account, name] if name.starts_with("role/") => {
            Some((partition, account))
        }
        _ => None,
    }
}

/// The body of a message as a schedule's input. Scheduler fills in text that looks like its own
/// attributes, as `<aws.scheduler.execution-id>`; a user's text must arrive unchanged.
fn input(message: &Message) -> Result<String, Unfit> {
    let input = message.body().replace("<aws.scheduler.", "\\u003caws.scheduler.");
    if input.len() > MAX_INPUT { Err(Unfit::TooLarge(input.len())) } else { Ok(input) }
}

/// When a schedule is due: to the second, in UTC. Rounded up: a message that comes before its run's time
/// is dropped.
fn expression(at: Timestamp) -> String {
    let up = if at.timestamp_subsec_nanos() > 0 { TimeDelta::seconds(1) } else { TimeDelta::zero() };
    format!("at({})", (at + up).format("%Y-%m-%dT%H:%M:%S"))
}

#[async_trait]
impl WakeUps for Schedules {
    async fn schedule(&self, messages: Vec<Outgoing>) -> Vec<Result<(), StoreError>> {
        let one_off = |outgoing: Outgoing| OneOff {
            name: outgoing.message.run_id.to_string(),
            at: outgoing.at,
            target: self.target(&outgoing.message),
        };
        self.make_all(messages.into_iter().map(one_off).collect()).await
    }

    async fn look_at_clock(&self, times: Vec<Timestamp>) -> Vec<Result<(), StoreError>> {
        let Some(function) = &self.clock else { return times.iter().map(|_| Ok(())).collect() };
        let one_off = |at: Timestamp| OneOff {
            // Every caller that asks for the same minute names the same schedule.
            name: format!("clock-{}", at.format("%Y-%m-%dT%H-%M")),
            at,
            target: self.clock_target(function),
        };
        self.make_all(times.into_iter().map(one_off).collect()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_config::{BehaviorVersion, Region};
    use aws_sdk_scheduler::config::Credentials;
    use pumice_core::ids::RealmName;
    use serde_json::{Map, Value, json};

    const SOME_ROLE: &str = "arn:aws-cn:iam::123456789012:role/path/to/schedules";

    fn read(group: Option<&str>, role: Option<&str>) -> Result<Option<Schedules>, String> {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("cn-north-1"))
            .build();
        let names = Names::new("lava", RealmName::new("test").unwrap());
        let (group, role) = (group.map(str::to_owned), role.map(str::to_owned));
        let variable = move |name: &str| match name {
            GROUP => group.clone(),
            ROLE => role.clone(),
            _ => None,
        };
        Schedules::from_environment(&config, &names, &variable).map_err(|error| error.to_string())
    }

    fn message(parameters: Value) -> Message {
        let told = json!({
            "realm": "test", "worker": "core", "job_id": "report", "ts_dispatch": "2026-03-01T00:00:00Z",
            "run_id": "00000000-0000-0000-0000-000000000007", "parameters": parameters,
        });
        serde_json::from_value(told).unwrap()
    }

    #[tokio::test]
    async fn scheduler_without_answer_is_given_up_in_time() {
        // Connections wait in the backlog here, and are never accepted.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(format!("http://{}", silent.local_addr().unwrap()))
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"));
        let config = crate::connect::config_with(loader).await;
        let schedules = read(Some("runs"), Some(SOME_ROLE)).unwrap().unwrap();
        assert_eq!(schedules.whole, WHOLE);
        let whole = Duration::from_millis(200);
        let schedules = Schedules { client: Client::new(&config), whole, ..schedules };
        let outgoing = Outgoing { message: message(json!({})), at: chrono::Utc::now() };
        let began = Instant::now();
        let outcomes = schedules.schedule(vec![outgoing.clone(); 3 * AT_ONCE]).await;
        assert!(began.elapsed() < crate::connect::ATTEMPT, "not even one try is waited for");
        assert_eq!(outcomes.len(), 3 * AT_ONCE);
        for outcome in outcomes {
            let message = outcome.unwrap_err().message;
            assert_eq!(message, "making a schedule in group runs: no answer in time");
        }
        // The next caller does not wait for it at all.
        let schedules = Schedules { whole: Duration::from_secs(3_600), ..schedules };
        let next = tokio::time::timeout(Duration::from_secs(20), schedules.schedule(vec![outgoing])).await;
        assert!(next.expect("it answers")[0].is_err());
    }

    #[test]
    fn both_variables_turn_it_on_and_one_alone_is_a_mistake() {
        assert!(read(None, None).unwrap().is_none());
        assert!(read(Some(""), Some("")).unwrap().is_none(), "an empty variable is none");
        assert!(read(Some("runs"), None).unwrap_err().starts_with("PUMICE_SCHEDULE_ROLE_ARN: must name"));
        assert!(read(None, Some(SOME_ROLE)).unwrap_err().starts_with("PUMICE_SCHEDULE_GROUP: must name"));
        for role in ["schedules", "arn:aws:iam::123456789012:user/me", "arn:aws:sqs:x:123456789012:role/x"] {
            let error = read(Some("runs"), Some(role)).unwrap_err();
            assert!(error.starts_with("PUMICE_SCHEDULE_ROLE_ARN: ") && error.contains(role), "{error}");
        }
    }

    #[test]
    fn queue_is_in_the_roles_account_and_partition() {
        let schedules = read(Some("runs"), Some(SOME_ROLE)).unwrap().unwrap();
        let target = schedules.target(&message(json!({ "day": 1 }))).unwrap();
        assert_eq!(target.arn, "arn:aws-cn:sqs:cn-north-1:123456789012:lava-test-core");
        assert_eq!(target.role_arn, SOME_ROLE);
        assert_eq!(target.retry_policy.unwrap().maximum_event_age_in_seconds, Some(3_600));
    }

    #[test]
    fn text_like_a_scheduler_keyword_arrives_unchanged() {
        let sent = message(json!({ "text": "<aws.scheduler.execution-id> <b>" }));
        let input = input(&sent).unwrap();
        assert!(!input.contains("<aws."), "{input}");
        assert_eq!(serde_json::from_str::<Message>(&input).unwrap(), sent);
    }

    #[test]
    fn message_too_large_is_refused_before_it_is_sent() {
        let empty = message(json!({ "text": "" })).body().len();
        let of = |bytes: usize| {
            let text = "x".repeat(bytes - empty);
            input(&message(Value::Object(Map::from_iter([("text".to_owned(), text.into())]))))
        };
        assert_eq!(of(MAX_INPUT).unwrap().len(), MAX_INPUT);
        let error = of(MAX_INPUT + 1).unwrap_err().to_string();
        assert_eq!(error, "the message has 262145 bytes; the limit is 262144");
    }

    #[test]
    fn time_is_rounded_up_to_the_second() {
        let at = |text: &str| expression(text.parse().unwrap());
        assert_eq!(at("2026-12-24T18:00:00Z"), "at(2026-12-24T18:00:00)");
        assert_eq!(at("2026-12-31T23:59:59.000001Z"), "at(2027-01-01T00:00:00)");
    }
}
