//! Saved views: lists of runs that a user has named. They are kept in a cookie, and nothing of the realm changes.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use super::runs::FILTERS;
use super::taste::KEPT;
use crate::answer::{Fault, see};
use crate::ask::{Ask, Fields, cookie};
use crate::view::link;

/// The cookie of the views.
const COOKIE: &str = "pumice-views";
/// Most views, longest name in characters, and most bytes of all: a cookie has 4 KB.
const MAX_VIEWS: usize = 20;
const MAX_NAME: usize = 40;
const MAX_BYTES: usize = 3_000;

/// A name, and the query of a list.
pub(crate) type View = (String, String);

/// The views that a browser has; what is not a list of runs does not count.
pub(crate) fn saved(headers: &HeaderMap) -> Vec<View> {
    let text = cookie(headers, COOKIE).unwrap_or_default();
    let read = form_urlencoded::parse(text.as_bytes()).take(MAX_VIEWS);
    read.filter_map(|(name, query)| Some((name.into_owned(), checked(&query).ok()?))).collect()
}

/// A query of the list of runs, as links write it.
fn checked(query: &str) -> Result<String, Fault> {
    let fields = Fields::read(query.as_bytes())?;
    let pairs: Vec<(&str, &str)> = fields.iter().filter(|(_, value)| !value.is_empty()).collect();
    match pairs.iter().find(|(name, _)| !FILTERS.contains(name)) {
        Some((name, _)) => {
            Err(Fault::bad(format!("query: {} is not a filter", pumice_core::text::quoted(name))))
        }
        None => Ok(link("", &pairs).trim_start_matches('?').to_owned()),
    }
}

/// Saves the list of a form under a name, in place of another one of that name; without a list forgets it.
pub(crate) async fn keep(ask: Ask) -> Result<Response, Fault> {
    let answer = keeping(&ask).await;
    ask.kept(answer, &[("name", "Name")])
}

async fn keeping(ask: &Ask) -> Result<Response, Fault> {
    let name = ask.form.need("name")?;
    if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(Fault::bad(format!("name: at most {MAX_NAME} characters, on one line")));
    }
    let query = ask.form.get("query").map(checked).transpose()?.filter(|query| !query.is_empty());
    let mut views: Vec<&View> = ask.views.iter().filter(|(known, _)| known != name).collect();
    let new = query.map(|query| (name.to_owned(), query));
    views.extend(&new);
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(views.iter().copied());
    let text = text.finish();
    if views.len() > MAX_VIEWS || text.len() > MAX_BYTES {
        return Err(Fault::bad(format!(
            "a browser keeps {MAX_VIEWS} views of {MAX_BYTES} bytes in all: forget one first"
        )));
    }
    let mut response = see(&match &new {
        Some((_, query)) => format!("/runs?{query}"),
        None => "/runs".to_owned(),
    });
    let age = if text.is_empty() { 0 } else { KEPT };
    let kept = format!("{COOKIE}={text}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict");
    if let Ok(kept) = HeaderValue::from_str(&kept) {
        response.headers_mut().append(header::SET_COOKIE, kept);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_that_names_no_list_does_not_count() {
        let saved = |text: &str| {
            saved(&HeaderMap::from_iter([(header::COOKIE, format!("pumice-views={text}").parse().unwrap())]))
        };
        let mine = ("mine".to_owned(), "status=failed&job=etl%2F*".to_owned());
        assert_eq!(saved("mine=status%3Dfailed%26job%3Detl%252F*"), [mine]);
        assert!(saved("mine=back%3D%2F%2Fevil.example").is_empty() && saved("").is_empty());
    }
}
