//! A user's preferences for pages: the zone of times, the colours. It is kept in cookies, and nothing of the realm changes.

use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::runs::back_to;
use crate::answer::{Fault, see};
use crate::ask::{Ask, THEME_COOKIE, ZONE_COOKIE, ZoneChoice};

/// How long a browser keeps them, in seconds: a year.
pub(super) const KEPT: u32 = 31_536_000;

/// Sets zone or colours.
pub(crate) async fn set(ask: Ask) -> Result<Response, Fault> {
    let mut response = see(&back_to(&ask, "/"));
    let mut keep = |name: &str, value: Option<&str>| {
        let (value, age) = value.map_or(("", 0), |value| (value, KEPT));
        let cookie = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    };
    if let Some(zone) = ask.form.get("zone") {
        let choice = ZoneChoice::read(zone);
        match choice
            .ok_or_else(|| Fault::bad(format!("{} is not a zone", pumice_core::text::quoted(zone))))?
        {
            ZoneChoice::Realm => keep(ZONE_COOKIE, None),
            choice => keep(ZONE_COOKIE, Some(choice.name())),
        }
    }
    match ask.form.get("theme") {
        None => {}
        Some("light") => keep(THEME_COOKIE, Some("light")),
        Some("dark") => keep(THEME_COOKIE, Some("dark")),
        Some("system") => keep(THEME_COOKIE, None),
        Some(_) => return Err(Fault::bad("theme: light, dark or system")),
    }
    Ok(response)
}
