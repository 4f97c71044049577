use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pumice_core::ports::{Http, HttpError, HttpRequest, HttpResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::Web;
use super::connect::Resolve;

/// A part of URLs that no message may show.
const SECRET: &str = "token-7f3a";

/// A server's next step on a connection.
#[derive(Clone)]
enum Act {
    /// Reads the request, writes this and closes.
    Say(String),
    /// Reads the request, and is silent until the client goes.
    Hang,
    /// Closes before the request is read.
    Close,
}

fn say(answer: &str) -> Act {
    Act::Say(answer.to_owned())
}

/// A server that does one thing after the other, and sends what it reads.
struct Server {
    address: SocketAddr,
    read: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, read) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for act in acts {
                let (mut stream, _) = listener.accept().await.unwrap();
                if matches!(act, Act::Close) {
                    continue;
                }
                let _ = sender.send(request_of(&mut stream).await);
                match act {
                    Act::Say(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                    _ => assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0),
                }
                let _ = stream.shutdown().await;
                let _ = sender.send("closed".to_owned());
            }
        });
        Self { address, read }
    }

    fn url(&self) -> String {
        format!("http://{}/hook/{SECRET}?key={SECRET}", self.address)
    }

    /// The next thing that was read.
    async fn next(&mut self) -> String {
        loop {
            match self.read.recv().await.expect("the server goes on").as_str() {
                "closed" => {}
                text => return text.to_owned(),
            }
        }
    }
}

/// A request's head and body.
async fn request_of(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut piece = [0; 1024];
    loop {
        let count = stream.read(&mut piece).await.unwrap();
        text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return text;
        }
    }
}

fn request(method: &str, url: &str) -> HttpRequest {
    HttpRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: vec![
            ("Authorization".to_owned(), SECRET.to_owned()),
            ("Accept".to_owned(), "a/b".to_owned()),
        ],
        body: if method == "POST" { b"body".to_vec() } else { Vec::new() },
        timeout: Duration::from_secs(30),
        redirects: 5,
        max_response: 1000,
    }
}

async fn get(url: &str) -> Result<HttpResponse, HttpError> {
    Web::default().send(request("GET", url)).await
}

/// An error, which must not show what is secret.
fn told(error: &HttpError) -> String {
    let text = error.to_string();
    assert!(!text.contains(SECRET), "{text}");
    text
}

#[tokio::test]
async fn request_reaches_the_server_as_given() {
    let mut server =
        Server::start(vec![say("HTTP/1.1 201 Created\r\nX-A: 1\r\ncontent-length: 2\r\n\r\nok")]).await;
    let response = Web::default().send(request("POST", &server.url())).await.unwrap();
    assert_eq!((response.status, response.header("x-a"), &*response.body), (201, Some("1"), &b"ok"[..]));
    let sent = server.next().await;
    let host = format!("host: {}", server.address);
    assert!(sent.starts_with(&format!("POST /hook/{SECRET}?key={SECRET} HTTP/1.1\r\n")), "{sent}");
    for line in
        [&*host, "authorization: token-7f3a", "accept: a/b", "content-length: 4", "user-agent: pumice/"]
    {
        assert!(sent.contains(line), "{line}: {sent}");
    }
    assert!(sent.ends_with("\r\n\r\nbody"), "{sent}");
}

#[tokio::test]
async fn request_without_a_body_says_so_where_it_could_have_one() {
    for (method, wanted) in
        [("POST", true), ("PUT", true), ("PATCH", true), ("GET", false), ("DELETE", false)]
    {
        let mut server = Server::start(vec![say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")]).await;
        let request = HttpRequest { body: Vec::new(), ..request(method, &server.url()) };
        Web::default().send(request).await.unwrap();
        let sent = server.next().await;
        assert_eq!(sent.contains("\r\ncontent-length: 0\r\n"), wanted, "{method}: {sent}");
    }
}

#[tokio::test]
async fn response_of_any_framing_is_read_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nwho\r\n2\r\nle\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nwhole",
        "HTTP/1.0 200 OK\r\n\r\nwhole",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole",
    ] {
        let server = Server::start(vec![say(answer)]).await;
        assert_eq!(get(&server.url()).await.unwrap().body, b"whole", "{answer}");
    }
}

#[tokio::test]
async fn server_that_breaks_off_or_talks_nonsense_is_broken() {
    for act in [
        Act::Close,
        say(""),
        say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
        say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf"),
        say("HTTP/1.1 200 OK\r\ncontent-le"),
        say("SSH-2.0-OpenSSH_9.2\r\n"),
        say("HTTP/1.1 two hundred\r\n\r\n"),
    ] {
        let server = Server::start(vec![act]).await;
        let error = get(&server.url()).await.unwrap_err();
        assert!(matches!(error, HttpError::Broken(_)), "{error:?}");
        assert!(told(&error).contains(&server.address.to_string()), "{error}");
    }
}

#[tokio::test]
async fn server_that_hangs_is_given_up_when_the_time_is_up() {
    let server = Server::start(vec![Act::Hang]).await;
    let asked = HttpRequest { timeout: Duration::from_millis(100), ..request("GET", &server.url()) };
    let error = Web::default().send(asked).await.unwrap_err();
    assert_eq!(told(&error), format!("no response from http://{} within 100ms", server.address));
}

#[tokio::test]
async fn request_that_is_dropped_closes_its_connection() {
    let mut server = Server::start(vec![Act::Hang]).await;
    let url = server.url();
    let asking = tokio::spawn(async move { get(&url).await });
    server.next().await;
    asking.abort();
    assert_eq!(server.read.recv().await.as_deref(), Some("closed"));
}

#[tokio::test]
async fn response_that_is_too_large_is_refused() {
    let large = "x".repeat(1001);
    for answer in [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n{large}"),
        format!("HTTP/1.1 200 OK\r\n\r\n{large}"),
    ] {
        let server = Server::start(vec![Act::Say(answer)]).await;
        let error = get(&server.url()).await.unwrap_err();
        let wanted =
            format!("the response of http://{} is larger than 1000 bytes, the limit", server.address);
        assert_eq!(error, HttpError::Refused(wanted));
    }
}

#[tokio::test]
async fn server_that_is_not_there_was_not_sent_anything() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = get(&format!("http://{address}/{SECRET}")).await.unwrap_err();
    assert!(
        matches!(&error, HttpError::NotSent(why) if why.contains("cannot connect to http://127.0.0.1")),
        "{error}"
    );
    let error = get(&format!("http://no-such-host.invalid/{SECRET}")).await.unwrap_err();
    assert!(matches!(&error, HttpError::NotSent(why) if why.contains("its name is not found")), "{error}");
    told(&error);
}

#[tokio::test]
async fn request_that_is_malformed_is_refused() {
    let with = |headers: &[(&str, &str)]| HttpRequest {
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..request("GET", "http://127.0.0.1:9/")
    };
    for (request, why) in [
        (request("GE T", "http://a/"), "the method \"GE T\" is not one of HTTP's"),
        (request("CONNECT", "http://a/"), "the method \"CONNECT\" is not one of HTTP's"),
        (with(&[("a b", "x")]), "the header name \"a b\" is not a token of HTTP"),
        (with(&[("a", "token-7f3a\r\nb: c")]), "the value of the header a has characters"),
        (with(&[("Content-Length", "5")]), "the header content-length is set by pumice itself"),
        (with(&[("Transfer-Encoding", "chunked")]), "the header transfer-encoding is set by pumice itself"),
    ] {
        let error = Web::default().send(request).await.unwrap_err();
        assert!(matches!(error, HttpError::Refused(_)) && told(&error).starts_with(why), "{error}");
    }
}

fn moved(status: u16, location: &str) -> Act {
    Act::Say(format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"))
}

#[tokio::test]
async fn redirect_is_followed_with_method_and_body_as_its_status_says() {
    let done = say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    for (status, method, is_kept) in [
        (301, "POST", false),
        (302, "POST", false),
        (303, "POST", false),
        (307, "POST", true),
        (308, "POST", true),
        (303, "HEAD", true),
    ] {
        let mut server = Server::start(vec![moved(status, "../next"), done.clone()]).await;
        let response = Web::default().send(request(method, &server.url())).await.unwrap();
        server.next().await;
        let next = server.next().await;
        let wanted = if is_kept { method } else { "GET" };
        assert!(next.starts_with(&format!("{wanted} /next HTTP/1.1")), "{status}: {next}");
        assert_eq!(next.ends_with("\r\n\r\nbody"), is_kept && method == "POST", "{status}: {next}");
        assert!(next.contains("authorization") && response.status == 200, "{next}");
    }
}

#[tokio::test]
async fn redirect_to_another_server_leaves_secret_headers_behind() {
    let mut other = Server::start(vec![say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")]).await;
    let server = Server::start(vec![moved(302, &format!("http://{}/", other.address))]).await;
    get(&server.url()).await.unwrap();
    let sent = other.next().await;
    assert!(sent.contains("accept: a/b") && !sent.contains(SECRET), "{sent}");
}

#[tokio::test]
async fn redirects_end_at_their_limit() {
    let server = Server::start(vec![moved(302, "/a"); 3]).await;
    let asked = HttpRequest { redirects: 2, ..request("GET", &server.url()) };
    let error = Web::default().send(asked).await.unwrap_err();
    assert_eq!(told(&error), format!("http://{} redirects once more after 2 redirects", server.address));
    let server = Server::start(vec![moved(302, "/a")]).await;
    let asked = HttpRequest { redirects: 0, ..request("GET", &server.url()) };
    assert_eq!(Web::default().send(asked).await.unwrap().status, 302);
}

#[tokio::test]
async fn metadata_service_is_never_called_by_address_or_redirect() {
    for place in [
        "http://169.254.169.254/latest/meta-data/",
        "http://169.254.170.2/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
    ] {
        let error = get(place).await.unwrap_err();
        assert!(
            matches!(&error, HttpError::Refused(why) if why.contains("is link-local")),
            "{place}: {error}"
        );
        for status in [301, 302, 303, 307, 308] {
            let server = Server::start(vec![moved(status, place)]).await;
            let error = get(&server.url()).await.unwrap_err();
            assert!(
                matches!(&error, HttpError::Refused(why) if why.contains("is link-local")),
                "{place}: {error}"
            );
        }
    }
}

/// Names that have other addresses each time.
struct Changing(Mutex<Vec<Vec<SocketAddr>>>);

#[async_trait]
impl Resolve for Changing {
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(self.0.lock().unwrap().remove(0))
    }
}

#[tokio::test]
async fn name_that_changes_to_the_metadata_service_is_not_called() {
    let server = Server::start(vec![moved(302, "/again")]).await;
    let metadata: SocketAddr = "169.254.169.254:80".parse().unwrap();
    let web = Web::with_names(Arc::new(Changing(Mutex::new(vec![vec![server.address], vec![metadata]]))));
    let error = web.send(request("GET", "http://rebound.example/")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "http://rebound.example is not called: its address 169.254.169.254 is link-local, where clouds hand out credentials"
    );
    let both = vec![vec![server.address, metadata], Vec::new()];
    let web = Web::with_names(Arc::new(Changing(Mutex::new(both))));
    let error = web.send(request("GET", "http://mixed.example/")).await.unwrap_err();
    assert!(matches!(error, HttpError::Refused(_)), "{error}");
    let error = web.send(request("GET", "http://empty.example/")).await.unwrap_err();
    assert_eq!(
        error,
        HttpError::NotSent("cannot connect to http://empty.example: its name has no address".to_owned())
    );
}

#[tokio::test]
async fn server_without_tls_is_not_sent_an_encrypted_request() {
    let server = Server::start(vec![Act::Close]).await;
    let error = get(&format!("https://{}/{SECRET}", server.address)).await.unwrap_err();
    assert!(matches!(error, HttpError::NotSent(_)), "{error:?}");
    told(&error);
}
