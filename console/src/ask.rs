//! The request of a page: the caller, the fields of the query or the form, how times are shown.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use chrono_tz::Tz;
use pumice_core::audit::{Actor, Origin};
use pumice_service::Realm;
use pumice_service::audit::Acting;

use crate::access::{Caller, LINK_NAME, Notice, Role};
use crate::answer::{Fault, RefusedForm, see};
use crate::app::App;
use crate::pages::views::{View, saved};
use crate::view::link;

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
        // Bytes that are not UTF-8 are read as this character, which would mean something else.
        let replaced =
            fields.iter().map(|(name, value)| replacements(name) + replacements(value)).sum::<usize>();
        if replaced > 0 && replaced != written_replacements(text) {
            return Err(Fault::bad("a field is not UTF-8"));
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

    /// The value of a field as it was typed, with blanks at its ends and lines that end as they do in files, where it is not empty.
    pub(crate) fn typed(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.0.iter().find(|(field, value)| field == name && !value.is_empty())?;
        // Browsers send the end of a line as CR LF.
        Some(if value.contains('\r') { value.replace("\r\n", "\n").into() } else { value.as_str().into() })
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

/// How often a text has the character that takes the place of bytes which are not UTF-8.
fn replacements(text: &str) -> usize {
    text.matches(char::REPLACEMENT_CHARACTER).count()
}

/// How often fields name that character themselves, as it is or by its three bytes.
fn written_replacements(text: &[u8]) -> usize {
    let written = String::from_utf8_lossy(text);
    let is_utf8 = std::str::from_utf8(text).is_ok();
    let plain = if is_utf8 { replacements(&written) } else { 0 };
    plain + written.to_ascii_lowercase().matches("%ef%bf%bd").count()
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

    /// Where the same page is whose filter has an offset behind each time that names no zone, which is one of the page's; `None`
    /// where no time lacks one. So the URL and the command mean the same runs in every zone.
    pub(crate) fn with_offsets(&self, zone: Tz, written: fn(&str, Tz) -> String) -> Option<Response> {
        let filter = self.query.get("where")?;
        let zoned = Some(written(filter, zone)).filter(|zoned| zoned != filter)?;
        let fields = self.query.iter().filter(|(name, _)| *name != "where");
        let fields: Vec<(&str, &str)> = fields.chain([("where", zoned.as_str())]).collect();
        Some(see(&link(self.here.split('?').next().unwrap_or("/"), &fields)))
    }

    /// The same answer, where it refuses the form for what is in it with the form as it was filled in: `shown` names the fields that
    /// a user may correct, with their labels.
    pub(crate) fn kept(
        &self,
        answer: Result<Response, Fault>,
        shown: &[(&'static str, &'static str)],
    ) -> Result<Response, Fault> {
        answer.map_err(|fault| {
            if !matches!(fault.status, StatusCode::BAD_REQUEST | StatusCode::CONFLICT) {
                return fault;
            }
            let typed = |name: &str| self.form.typed(name).map(Cow::into_owned).unwrap_or_default();
            let is_shown = |name: &str| shown.iter().any(|(one, _)| *one == name);
            let hidden = self.form.iter().filter(|(name, _)| !is_shown(name));
            let form = RefusedForm {
                path: self.here.split('?').next().unwrap_or_default().to_owned(),
                shown: shown.iter().map(|(name, label)| (*name, *label, typed(name))).collect(),
                hidden: hidden.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            };
            Fault { form: Some(Box::new(form)), ..fault }
        })
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
        for wrong in [&b"a=%FF"[..], b"a%FF=1", b"a=\xff", b"a=%EF%BF%BD%FF", b"a=%C3"] {
            assert!(Fields::read(wrong).is_err(), "{wrong:?}");
        }
        for (fine, value) in
            [(&b"a=%EF%BF%BD"[..], "\u{fffd}"), ("a=\u{fffd}".as_bytes(), "\u{fffd}"), (b"a=%C3%A9", "é")]
        {
            assert_eq!(Fields::read(fine).unwrap().get("a"), Some(value));
        }
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
