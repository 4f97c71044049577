//! Looks a realm over: whether what it stands on is sound, whether something is stuck, and what puts it right.
//!
//! Each check has a time limit of its own, and one that fails to look says so, so that an answer comes whatever hangs.

mod attempts;
mod clock;
mod health;
mod held;
mod queues;
mod specs;

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Error;
use crate::realm::Realm;

/// How long one check may take.
pub const LIMIT: Duration = Duration::from_secs(10);
/// Longest sentence of a check, in bytes.
const MAX_SAYS: usize = 600;

/// A request for a diagnosis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskDoctor {}

/// A diagnosis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// The checks, in the order in which they build on each other.
    pub checks: Vec<Check>,
    /// How many are faults: something does not work, or is lost unless it is mended.
    pub faults: usize,
    /// How many are warnings.
    pub warnings: usize,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Its finding.
    pub finding: Finding,
    /// One sentence.
    pub says: String,
    /// The words of the command that shows more of it or puts it right, without the program's name and the realm's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<String>,
}

/// The finding of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It is well.
    Ok,
    /// It does not apply here, or could not be looked at for what another check says.
    Skipped,
    /// It may become a fault, or is not meant.
    Warning,
    /// Something does not work.
    Fault,
}

impl Finding {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

impl Check {
    /// A check with what it comes to.
    #[must_use]
    pub fn new(name: &str, finding: Finding, says: impl Into<String>) -> Self {
        let mut says = pumice_core::secret::mask(&says.into()).replace(['\n', '\r'], " ");
        if says.len() > MAX_SAYS {
            says.truncate(says.floor_char_boundary(MAX_SAYS));
            says.push('…');
        }
        Self { name: name.to_owned(), finding, says, fix: Vec::new() }
    }

    /// It is well.
    #[must_use]
    pub fn ok(name: &str, says: impl Into<String>) -> Self {
        Self::new(name, Finding::Ok, says)
    }

    /// It does not apply.
    #[must_use]
    pub fn skipped(name: &str, says: impl Into<String>) -> Self {
        Self::new(name, Finding::Skipped, says)
    }

    /// It may become a fault.
    #[must_use]
    pub fn warning(name: &str, says: impl Into<String>) -> Self {
        Self::new(name, Finding::Warning, says)
    }

    /// Something does not work.
    #[must_use]
    pub fn fault(name: &str, says: impl Into<String>) -> Self {
        Self::new(name, Finding::Fault, says)
    }

    /// The same with the command that puts it right.
    #[must_use]
    pub fn fix<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.fix = words.map(str::to_owned).to_vec();
        self
    }

    /// It could not be looked at.
    fn unseen(name: &str, error: &Error) -> Self {
        use crate::ErrorKind::Denied;
        match error.kind() {
            // A caller without the right to look gets a warning: the realm may be well.
            Denied => Self::warning(name, format!("could not be looked at: {error}")),
            _ => Self::fault(name, format!("could not be looked at: {error}")),
        }
    }
}

impl Diagnosis {
    /// The findings of checks.
    #[must_use]
    pub fn of(checks: Vec<Check>) -> Self {
        let count = |finding| checks.iter().filter(|check| check.finding == finding).count();
        Self { faults: count(Finding::Fault), warnings: count(Finding::Warning), checks }
    }

    /// Of a realm whose store cannot be opened: what was found out about the place where it is comes after that.
    #[must_use]
    pub fn unopened(why: &str, others: Vec<Check>) -> Self {
        let first = Check::fault(STORE, format!("the realm cannot be opened: {why}"));
        Self::of(std::iter::once(first).chain(others).collect())
    }
}

/// The name of the first check.
const STORE: &str = "store";

/// Looks at what a realm stands on, beyond its stores: the disk, the file, the rights of the caller.
#[async_trait]
pub trait Ground: Send + Sync {
    /// The checks, each by itself.
    async fn checks(&self) -> Vec<Check>;
}

/// Looks a realm over.
///
/// # Errors
/// None: what cannot be looked at is a fault among the checks.
pub async fn doctor(realm: &dyn Realm, _: &AskDoctor) -> Result<Diagnosis, Error> {
    let began = std::time::Instant::now();
    let ground = async {
        match realm.ground() {
            Some(ground) => {
                let unfinished = || vec![late("ground")];
                tokio::time::timeout(LIMIT * 2, ground.checks()).await.unwrap_or_else(|_| unfinished())
            }
            None => Vec::new(),
        }
    };
    let store = async {
        let opened = limited(STORE, async {
            realm.site().await?;
            realm.runs().pauses().await?;
            let took = began.elapsed().as_millis();
            Ok(Check::ok(STORE, format!("realm {} answers, in {took} ms", realm.name())))
        });
        let first = opened.await;
        let is_open = first.finding == Finding::Ok;
        let mut checks = vec![first];
        if is_open {
            checks.extend(rest(realm).await);
        }
        checks
    };
    let (mut checks, ground) = futures_util::future::join(store, ground).await;
    // The realm's ground is checked before its content.
    let after_store = checks.split_off(1);
    checks.extend(ground);
    checks.extend(after_store);
    Ok(Diagnosis::of(checks))
}

/// A check that is under way.
type Looking<'a> = Pin<Box<dyn Future<Output = Check> + Send + 'a>>;

/// The checks of a realm whose store answers, side by side.
async fn rest(realm: &dyn Realm) -> Vec<Check> {
    let checks: [Looking<'_>; 13] = [
        Box::pin(limited("clock", clock::skew(realm))),
        Box::pin(limited("server", health::server(realm))),
        Box::pin(limited("pauses", health::pauses(realm))),
        Box::pin(limited("sweeper", health::sweeper(realm))),
        Box::pin(limited("schedules", clock::schedules(realm))),
        Box::pin(limited("alerts", health::alerts(realm))),
        Box::pin(limited("workers", queues::workers(realm))),
        Box::pin(limited("waiting runs", queues::waiting(realm))),
        Box::pin(limited("attempts", attempts::attempts(realm))),
        Box::pin(limited("locks", held::locks(realm))),
        Box::pin(limited("dead letters", queues::dead_letters(realm))),
        Box::pin(limited("job specs", specs::jobs(realm))),
        Box::pin(limited("connections", specs::connections(realm))),
    ];
    join_all(checks).await
}

/// A check within its time.
async fn limited(name: &str, check: impl Future<Output = Result<Check, Error>>) -> Check {
    limited_to(LIMIT, name, check).await
}

async fn limited_to(limit: Duration, name: &str, check: impl Future<Output = Result<Check, Error>>) -> Check {
    match tokio::time::timeout(limit, check).await {
        Ok(Ok(check)) => check,
        Ok(Err(error)) => Check::unseen(name, &error),
        Err(_) => late(name),
    }
}

fn late(name: &str) -> Check {
    Check::fault(name, format!("no answer within {} seconds", LIMIT.as_secs()))
}

/// The first few of some names, and how many more there are.
fn few(names: &[String]) -> String {
    const FEW: usize = 3;
    let shown =
        names.iter().take(FEW).map(|name| pumice_core::text::shown(name)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(FEW) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A time span for people.
fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn check_that_hangs_is_a_fault_in_time() {
        let check = limited_to(Duration::ZERO, "x", std::future::pending()).await;
        assert_eq!((check.finding, &*check.says), (Finding::Fault, "no answer within 10 seconds"));
    }

    #[tokio::test]
    async fn check_that_is_denied_is_a_warning() {
        let denied = async { Err(Error::new(crate::ErrorKind::Denied, "no right")) };
        assert_eq!(limited("x", denied).await.finding, Finding::Warning);
        let gone = async { Err(Error::unreachable("no network")) };
        assert_eq!(limited("x", gone).await.finding, Finding::Fault);
    }

    #[test]
    fn realm_that_cannot_be_opened_says_so_first() {
        let found = Diagnosis::unopened("it is\ndamaged", vec![Check::warning("disk", "full soon")]);
        let names: Vec<&str> = found.checks.iter().map(|check| &*check.name).collect();
        assert_eq!((names, found.faults, found.warnings), (vec!["store", "disk"], 1, 1));
        assert_eq!(found.checks[0].says, "the realm cannot be opened: it is damaged");
    }

    #[test]
    fn few_names_are_listed_and_the_rest_is_counted() {
        let names = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
        assert_eq!((few(&names(3)), few(&names(5))), ("0, 1, 2".to_owned(), "0, 1, 2 and 2 more".to_owned()));
        assert_eq!([span(119), span(120), span(7_200), span(172_800)], ["119 s", "2 min", "2 h", "2 d"]);
    }
}
