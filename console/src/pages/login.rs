//! The login: by the link that works once, or by a token.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use super::render::bare;
use super::runs::own_path;
use crate::answer::{Fault, html, see};
use crate::app::App;
use crate::ask::{Ask, Fields, Taste, body_of};

/// The page, or a session for the user of the link.
pub(crate) async fn show(State(app): State<Arc<App>>, request: Request) -> Result<Response, Fault> {
    let query = Fields::read(request.uri().query().unwrap_or_default().as_bytes())?;
    let taste = Taste::of(request.headers());
    // Previews of links ask for the head: the link is not used up.
    if let Some(secret) = query.get("token").filter(|_| request.method() != Method::HEAD) {
        return match app.logins.by_link(secret, Instant::now()) {
            Some(session) => Ok(logged_in(&app, &session, "/")),
            None => {
                let trouble = "This link was used already, or is too old.";
                page(&app, &taste, StatusCode::UNAUTHORIZED, Some(trouble), "/")
            }
        };
    }
    let next = query.get("next").and_then(own_path).unwrap_or("/");
    let trouble = query.has("printed").then_some("A new link was printed where the console runs.");
    page(&app, &taste, StatusCode::OK, trouble, next)
}

fn page(
    app: &App,
    taste: &Taste,
    status: StatusCode,
    trouble: Option<&str>,
    next: &str,
) -> Result<Response, Fault> {
    let own = json!({
        "trouble": trouble, "next": next,
        "has_links": app.logins.has_links(), "has_tokens": app.logins.has_tokens(),
    });
    bare(app, taste, "login.html", "Log in", own).map(|text| html(status, text))
}

/// A session for the owner of a token.
pub(crate) async fn with_token(State(app): State<Arc<App>>, request: Request) -> Result<Response, Fault> {
    let taste = Taste::of(request.headers());
    let form = Fields::read(&body_of(&app, request.into_body()).await?)?;
    let next = form.get("next").and_then(own_path).unwrap_or("/");
    match form.get("token").and_then(|token| app.logins.by_token(token)) {
        Some(caller) => {
            tracing::info!(target: "pumice::audit", by = %caller.name, role = %caller.role, "logged in");
            let session = app.logins.open(caller.role, caller.name, Instant::now());
            Ok(logged_in(&app, &session, next))
        }
        None => page(&app, &taste, StatusCode::UNAUTHORIZED, Some("The token is not known."), next),
    }
}

/// Prints another link where the console runs.
pub(crate) async fn new_link(State(app): State<Arc<App>>) -> Result<Response, Fault> {
    if !app.announce_link() {
        return Err(Fault::new(
            StatusCode::NOT_FOUND,
            "this console has no login links: log in with a token",
        ));
    }
    Ok(see("/login?printed=1"))
}

fn logged_in(app: &App, session: &str, next: &str) -> Response {
    let mut response = see(next);
    set_session(app, &mut response, session, "");
    response
}

fn set_session(app: &App, response: &mut Response, session: &str, more: &str) {
    let secure = if app.is_secure { "; Secure" } else { "" };
    let cookie = format!("{}={session}; Path=/; HttpOnly; SameSite=Strict{secure}{more}", app.cookie);
    // A session's id and the rest are plain ASCII.
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Ends a session.
pub(crate) async fn logout(ask: Ask) -> Result<Response, Fault> {
    if let Some(session) = &ask.caller.session {
        ask.app.logins.close(session);
    }
    let mut response = see("/login");
    set_session(&ask.app, &mut response, "", "; Max-Age=0");
    Ok(response)
}
