//! The target of a command: a realm from here, or a console that has one.
//!
//! A command calls the functions of the service through [`Target::ask`]: which of the two it is, the command does not see.

use pumice_service::specs::{RealmShown, ShowRealm, show_realm};
use pumice_service::{Borrows, Error, Operation, Takes};
use pumice_template::Zone;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::args::Global;
use crate::failure::{Failure, of_option};
use crate::output::warn;
use crate::realm::Realm;
use crate::remote::{Remote, Token};

/// The environment variable with the token.
const TOKEN: &str = "PUMICE_TOKEN";

/// The target of a command.
pub(crate) enum Target {
    /// A realm that this process opens itself.
    Here(Box<Realm>),
    /// A console.
    There(Box<There>),
}

/// A console, and what is known of its realm.
pub(crate) struct There {
    remote: Remote,
    shown: OnceCell<RealmShown>,
}

impl Target {
    /// The target that the options name; makes a folder for a realm here when `create`.
    pub(crate) async fn open(global: &Global, create: bool) -> Result<Self, Failure> {
        match there(global).await? {
            Some(there) => Ok(there),
            None => Ok(Self::Here(Box::new(Realm::open(global, create).await?))),
        }
    }

    /// The target that the options name, to look at it alone.
    pub(crate) async fn open_to_read(global: &Global) -> Result<Self, Failure> {
        match there(global).await? {
            Some(there) => Ok(there),
            None => Ok(Self::Here(Box::new(Realm::open_to_read(global).await?))),
        }
    }

    /// Calls a function of the service that borrows its request.
    ///
    /// # Errors
    /// [`Error`] as the function; or when the console is not reached, or refuses the caller.
    pub(crate) async fn ask<Q, A, F>(&self, function: F, request: &Q) -> Result<A, Error>
    where
        Q: Serialize + Sync + 'static,
        A: DeserializeOwned + 'static,
        F: for<'a> Borrows<'a, Q, A>,
    {
        match self {
            Self::Here(realm) => function(&**realm, request).await,
            Self::There(there) => there.call(&function, &to_json(request)?).await,
        }
    }

    /// Calls a function of the service that takes its request.
    ///
    /// # Errors
    /// As [`Target::ask`].
    pub(crate) async fn give<Q, A, F>(&self, function: F, request: Q) -> Result<A, Error>
    where
        Q: Serialize + Send + 'static,
        A: DeserializeOwned + 'static,
        F: for<'a> Takes<'a, Q, A>,
    {
        match self {
            Self::Here(realm) => function(&**realm, request).await,
            Self::There(there) => there.call(&function, &to_json(&request)?).await,
        }
    }

    /// As [`Target::give`], of a request that does not show all of itself: a console is sent what `asked` gives.
    pub(crate) async fn give_as<Q, A, F>(
        &self,
        function: F,
        request: Q,
        asked: impl FnOnce() -> Value,
    ) -> Result<A, Error>
    where
        Q: Send + 'static,
        A: DeserializeOwned + 'static,
        F: for<'a> Takes<'a, Q, A>,
    {
        match self {
            Self::Here(realm) => function(&**realm, request).await,
            Self::There(there) => there.call(&function, &asked()).await,
        }
    }

    /// The realm as the console shows it; `None` of one that is here.
    pub(crate) async fn shown(&self) -> Result<Option<&RealmShown>, Error> {
        match self {
            Self::Here(_) => Ok(None),
            Self::There(there) => there.shown().await.map(Some),
        }
    }

    /// The zone of times that name none.
    pub(crate) async fn zone(&self) -> Result<Zone, Error> {
        match self {
            Self::Here(realm) => Ok(pumice_service::Realm::site(&**realm).await?.zone),
            Self::There(there) => {
                let zone = &there.shown().await?.zone;
                let unknown =
                    || Error::invalid(format!("the console's realm is in a zone unknown here: {zone}"));
                zone.parse().map(Zone::Named).map_err(|_| unknown())
            }
        }
    }

    /// Whether a process runs the jobs; `None` where that cannot be known.
    pub(crate) async fn is_served(&self) -> Option<bool> {
        match self {
            Self::Here(realm) => pumice_service::Realm::is_served(&**realm),
            // It is for a note that helps, and no reason to fail.
            Self::There(there) => there.shown().await.ok()?.is_served,
        }
    }

    /// The message when nothing starts a run.
    pub(crate) async fn unserved(&self) -> String {
        match self {
            Self::Here(realm) => realm.unserved().await,
            Self::There(_) => {
                "nothing has started yet: does a process run the jobs of the console's realm?".to_owned()
            }
        }
    }

    /// The realm, where this process has opened it.
    ///
    /// # Errors
    /// [`Failure`] with what the command line can do instead.
    pub(crate) fn here(&self, what: &str, instead: &str) -> Result<&Realm, Failure> {
        match self {
            Self::Here(realm) => Ok(realm),
            Self::There(_) => {
                Err(of_option("--url", format!("{what} is not to be had from a console: {instead}")))
            }
        }
    }
}

impl There {
    async fn call<A: DeserializeOwned, F: 'static>(&self, function: &F, asked: &Value) -> Result<A, Error> {
        let unknown = || Error::invalid("a console has no operation for this");
        let operation = Operation::of(function).filter(Operation::is_offered).ok_or_else(unknown)?;
        let answer = self.remote.call(&operation, asked).await?;
        serde_json::from_value(answer).map_err(|error| {
            let (url, command) = (self.remote.url(), operation.command);
            let why = "its answer is not one that this version of pumice knows";
            Error::unreachable(format!("the console at {url}, {command}: {why}: {error}"))
        })
    }

    async fn shown(&self) -> Result<&RealmShown, Error> {
        let ask = async || self.call(&show_realm, &to_json(&ShowRealm {})?).await;
        self.shown.get_or_try_init(ask).await
    }
}

fn to_json(request: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(request).map_err(|error| Error::invalid(format!("the request is not JSON: {error}")))
}

/// The console that the options name.
async fn there(global: &Global) -> Result<Option<Target>, Failure> {
    let Some(url) = global.url.clone() else { return Ok(None) };
    let token = token(global)?;
    if url.is_open() && token.is_some() {
        let message =
            format!("{url} is not encrypted: others on the way can read the token and what is asked");
        warn(global, &[message]);
    }
    let there = There { remote: Remote::new(url, token, global.url_timeout.get()), shown: OnceCell::new() };
    if let Some(asked) = &global.realm {
        let found = &there.shown().await?.realm;
        if found != asked {
            let message = format!("the console at {} shows realm {found}", there.remote.url());
            return Err(of_option(&format!("--realm {asked}"), message));
        }
    }
    Ok(Some(Target::There(Box::new(there))))
}

/// The token of the options: a file before the environment.
fn token(global: &Global) -> Result<Option<Token>, Failure> {
    let read = |name: &str, text: &str| text.parse().map(Some).map_err(|error| of_option(name, error));
    if let Some(token) = &global.token {
        return read("--token", &token.0);
    }
    if let Some(path) = &global.token_file {
        let name = format!("--token-file {}", pumice_core::text::shown(&path.display().to_string()));
        let text = crate::files::read_text(path).map_err(|error| of_option(&name, error))?;
        return read(&name, text.trim());
    }
    match std::env::var(TOKEN) {
        Ok(text) if !text.is_empty() => read(TOKEN, text.trim()),
        Err(std::env::VarError::NotUnicode(_)) => Err(of_option(TOKEN, "it is not text")),
        _ => Ok(None),
    }
}
