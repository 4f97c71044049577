//! A server under test, and a client that sends its input byte by byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use pumice_console::{Bounds, Console, Role, Settings, Token};
use pumice_service::Realm;
use pumice_testing::folder::Folder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// The tokens of the tests.
pub(crate) const VIEWER: &str = "viewer-token-0123456789";
pub(crate) const OPERATOR: &str = "operator-token-0123456789";
pub(crate) const EDITOR: &str = "editor-token-0123456789";

/// A console that runs.
pub(crate) struct Server {
    pub(crate) realm: Arc<Folder>,
    pub(crate) address: SocketAddr,
    /// The login links that were printed.
    pub(crate) links: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, Vec<String>>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|values| values.first()).map_or("", String::as_str)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// How a server is started.
pub(crate) fn settings() -> Settings {
    let token = |secret: &str, role: Role| Token::new(secret, role, role.as_str()).unwrap();
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        urls: Vec::new(),
        tokens: vec![
            token(VIEWER, Role::Viewer),
            token(OPERATOR, Role::Operator),
            token(EDITOR, Role::Editor),
        ],
        proxy: None,
        role: Role::Editor,
        is_read_only: false,
        bounds: Bounds::default(),
        words: vec!["pumice".to_owned()],
        announce: Box::new(|_| ()),
        refresh: None,
        meters: None,
    }
}

impl Server {
    pub(crate) async fn start(realm: Folder) -> Self {
        Self::with(realm, settings()).await
    }

    pub(crate) async fn with(realm: Folder, mut settings: Settings) -> Self {
        let links = Arc::new(Mutex::new(Vec::new()));
        let printed = links.clone();
        settings.announce = Box::new(move |link| printed.lock().unwrap().push(link.to_owned()));
        let realm = Arc::new(realm);
        let shown: Arc<dyn Realm> = realm.clone();
        let console = Console::bind(shown, settings).await.unwrap();
        console.announce();
        let address = console.address();
        let task = tokio::spawn(console.serve(std::future::pending()));
        Self { realm, address, links, task }
    }

    pub(crate) fn realm_name(&self) -> &str {
        self.realm.name().as_str()
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The name of the cookie of sessions.
    pub(crate) fn cookie(&self) -> String {
        format!("pumice-session-{}", self.address.port())
    }

    /// Sends a text as it is, and gives what comes until the connection ends.
    pub(crate) async fn raw(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may close before all is sent.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a request with these headers besides `Host`, and no others.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let host = ("host", self.host());
        let has_host = headers.iter().any(|(name, _)| *name == "host");
        let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !has_host {
            text.push_str(&format!("{}: {}\r\n", host.0, host.1));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if method == "POST" {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body);
        parse(&self.raw(&text).await)
    }

    /// Asks for a page as an editor.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_as(EDITOR, path).await
    }

    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.send("GET", path, &[("authorization", &format!("Bearer {token}"))], "").await
    }

    /// Sends a form as a page of the console does.
    pub(crate) async fn post_as(&self, session: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        self.post_form(session, path, &encoded(form)).await
    }

    /// Sends a form that is encoded already.
    pub(crate) async fn post_form(&self, session: &str, path: &str, form: &str) -> Answer {
        let cookie = format!("{}={session}", self.cookie());
        let headers = [
            ("cookie", cookie.as_str()),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        self.send("POST", path, &headers, form).await
    }

    /// Asks for a page with a session.
    pub(crate) async fn see(&self, session: &str, path: &str) -> Answer {
        self.send("GET", path, &[("cookie", &format!("{}={session}", self.cookie()))], "").await
    }

    /// The session of a token's owner.
    pub(crate) async fn session(&self, token: &str) -> String {
        let answer = self.post_as("", "/login", &[("token", token)]).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        session_of(&answer)
    }

    /// Sends JSON with a token.
    pub(crate) async fn api(&self, token: &str, path: &str, body: &serde_json::Value) -> Answer {
        let token = format!("Bearer {token}");
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        self.send("POST", path, &headers, &body.to_string()).await
    }
}

/// The session that an answer opens.
pub(crate) fn session_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie");
    let value = cookie.strip_prefix("pumice-session-").and_then(|rest| rest.split_once('='));
    let value = value.and_then(|(_, rest)| rest.split(';').next());
    value.unwrap_or_else(|| panic!("no session: {answer:?}")).to_owned()
}

/// Fields as forms and URLs write them.
pub(crate) fn encoded(fields: &[(&str, &str)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(fields);
    text.finish()
}

/// An answer, whole or cut off.
pub(crate) fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned());
    }
    let is_chunked = headers.get("transfer-encoding").is_some_and(|one| one[0] == "chunked");
    let body = if is_chunked { unchunked(body) } else { body.to_owned() };
    Answer { status: status.unwrap_or(0), headers, body }
}

fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        whole.push_str(rest.get(..size).unwrap_or_default());
        text = rest.get(size + 2..).unwrap_or_default();
    }
    whole
}
