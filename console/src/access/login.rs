//! Logins: the link that works once, tokens, and the sessions of browsers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pumice_core::text::quoted;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::Role;

/// The name of the session's cookie of a console at a port: browsers send the cookies of a host to each of its ports.
pub(crate) fn cookie_name(port: u16) -> String {
    format!("pumice-session-{port}")
}

/// How long a link may be used.
const LINK_TIME: Duration = Duration::from_mins(15);
/// How long a session lives after its last use.
const SESSION_TIME: Duration = Duration::from_hours(12);
/// Most sessions at the same time; the one that was not used for longest makes way.
const MAX_SESSIONS: usize = 500;
/// Fewest characters of a token.
const MIN_TOKEN: usize = 20;
/// How long after a link was printed no further one is, unless it was used.
const LINK_PAUSE: Duration = Duration::from_secs(10);

/// A token by which a program, or a person at the login page, is known.
#[derive(Clone)]
pub struct Token {
    secret: String,
    /// Its role.
    pub role: Role,
    /// Whose it is.
    pub name: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("role", &self.role).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A token that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It can be guessed.
    #[error("a token has {MIN_TOKEN} characters or more, without blanks: `openssl rand -hex 20` makes one")]
    Weak,
    /// A line of a file of tokens.
    #[error("line {0} is not a token: give role, name and token, as in `operator ci 5f1d…`")]
    Line(usize),
    /// A role that there is not.
    #[error("line {0}: {1}")]
    Role(usize, String),
    /// A name that two have.
    #[error("line {0}: the name {1} is there twice")]
    Twice(usize, String),
    /// A token that two lines have: its role and its name would be those of either.
    #[error("line {0}: its token is that of line {1}: give each a token of its own")]
    Same(usize, usize),
    /// The file has none.
    #[error("there is no token in it")]
    None,
}

impl Token {
    /// A token.
    ///
    /// # Errors
    /// [`BadToken`] when it is too short, or has blanks.
    pub fn new(secret: &str, role: Role, name: &str) -> Result<Self, BadToken> {
        if secret.chars().count() < MIN_TOKEN || secret.contains(char::is_whitespace) {
            return Err(BadToken::Weak);
        }
        Ok(Self { secret: secret.to_owned(), role, name: name.to_owned() })
    }

    /// The tokens of a file: role, name and token on each line; empty lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// [`BadToken`] with the line that is wrong.
    pub fn of_file(text: &str) -> Result<Vec<Self>, BadToken> {
        let mut tokens: Vec<(usize, Self)> = Vec::new();
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let [role, name, secret] = words[..] else { return Err(BadToken::Line(number)) };
            let role: Role = role
                .parse()
                .map_err(|error: super::role::UnknownRole| BadToken::Role(number, error.to_string()))?;
            if tokens.iter().any(|(_, token)| token.name == name) {
                return Err(BadToken::Twice(number, quoted(name)));
            }
            let token = Self::new(secret, role, name)?;
            if let Some((other, _)) = tokens.iter().find(|(_, other)| other.is_same(&token)) {
                return Err(BadToken::Same(number, *other));
            }
            tokens.push((number, token));
        }
        if tokens.is_empty() {
            Err(BadToken::None)
        } else {
            Ok(tokens.into_iter().map(|(_, token)| token).collect())
        }
    }

    /// Whether another one has the same secret, so that a caller may be either.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.secret.as_bytes().ct_eq(other.secret.as_bytes()).into()
    }
}

/// The name of a session that a login link has opened: the console's owner has it. No token of a file can have
/// this name.
pub(crate) const LINK_NAME: &str = "login link";

/// The sender of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Their role.
    pub(crate) role: Role,
    /// Their name in the log and in records.
    pub(crate) name: String,
    /// The cookie of their session; `None` of a program with a token, and of a user whom a proxy names.
    pub(crate) session: Option<String>,
    /// The header in which a proxy sent the name, if one did.
    pub(crate) by_header: Option<String>,
}

impl Caller {
    /// A user whom a proxy names.
    pub(super) fn by_proxy(name: String, role: Role, header: &str) -> Self {
        Self { role, name, session: None, by_header: Some(header.to_owned()) }
    }

    /// Whether they opened the login link.
    pub(crate) fn has_link(&self) -> bool {
        self.by_header.is_none() && self.name == LINK_NAME
    }

    /// Their name for the audit: a token and a user of a proxy may have the same name.
    pub(crate) fn who(&self) -> String {
        match &self.by_header {
            None => format!("{} ({})", self.name, self.role),
            Some(header) => format!("{} ({}, by {header})", self.name, self.role),
        }
    }
}

struct Session {
    role: Role,
    name: String,
    used: Instant,
    /// The notice for the next page.
    notice: Option<Notice>,
}

/// The outcome of an act, for the next page.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Notice {
    /// Whether it went well.
    pub(crate) is_good: bool,
    /// The outcome.
    pub(crate) text: String,
}

struct Link {
    secret: String,
    printed: Instant,
    used: bool,
}

/// The logins of a console.
pub(crate) struct Logins {
    tokens: Vec<Token>,
    /// The role of sessions that the link opens; `None` where only tokens open sessions.
    link_role: Option<Role>,
    link: Mutex<Option<Link>>,
    sessions: Mutex<HashMap<String, Session>>,
    /// Notices for users whom a proxy names, without sessions.
    notices: Mutex<HashMap<String, Notice>>,
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logins").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 244 bits of chance.
fn chance() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

impl Logins {
    pub(crate) fn new(tokens: Vec<Token>, link_role: Option<Role>) -> Self {
        Self {
            tokens,
            link_role,
            link: Mutex::default(),
            sessions: Mutex::default(),
            notices: Mutex::default(),
        }
    }

    /// Whether people can log in with a token.
    pub(crate) fn has_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Whether people can log in with a link.
    pub(crate) fn has_links(&self) -> bool {
        self.link_role.is_some()
    }

    /// The secret of a new link; the one before cannot be used any more. `None` where there are no links, or one was made
    /// a moment ago and was not used.
    pub(crate) fn new_link(&self, now: Instant) -> Option<String> {
        self.link_role?;
        let mut link = locked(&self.link);
        let is_fresh = |link: &Link| !link.used && now.duration_since(link.printed) < LINK_PAUSE;
        if link.as_ref().is_some_and(is_fresh) {
            return None;
        }
        let secret = chance();
        *link = Some(Link { secret: secret.clone(), printed: now, used: false });
        Some(secret)
    }

    /// Opens a session for the user of the link; the link cannot be used again.
    pub(crate) fn by_link(&self, secret: &str, now: Instant) -> Option<String> {
        let role = self.link_role?;
        {
            let mut link = locked(&self.link);
            let link = link.as_mut()?;
            let is_open = !link.used && now.duration_since(link.printed) < LINK_TIME;
            if !is_open || !is_same(&link.secret, secret) {
                return None;
            }
            link.used = true;
        }
        Some(self.open(role, LINK_NAME.to_owned(), now))
    }

    /// The owner of a token.
    pub(crate) fn by_token(&self, secret: &str) -> Option<Caller> {
        // All are compared, so that the time does not reveal which was near.
        let mut found = None;
        for token in &self.tokens {
            if is_same(&token.secret, secret) {
                found = Some(token);
            }
        }
        found.map(|token| Caller {
            role: token.role,
            name: token.name.clone(),
            session: None,
            by_header: None,
        })
    }

    /// Opens a session.
    pub(crate) fn open(&self, role: Role, name: String, now: Instant) -> String {
        let mut sessions = locked(&self.sessions);
        sessions.retain(|_, session| now.duration_since(session.used) < SESSION_TIME);
        if sessions.len() >= MAX_SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, one)| one.used).map(|(id, _)| id.clone())
        {
            sessions.remove(&oldest);
        }
        let id = chance();
        sessions.insert(id.clone(), Session { role, name, used: now, notice: None });
        id
    }

    /// The one whose session this is.
    pub(crate) fn by_session(&self, id: &str, now: Instant) -> Option<Caller> {
        let mut sessions = locked(&self.sessions);
        let session = sessions.get_mut(id).filter(|one| now.duration_since(one.used) < SESSION_TIME)?;
        session.used = now;
        let (role, name) = (session.role, session.name.clone());
        Some(Caller { role, name, session: Some(id.to_owned()), by_header: None })
    }

    /// Ends a session.
    pub(crate) fn close(&self, id: &str) {
        locked(&self.sessions).remove(id);
    }

    /// Keeps what is to be said on the caller's next page.
    pub(crate) fn tell(&self, caller: &Caller, notice: Notice) {
        if caller.by_header.is_some() {
            let mut notices = locked(&self.notices);
            // Of so many none is worth keeping.
            if notices.len() >= MAX_SESSIONS {
                notices.clear();
            }
            notices.insert(caller.name.clone(), notice);
            return;
        }
        let id = caller.session.as_deref().unwrap_or_default();
        if let Some(session) = locked(&self.sessions).get_mut(id) {
            session.notice = Some(notice);
        }
    }

    /// The notice for this page: it is shown once.
    pub(crate) fn take_notice(&self, caller: &Caller) -> Option<Notice> {
        if caller.by_header.is_some() {
            return locked(&self.notices).remove(&caller.name);
        }
        let id = caller.session.as_deref()?;
        locked(&self.sessions).get_mut(id)?.notice.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_opens_one_session_within_its_time() {
        let logins = Logins::new(Vec::new(), Some(Role::Editor));
        let now = Instant::now();
        let link = logins.new_link(now).unwrap();
        assert_eq!(logins.new_link(now), None, "another one is printed only after a while");
        assert_eq!(logins.by_link("wrong", now), None);
        let session = logins.by_link(&link, now).unwrap();
        assert_eq!(logins.by_link(&link, now), None, "a link works once");
        let caller = logins.by_session(&session, now).unwrap();
        assert_eq!((caller.role, caller.session.as_deref()), (Role::Editor, Some(session.as_str())));
        let next = logins.new_link(now).unwrap();
        assert_ne!(next, link);
        assert_eq!(logins.by_link(&next, now + LINK_TIME), None, "it has expired");
        assert_eq!(logins.by_session(&session, now + SESSION_TIME), None);
        logins.close(&session);
        assert_eq!(logins.by_session(&session, now), None);
    }

    #[test]
    fn link_is_not_made_where_only_tokens_open_sessions() {
        let logins = Logins::new(Vec::new(), None);
        assert_eq!((logins.new_link(Instant::now()), logins.has_links()), (None, false));
        assert_eq!(logins.by_link("", Instant::now()), None);
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_makes_way() {
        let logins = Logins::new(Vec::new(), None);
        let begun = Instant::now();
        let at = |number: usize| begun + Duration::from_millis(number as u64);
        let first = logins.open(Role::Viewer, "a".to_owned(), at(0));
        let second = logins.open(Role::Viewer, "a".to_owned(), at(1));
        for number in 2..=MAX_SESSIONS {
            logins.open(Role::Viewer, "a".to_owned(), at(number));
        }
        assert_eq!(logins.by_session(&first, at(MAX_SESSIONS)), None);
        assert!(logins.by_session(&second, at(MAX_SESSIONS)).is_some());
    }

    #[test]
    fn file_of_tokens_is_read_or_refused_by_line() {
        let long = "0123456789abcdefghij";
        let file = format!("# who\n\nviewer wall {long}1\noperator ci {long}2\n");
        let logins = Logins::new(Token::of_file(&file).unwrap(), None);
        let caller = logins.by_token(&format!("{long}2")).unwrap();
        assert_eq!((caller.role, caller.name.as_str()), (Role::Operator, "ci"));
        assert_eq!((logins.by_token(long), logins.by_token("")), (None, None));
        assert!(!format!("{logins:?}").contains(long));
        for (file, wrong) in [
            (String::new(), "there is no token"),
            (format!("viewer {long}"), "line 1 is not a token"),
            (format!("\nboss x {long}"), "line 2: \"boss\" is not a role"),
            ("viewer x short".to_owned(), "20 characters or more"),
            (format!("viewer x {long}\nviewer x {long}"), "line 2: the name \"x\" is there twice"),
            (format!("viewer a {long}\n\neditor b {long}"), "line 3: its token is that of line 1"),
            (
                format!("editor b {long}\nviewer c {long}2\nviewer a {long}"),
                "line 3: its token is that of line 1",
            ),
        ] {
            let error = Token::of_file(&file).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn notice_is_shown_once() {
        let logins = Logins::new(Vec::new(), None);
        let now = Instant::now();
        let session = logins.open(Role::Viewer, "a".to_owned(), now);
        let caller = logins.by_session(&session, now).unwrap();
        let notice = Notice { is_good: true, text: "done".to_owned() };
        logins.tell(&caller, notice.clone());
        assert_eq!((logins.take_notice(&caller), logins.take_notice(&caller)), (Some(notice), None));
    }
}
