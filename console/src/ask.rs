//! The request of a page: the caller, the fields of the query or the form, how times are shown.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use chrono_tz::Tz;
use pumice_core::audit::{Actor, Origin};
use pumice_service::Realm;
use pumice_service::audit::Acting;

use crate::access::{Caller, LINK_NAME, Notice, Role};
use crate::answer::Fault;
use crate::app::App;
use crate::pages::views::{View, saved};

/// The cookie of the zone in which times are shown.
pub(crate) const ZONE_COOKIE: &str = "pumice-zone";
/// The cookie of the colours.
pub(crate) const THEME_COOKIE: &str = "pumice-theme";
/// Most fields of a query or a form.
const MAX_FIELDS: usize = 200;

/// The fields of a query or a form, in their order; a name may be there more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads fields as URLs and forms write them.
    ///
    /// # Errors
    /// [`Fault`] when there are too many.
    pub(crate) fn read(text: &[u8]) -> Result<Self, Fault> {
        let fields: Vec<(String, String)> =
            form_urlencoded::parse(text).take(MAX_FIELDS + 1).map(|(n, v)| (n.into(), v.into())).collect();
        if fields.len() > MAX_FIELDS {
            return Err(Fault::bad(format!("more than {MAX_FIELDS} fields")));
        }
        Ok(Self(fields))
    }

    /// The value of a field that has one.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of a field that are not empty.
    pub(crate) fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let named = self.0.iter().filter(move |(field, value)| field == name && !value.trim().is_empty());
        named.map(|(_, value)| value.trim())
    }

    /// The value of a field that must have one.
    pub(crate) fn need(&self, name: &str) -> Result<&str, Fault> {
        self.get(name).ok_or_else(|| Fault::bad(format!("the field {name} is missing")))
    }

    /// Whether a box is ticked.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether a field is there, be it empty.
    pub(crate) fn is_there(&self, name: &str) -> bool {
        self.0.iter().any(|(field, _)| field == name)
    }

    /// A field read by its type.
    pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Fault> {
        let read = |text: &str| text.parse().map_err(|error: T::Err| Fault::bad(format!("{name}: {error}")));
        self.get(name).map(read).transpose()
    }

    /// All fields.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The zone in which times are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ZoneChoice {
    /// The realm's.
    #[default]
    Realm,
    /// That of the job which a time is about; else the realm's.
    Job,
    /// This one.
    Own(Tz),
}

impl ZoneChoice {
    /// The choice that a cookie or a form has.
    pub(crate) fn read(text: &str) -> Option<Self> {
        match text {
            "realm" => Some(Self::Realm),
            "job" => Some(Self::Job),
            name => name.parse().ok().map(Self::Own),
        }
    }

    /// Its name, as [`Self::read`] takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Realm => "realm",
            Self::Job => "job",
            Self::Own(zone) => zone.name(),
        }
    }
}

/// A user's preferences for pages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taste {
    /// The zone.
    pub(crate) zone: ZoneChoice,
    /// The colours; `None` for those of the system.
    pub(crate) theme: Option<&'static str>,
}

impl Taste {
    /// The values of cookies; invalid ones do not count.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let theme = cookie(headers, THEME_COOKIE);
        Self {
            zone: cookie(headers, ZONE_COOKIE).and_then(|name| ZoneChoice::read(&name)).unwrap_or_default(),
            theme: ["light", "dark"].into_iter().find(|name| theme.as_deref() == Some(name)),
        }
    }
}

/// The value of a cookie.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(given, _)| *given == name).map(|(_, value)| value.to_owned());
    found.next()
}

/// A request that has passed the gate.
pub(crate) struct Ask {
    pub(crate) app: Arc<App>,
    pub(crate) caller: Caller,
    /// The fields of the query.
    pub(crate) query: Fields,
    /// The fields of the form that was sent.
    pub(crate) form: Fields,
    pub(crate) taste: Taste,
    /// The lists of runs that the user has named.
    pub(crate) views: Vec<View>,
    /// Whether only the head of the answer is asked for, and the page is not shown.
    pub(crate) is_head: bool,
    /// Path and query, as a link to this page has them.
    pub(crate) here: String,
    /// The realm, for this caller.
    realm: Acting,
}

impl Ask {
    pub(crate) fn realm(&self) -> &dyn Realm {
        &self.realm
    }

    /// Refuses an act for which the caller's role is not enough. Each function that acts calls it first.
    ///
    /// # Errors
    /// [`Fault`] when it is not enough, or nothing can be changed here.
    pub(crate) fn act(&self, role: Role) -> Result<(), Fault> {
        allowed(&self.app, &self.caller, role)
    }

    /// Keeps what became of an act, for the next page.
    pub(crate) fn tell(&self, is_good: bool, text: impl Into<String>) {
        let notice = Notice { is_good, text: text.into() };
        tracing::info!(target: "pumice::audit", by = %self.caller.name, role = %self.caller.role, what = %notice.text, "console");
        self.app.logins.tell(&self.caller, notice);
    }
}

/// The realm for a caller, whose acts the audit has under the caller's name. A login link is the console's owner's.
pub(crate) async fn acting(app: &App, caller: &Caller, from: Origin, may_act: bool) -> Acting {
    let opener = match may_act && caller.has_link() {
        true => app.realm.actor().await.map(|actor| format!("{} ({LINK_NAME})", actor.who)).ok(),
        false => None,
    };
    let who = opener.unwrap_or_else(|| caller.who());
    Acting::new(app.realm.clone(), Actor { who, from, host: None })
}

/// Whether a caller may do what asks for a role.
///
/// # Errors
/// [`Fault`] when the caller may not.
pub(crate) fn allowed(app: &App, caller: &Caller, role: Role) -> Result<(), Fault> {
    if role > Role::Viewer && app.is_read_only {
        return Err(Fault::new(StatusCode::FORBIDDEN, "this console is read-only"));
    }
    if caller.role < role {
        let why =
            format!("{} is logged in as {}, and this asks for the role {role}", caller.name, caller.role);
        return Err(Fault::new(StatusCode::FORBIDDEN, why));
    }
    Ok(())
}

/// The bytes of a body, within the limits.
///
/// # Errors
/// [`Fault`] when the body is too large or too slow, or cannot be read.
pub(crate) async fn body_of(app: &App, body: Body) -> Result<Vec<u8>, Fault> {
    let limit = app.bounds.body;
    match tokio::time::timeout(app.bounds.body_time, to_bytes(body, limit)).await {
        Err(_) => Err(Fault::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly")),
        Ok(Ok(bytes)) => Ok(bytes.to_vec()),
        Ok(Err(error)) => {
            let mut causes =
                std::iter::successors(Some(&error as &dyn std::error::Error), |one| one.source());
            let is_too_long = causes.any(|cause| cause.to_string().contains("limit"));
            Err(if is_too_long {
                Fault::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {limit} bytes"))
            } else {
                Fault::bad("the body ended early")
            })
        }
    }
}

impl FromRequest<Arc<App>> for Ask {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Fault::new(StatusCode::UNAUTHORIZED, "log in first"))?;
        let query = Fields::read(parts.uri.query().unwrap_or_default().as_bytes())?;
        let form = match parts.method {
            Method::POST => {
                let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
                let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
                if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
                    let why = "a form is sent as application/x-www-form-urlencoded; programs use /api/v1";
                    return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
                }
                Fields::read(&body_of(app, body).await?)?
            }
            _ => {
                crate::pages::only_known(parts.uri.path(), &query)?;
                Fields::default()
            }
        };
        let here = parts.uri.path_and_query().map_or("/", |text| text.as_str()).to_owned();
        let realm = acting(app, &caller, Origin::Console, parts.method == Method::POST).await;
        let (is_head, taste) = (parts.method == Method::HEAD, Taste::of(&parts.headers));
        let views = saved(&parts.headers);
        Ok(Self { app: app.clone(), caller, query, form, taste, views, is_head, here, realm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_empty_count_as_missing() {
        let fields = Fields::read(b"job=etl%2Fload+1&status=failed&status=&status=+running+&x").unwrap();
        assert_eq!(fields.get("job"), Some("etl/load 1"));
        assert_eq!(fields.all("status").collect::<Vec<_>>(), ["failed", "running"]);
        assert_eq!((fields.get("x"), fields.has("x")), (None, false));
        assert!(fields.need("x").is_err_and(|fault| fault.message == "the field x is missing"));
        assert!(fields.parsed::<u8>("job").is_err_and(|fault| fault.message.starts_with("job: ")));
        assert!(Fields::read("a=1&".repeat(MAX_FIELDS + 1).as_bytes()).is_err());
    }

    #[test]
    fn cookie_that_says_nonsense_does_not_count() {
        let headers = |text: &str| HeaderMap::from_iter([(header::COOKIE, text.parse().unwrap())]);
        let taste = Taste::of(&headers("a=b; pumice-zone=Europe/Berlin; pumice-theme=dark"));
        assert_eq!((taste.zone, taste.theme), (ZoneChoice::Own(Tz::Europe__Berlin), Some("dark")));
        let taste = Taste::of(&headers("pumice-zone=<script>; pumice-theme=\"; x=pumice-theme=dark"));
        assert_eq!((taste.zone, taste.theme), (ZoneChoice::Realm, None));
        for choice in [ZoneChoice::Realm, ZoneChoice::Job, ZoneChoice::Own(Tz::Asia__Tokyo)] {
            assert_eq!(ZoneChoice::read(choice.name()), Some(choice));
        }
    }
}
