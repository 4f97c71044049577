//! From a request to its answer: the gate, the caller, the page, the headers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_service::Service;

use crate::access::{Caller, Seen, look};
use crate::answer::{Fault, see};
use crate::app::App;
use crate::ask::cookie;
use crate::{api, assets, compress, health, hooks, live, pages};

/// Where the API begins.
const API: &str = "/api/";
/// The headers of every answer. Pages load nothing from elsewhere, run no script that is not a file of the console's, and
/// stand in no frame.
const HEADERS: [(&str, &str); 8] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("cache-control", "no-store"),
];

/// All pages and endpoints.
pub(crate) fn router(app: Arc<App>) -> Router {
    let router = Router::new()
        .route("/assets/{name}", get(asset))
        .route(health::PATH, get(health::check))
        .route("/live", get(live::stream))
        .route("/login", get(pages::login::show).post(pages::login::with_token))
        .route("/login/link", post(pages::login::new_link));
    let router = pages::routes(router);
    let router = hooks::routes(api::routes(router));
    router.fallback(nothing).method_not_allowed_fallback(wrong_method).with_state(app)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Fault> {
    assets::serve(&name, &headers)
}

async fn nothing(_: State<Arc<App>>) -> Fault {
    Fault::new(StatusCode::NOT_FOUND, "there is no such page")
}

async fn wrong_method(_: State<Arc<App>>, method: Method, uri: Uri) -> Fault {
    let path = pumice_core::text::quoted(uri.path());
    let why = match method {
        Method::POST => format!("{path} is a page: it is asked for with GET, and takes no form"),
        _ => format!("{path} is where a form is sent: it takes POST alone"),
    };
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, why)
}

/// Whether a path is for callers without a login.
fn is_public(path: &str) -> bool {
    matches!(path, "/login" | "/login/link" | health::PATH) || path.starts_with("/assets/")
}

/// Answers a request; says whether its caller is logged in.
pub(crate) async fn answer(
    app: &Arc<App>,
    router: Router,
    peer: IpAddr,
    request: Request<Body>,
) -> (Response, bool) {
    let path = request.uri().path().to_owned();
    let is_packed = request.method() != Method::HEAD && compress::is_accepted(request.headers());
    let (caller, answered) = match admit(app, peer, &request) {
        Ok(caller) => {
            let given = caller.clone();
            (caller, within_time(app, router, request, given).await)
        }
        Err(answer) => (None, *answer),
    };
    let (mut response, is_known) = (answered, caller.is_some());
    if let Some(fault) = response.extensions_mut().remove::<Fault>() {
        let headers = std::mem::take(response.headers_mut());
        response = match path.starts_with(API) || path.starts_with(hooks::PATH) {
            true => api::problem(&fault),
            false => pages::fault(app, caller, &fault),
        };
        for (name, value) in &headers {
            if matches!(name, &header::WWW_AUTHENTICATE | &header::ALLOW) {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
    let given = response.headers_mut();
    for (name, value) in HEADERS {
        if !given.contains_key(name) {
            given.insert(name, HeaderValue::from_static(value));
        }
    }
    if is_packed {
        response = compress::compressed(response).await;
    }
    (response, is_known)
}

async fn within_time(
    app: &Arc<App>,
    mut router: Router,
    mut request: Request<Body>,
    caller: Option<Caller>,
) -> Response {
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let limit = app.bounds.request_time + app.bounds.body_time;
    // An act that takes longer goes on to its end, and so does its entry in the audit.
    let call = tokio::spawn(async move { router.call(request).await });
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(error)) => {
            tracing::error!(%error, "a request broke off");
            Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "the request broke off").into_response()
        }
        Err(_) => {
            let why = "the realm's store did not answer in time: what was asked for may go on";
            Fault::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
    }
}

/// Lets a request in, with its caller where that is known.
fn admit(app: &App, peer: IpAddr, request: &Request<Body>) -> Result<Option<Caller>, Box<Response>> {
    let refuse = |status, why: &str| {
        let fault = Fault::new(status, why);
        let is_of_method = status == StatusCode::METHOD_NOT_ALLOWED;
        // A 405 names the methods that there are (RFC 9110, 15.5.6).
        let fault = if is_of_method { fault.allowing(api::methods_of(request.uri().path())) } else { fault };
        Box::new(fault.into_response())
    };
    let head = (request.method(), request.uri(), request.headers());
    let seen = look(&app.hosts, app.bounds.url, head).map_err(|one| refuse(one.status, one.why))?;
    let path = request.uri().path();
    // First: a header that lies is refused wherever it comes.
    let named = match &app.proxy {
        Some(proxy) => proxy.caller(peer, request.headers()).map_err(|one| {
            tracing::warn!(%peer, why = one.why, "a request with the header of a trusted proxy is refused");
            refuse(one.status, one.why)
        })?,
        None => None,
    };
    // The signature authenticates a request of another system.
    if path.starts_with(hooks::PATH) {
        return Ok(None);
    }
    let caller = match bearer(request.headers()) {
        None => {
            if seen == Seen::ForeignWrite {
                let why = "another site may have sent this: use the console's own pages, or a token";
                return Err(refuse(StatusCode::FORBIDDEN, why));
            }
            match named {
                Some(named) => Some(named),
                None => {
                    let session = cookie(request.headers(), &app.cookie);
                    session.and_then(|id| app.logins.by_session(&id, Instant::now()))
                }
            }
        }
        Some(_) if named.is_some() => {
            let why =
                "a request has the name of a user or a token, not both: the proxy must not pass a token on";
            return Err(refuse(StatusCode::BAD_REQUEST, why));
        }
        Some(token) => match token.and_then(|token| app.logins.by_token(token)) {
            Some(caller) => Some(caller),
            None => return Err(unauthorized("the token is not known")),
        },
    };
    match caller {
        Some(caller) => Ok(Some(caller)),
        None if is_public(path) => Ok(None),
        None if path.starts_with(API) || matches!(path, "/live" | "/metrics") || seen != Seen::Read => {
            Err(unauthorized("log in first"))
        }
        None => {
            let next = request.uri().path_and_query().map_or("/", |text| text.as_str());
            Err(Box::new(see(&crate::view::link("/login", &[("next", next)]))))
        }
    }
}

fn unauthorized(why: &str) -> Box<Response> {
    let mut response = Fault::new(StatusCode::UNAUTHORIZED, why).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Box::new(response)
}

/// The bearer token of a request: none where there is no such header, `Some(None)` of one that cannot be read.
fn bearer(headers: &HeaderMap) -> Option<Option<&str>> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let first = all.next()?;
    let token = first.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    Some(token.filter(|_| all.next().is_none()))
}
