//! Whether the realm works, for load balancers and supervisors: no login, and no data of its jobs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use chrono::TimeDelta;
use pumice_service::Realm;
use serde_json::json;

use crate::app::App;

/// The path of the endpoint.
pub(crate) const PATH: &str = "/healthz";
/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer is used again: callers need no login, and must not load the store.
const FRESH: Duration = Duration::from_secs(1);
/// How long a run may be due before the sweeper counts as out: it comes each second in a folder, each minute on AWS.
const SWEPT: TimeDelta = TimeDelta::minutes(3);

/// The last finding, and its time.
pub(crate) type Found = Option<(Instant, Vec<String>)>;

/// Answers 200 where the realm works, and 503 with the reasons where it does not.
pub(crate) async fn check(State(app): State<Arc<App>>) -> Response {
    let mut found = app.health.lock().await;
    let reasons = match &*found {
        Some((at, reasons)) if at.elapsed() < FRESH => reasons.clone(),
        _ => {
            let asked = tokio::time::timeout(PATIENCE, troubles(&*app.realm)).await;
            let late = || vec![format!("the store did not answer within {} s", PATIENCE.as_secs())];
            let reasons = asked.unwrap_or_else(|_| late());
            *found = Some((Instant::now(), reasons.clone()));
            reasons
        }
    };
    drop(found);
    let (status, word) = match reasons.is_empty() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    };
    let mut response = Response::new(Body::from(json!({ "status": word, "reasons": reasons }).to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The faults of a realm; none where it works.
async fn troubles(realm: &dyn Realm) -> Vec<String> {
    let mut reasons = Vec::new();
    if realm.is_served() == Some(false) {
        reasons.push("no process runs the jobs of this folder".to_owned());
    }
    // Where the store does not answer, the next question finds so.
    if let Ok(Some(since)) = realm.stopping_since().await {
        let since = pumice_core::clock::utc(since);
        reasons.push(format!("the server of this folder is stopping since {since}, and begins nothing more"));
    }
    match realm.runs().due(realm.now() - SWEPT, 1).await {
        Ok(due) if due.is_empty() => {}
        Ok(_) => reasons.push(format!(
            "a run has been due for more than {} minutes: the sweeper does not come",
            SWEPT.num_minutes()
        )),
        Err(error) => {
            tracing::warn!(%error, "the store does not answer as it should");
            reasons.push(format!("the store cannot be read ({:?})", error.kind).to_lowercase());
        }
    }
    reasons
}
