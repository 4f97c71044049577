//! Figures of the realm and of this process, as Prometheus takes them.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use pumice_service::metrics::{ReadMetrics, metrics};

use crate::answer::Fault;
use crate::ask::Ask;

/// The content type of Prometheus's text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The figures.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let mut read = metrics(ask.realm(), &ReadMetrics {}).await?;
    read.families.extend(ask.app.meters.iter().flat_map(|meters| meters()));
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], read.text()).into_response())
}
