//! A function's environment, and the part of it that the commands of jobs see.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use pumice_core::ids::{RealmName, WorkerName};

use crate::names::{DEFAULT_PREFIX, Names};

/// An environment variable that is invalid or missing.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {message}")]
pub struct BadEnvironment {
    name: &'static str,
    message: String,
}

impl BadEnvironment {
    pub(crate) fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, message: message.into() }
    }
}

/// The settings in a function's environment.
#[derive(Clone, Debug)]
pub struct Environment {
    names: Names,
    urls: Option<String>,
    bucket: Option<String>,
    function: String,
    tmp: Option<PathBuf>,
}

impl Environment {
    /// Reads `LAVA_REALM`, `LAVA_PREFIX`, `LAVA_QUEUE_URL_PREFIX` and `PUMICE_BUCKET`, which template.yaml sets, and
    /// `PUMICE_TMP`: a folder that the function has for itself, where it does not run on Lambda.
    ///
    /// # Errors
    /// [`BadEnvironment`] naming the variable that is missing or invalid.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, BadEnvironment> {
        let bad = |message: String| BadEnvironment::new("LAVA_REALM", message);
        let realm = variable("LAVA_REALM")
            .ok_or_else(|| bad("must name the realm that the function works for".to_owned()))?;
        let realm = RealmName::new(realm).map_err(|error| bad(error.to_string()))?;
        let prefix = variable("LAVA_PREFIX").unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
        let function = variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|| "pumice".to_owned());
        Ok(Self {
            names: Names::new(prefix, realm),
            urls: variable("LAVA_QUEUE_URL_PREFIX").filter(|urls| !urls.is_empty()),
            bucket: variable("PUMICE_BUCKET"),
            function,
            tmp: variable("PUMICE_TMP").filter(|tmp| !tmp.is_empty()).map(PathBuf::from),
        })
    }

    /// Reads `LAVA_WORKER`: the worker that the function is.
    ///
    /// # Errors
    /// [`BadEnvironment`] when it is missing or invalid.
    pub fn worker(variable: &dyn Fn(&str) -> Option<String>) -> Result<WorkerName, BadEnvironment> {
        let name = "LAVA_WORKER";
        let worker = variable(name)
            .ok_or_else(|| BadEnvironment::new(name, "must name the worker that the function is"))?;
        WorkerName::new(worker).map_err(|error| BadEnvironment::new(name, error.to_string()))
    }

    /// The names of the realm's tables and queues.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The prefix of the URLs of the realm's queues, if it is set.
    #[must_use]
    pub fn queue_urls(&self) -> Option<&str> {
        self.urls.as_deref()
    }

    /// The bucket that the realm was deployed with, if that was said.
    pub(super) fn bucket(&self) -> Option<String> {
        self.bucket.clone()
    }

    /// The folder that the function has for itself, if that was said.
    pub(super) fn tmp(&self) -> Option<PathBuf> {
        self.tmp.clone()
    }

    /// The host as records show it: the function's name.
    pub(super) fn host_name(&self) -> String {
        self.function.clone()
    }
}

/// The variables that make up a role's credentials.
const CREDENTIALS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
/// Variables of AWS's that commands may see: they name a place, not an identity.
const HARMLESS: [&str; 3] = ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"];

/// Whether an environment variable is part of AWS credentials.
#[must_use]
pub fn is_credential(name: &OsStr) -> bool {
    CREDENTIALS.iter().any(|credential| name == *credential)
}

type Variables = Vec<(OsString, OsString)>;

/// The environment of commands, and the credentials that they get when their job asks for them. The
/// variables of the function's own runtime are left out.
pub(super) fn for_commands(all: impl IntoIterator<Item = (OsString, OsString)>) -> (Variables, Variables) {
    let mut plain = Vec::new();
    let mut credentials = Vec::new();
    for (name, value) in all {
        let text = name.to_string_lossy();
        if is_credential(&name) {
            credentials.push((name, value));
        } else if HARMLESS.contains(&&*text) || !is_own(&text) {
            plain.push((name, value));
        }
    }
    (plain, credentials)
}

/// Whether a variable is the function's own, and no business of a command's.
fn is_own(name: &str) -> bool {
    name.starts_with("AWS_")
        || name.starts_with("LAMBDA_")
        || name.starts_with("_")
        || name.starts_with("PUMICE_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realm_variable_is_required_and_checked() {
        let read = |realm: Option<&str>| {
            let realm = realm.map(str::to_owned);
            Environment::read(&move |name| realm.clone().filter(|_| name == "LAVA_REALM"))
        };
        assert_eq!(read(Some("prod")).unwrap().names().jobs(), "lava.prod.jobs");
        assert!(read(None).unwrap_err().to_string().starts_with("LAVA_REALM: must name"));
        assert!(read(Some("a b")).is_err());
        assert!(Environment::worker(&|_| None).unwrap_err().to_string().starts_with("LAVA_WORKER"));
    }

    #[test]
    fn commands_see_no_credentials_and_nothing_of_the_runtime() {
        let all = [
            ("PATH", "/bin"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_SESSION_TOKEN", "t"),
            ("AWS_LAMBDA_RUNTIME_API", "x"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "y"),
            ("_X_AMZN_TRACE_ID", "z"),
            ("AWS_REGION", "eu-west-1"),
            ("PUMICE_BUCKET", "b"),
        ];
        let (plain, credentials) = for_commands(all.map(|(name, value)| (name.into(), value.into())));
        let names = |variables: &Variables| {
            variables.iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&plain), ["PATH", "AWS_REGION"]);
        assert_eq!(names(&credentials), ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]);
    }
}
