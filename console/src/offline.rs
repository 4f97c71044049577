//! A run as one document, to be kept, sent and printed.

use chrono_tz::Tz;
use minijinja::value::Serde;
use pumice_service::{Error, ErrorKind, Realm};
use serde_json::{Map, Value, json};

use crate::answer::Fault;
use crate::assets;
use crate::pages::{offline_context, templates};
use crate::view::{Clock, mask_texts};

/// Why there is no such document.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct OfflineError {
    message: String,
    kind: ErrorKind,
}

impl From<Fault> for OfflineError {
    fn from(fault: Fault) -> Self {
        Self { kind: fault.kind.unwrap_or(ErrorKind::Invalid), message: fault.message }
    }
}

impl From<OfflineError> for Error {
    fn from(error: OfflineError) -> Self {
        Self::new(error.kind, error.message)
    }
}

/// A run with all that it started, what it was given and the end of what it printed, as an HTML document that loads nothing
/// and runs no script. Times are in `zone`, else in the realm's.
///
/// # Errors
/// [`OfflineError`] when there is no such run, or the store cannot be read.
pub async fn run_as_document(realm: &dyn Realm, run: &str, zone: Option<Tz>) -> Result<String, OfflineError> {
    let zone = match zone {
        Some(zone) => zone,
        None => realm.site().await.map_err(Fault::from)?.zone.tz(),
    };
    let clock = Clock { zone, now: realm.now() };
    let own = offline_context(realm, run, &clock).await?;
    let mut context = Map::from_iter([
        ("style".to_owned(), json!(assets::STYLE)),
        ("realm".to_owned(), json!(realm.name().as_str())),
        ("zone".to_owned(), json!(zone.name())),
        ("now".to_owned(), json!(clock.moment(clock.now))),
        ("is_offline".to_owned(), json!(true)),
    ]);
    if let Value::Object(own) = own {
        context.extend(own);
    }
    let mut context = Value::Object(context);
    mask_texts(&mut context);
    let environment = templates();
    let rendered =
        environment.get_template("offline.html").and_then(|template| template.render(Serde(&context)));
    rendered.map_err(|error| OfflineError {
        message: format!("the document cannot be made: {error:#}"),
        kind: ErrorKind::Invalid,
    })
}
