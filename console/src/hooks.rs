//! `POST /hooks/TRIGGER`: requests of other systems, for triggers of type `http`. Their signature vouches for them, not a login.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use pumice_core::secret::mask_value;
use pumice_service::ErrorKind;
use pumice_service::hooks::{HookRequest, HookRun, Received, receive};
use serde_json::{Value, json};

use crate::answer::Fault;
use crate::app::App;
use crate::ask::body_of;

/// Where they come.
pub(crate) const PATH: &str = "/hooks/";

/// The route of them all.
pub(crate) fn routes(router: Router<Arc<App>>) -> Router<Arc<App>> {
    router.route("/hooks/{*trigger_id}", post(take))
}

async fn take(
    State(app): State<Arc<App>>,
    Path(trigger_id): Path<String>,
    request: Request,
) -> Result<Response, Fault> {
    if app.is_read_only {
        return Err(Fault::new(StatusCode::FORBIDDEN, "this console is read-only"));
    }
    let (parts, body) = request.into_parts();
    let body = body_of(&app, body).await?;
    app.refresh().await;
    let header = |name: &str| value_of(&parts.headers, name);
    let request = HookRequest { trigger_id: &trigger_id, header: &header, body: &body };
    let received = receive(&*app.realm, request).await;
    match received {
        Ok(Received::Fired(runs)) => {
            let started = runs.iter().filter(|run| run.run_id.is_some()).count();
            tracing::info!(target: "pumice::audit", trigger_id, started, of = runs.len(), "hook");
            Ok(answer(status(&runs), json!({ "runs": runs })))
        }
        Ok(Received::Passed(reasons)) => Ok(answer(StatusCode::OK, json!({ "runs": [], "passed": reasons }))),
        Ok(Received::Refused) => {
            tracing::warn!(target: "pumice::audit", trigger_id, "hook refused");
            Err(Fault::new(StatusCode::UNAUTHORIZED, "there is no such hook, or the signature is not right"))
        }
        // The fault of a request is known only if its signature is valid.
        Err(error) if error.kind() == ErrorKind::Invalid => Err(error.into()),
        Err(error) => {
            tracing::error!(trigger_id, %error, "a hook cannot be answered");
            Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "the realm cannot answer now"))
        }
    }
}

/// The value of a header that is there once and is text.
fn value_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut all = headers.get_all(name).iter();
    let first = all.next().filter(|_| all.next().is_none())?;
    first.to_str().ok().map(str::to_owned)
}

/// One that may fare better later is to be sent again; one that is refused shows as failed where it was sent from.
fn status(runs: &[HookRun]) -> StatusCode {
    if runs.iter().any(|run| run.is_unreachable) {
        StatusCode::SERVICE_UNAVAILABLE
    } else if runs.iter().any(|run| run.error.is_some()) {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::ACCEPTED
    }
}

fn answer(status: StatusCode, mut value: Value) -> Response {
    mask_value(&mut value);
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
