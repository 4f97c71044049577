use std::io;
use std::net::SocketAddr;

use pumice_core::ports::Attachment;
use pumice_core::secret::SecretText;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);
/// For servers that never answer.
const SHORT: Duration = Duration::from_millis(200);
/// An answer that closes the connection, and one that never comes.
const CLOSE: &str = "close";
const HANG: &str = "hang";

/// A server's answers to the lines that begin with a word, before those of a good server.
type Script = &'static [(&'static str, &'static str)];

fn good(word: &str) -> &'static str {
    match word {
        "greeting" => "220 test ESMTP\r\n",
        "EHLO" => "250-test\r\n250 AUTH PLAIN LOGIN\r\n",
        "AUTH" => "235 welcome\r\n",
        "DATA" => "354 go on\r\n",
        "QUIT" => "221 bye\r\n",
        _ => "250 fine\r\n",
    }
}

/// A server for one connection, and the lines that it was given.
async fn server(script: Script) -> (MailServer, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let given = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let (mut given, mut word, mut is_data) = (Vec::new(), "greeting".to_owned(), false);
        loop {
            if !is_data {
                let scripted =
                    script.iter().find(|(begin, _)| word.starts_with(begin)).map(|(_, answer)| *answer);
                match scripted.unwrap_or_else(|| good(word.split([' ', ':']).next().unwrap_or_default())) {
                    CLOSE => return given,
                    HANG => {}
                    answer => write.write_all(answer.as_bytes()).await.unwrap_or_default(),
                }
                is_data = word == "DATA";
            }
            let Ok(Some(line)) = lines.next_line().await else { return given };
            given.push(line.clone());
            if is_data && line == "." {
                (is_data, word) = (false, "text".to_owned());
            } else if !is_data {
                word = line;
            }
        }
    });
    let login = Some(("ann".to_owned(), SecretText::new("smtp-canary-3")));
    (MailServer { host: "127.0.0.1".to_owned(), port, tls: false, ca_cert: None, login }, given)
}

fn email() -> Email {
    Email {
        id: "run.1".to_owned(),
        date: chrono::DateTime::UNIX_EPOCH,
        from: "Job <job@example.com>".to_owned(),
        to: vec!["a@example.com, B <b@example.com>".to_owned(), "c@example.com".to_owned()],
        reply_to: vec!["re@example.com".to_owned()],
        return_path: None,
        subject: "It fäiled".to_owned(),
        body: "why".to_owned(),
        is_html: false,
        attachments: Vec::new(),
    }
}

async fn sent(script: Script, email: &Email) -> (Result<(), MailError>, Vec<String>) {
    let (to, given) = server(script).await;
    let done = Smtp::default().send(&to, email, LIMIT).await;
    (done, given.await.unwrap())
}

fn has(given: &[String], line: &str) -> bool {
    given.iter().any(|known| known == line)
}

#[tokio::test]
async fn email_is_sent_with_its_headers_to_each_recipient() {
    let (done, given) = sent(&[], &email()).await;
    done.unwrap();
    for line in [
        "MAIL FROM:<job@example.com>",
        "RCPT TO:<a@example.com>",
        "RCPT TO:<b@example.com>",
        "RCPT TO:<c@example.com>",
        "Message-ID: <run.1@example.com>",
        "Date: Thu, 01 Jan 1970 00:00:00 +0000",
        "From: Job <job@example.com>",
        "Reply-To: re@example.com",
        "Subject: It =?utf-8?b?ZsOkaWxlZA==?=",
        "Content-Type: text/plain; charset=utf-8",
        "why",
    ] {
        assert!(has(&given, line), "{line}: {given:#?}");
    }
    let returned = Email { return_path: Some("bounce@example.com".to_owned()), is_html: true, ..email() };
    let (done, given) = sent(&[], &returned).await;
    done.unwrap();
    assert!(has(&given, "MAIL FROM:<bounce@example.com>"), "{given:#?}");
    assert!(has(&given, "Content-Type: text/html; charset=utf-8"), "{given:#?}");
}

#[tokio::test]
async fn attachment_has_its_name_and_type() {
    for (name, bytes, kind) in [
        ("stdout", &b"text"[..], "text/plain; charset=utf-8"),
        ("stdout", b"\xff\xfe", "application/octet-stream"),
        ("a.b.CSV", b"1|2", "text/csv; charset=utf-8"),
        ("\"x\r\nBcc: a@b.c", b"", "text/plain; charset=utf-8"),
    ] {
        let attachments = vec![Attachment { name: name.to_owned(), bytes: bytes.to_vec() }];
        let (done, given) = sent(&[], &Email { attachments, ..email() }).await;
        done.unwrap();
        assert!(has(&given, &format!("Content-Type: {kind}")), "{name}: {given:#?}");
        assert!(given.iter().any(|line| line.starts_with("Content-Disposition: attachment")), "{given:#?}");
        assert!(!given.iter().any(|line| line.starts_with("Bcc")), "{given:#?}");
    }
}

#[tokio::test]
async fn line_with_a_dot_does_not_end_the_email() {
    let (done, given) = sent(&[], &Email { body: "a\r\n.\r\nRCPT TO:<x@y.z>".to_owned(), ..email() }).await;
    done.unwrap();
    assert!(has(&given, "..") || has(&given, "=2E"), "{given:#?}");
    assert!(has(&given, "QUIT"), "{given:#?}");
}

/// The outcome of each fault of a server.
const FAULTS: [(Script, &str, &str); 16] = [
    (&[("greeting", "554 go away\r\n")], "refused", "refuses the greeting: 554 go away"),
    (&[("greeting", "421 busy\r\n")], "unsent", "does not take the greeting for now: 421 busy"),
    (&[("greeting", "hello\r\n")], "refused", "does not answer the greeting in the way of SMTP"),
    (&[("greeting", "\u{0}\u{1}\u{2}\r\n")], "refused", "does not answer the greeting in the way of SMTP"),
    (&[("greeting", CLOSE)], "refused or unsent", "the greeting"),
    (&[("EHLO", CLOSE)], "refused or unsent", "the greeting"),
    (&[("EHLO", "250 test\r\n")], "refused", "the login: No compatible authentication mechanism"),
    (
        &[("AUTH", "535 5.7.8 no such login smtp-canary-3 AGFubgBzbXRwLWNhbmFyeS0z\r\n")],
        "refused",
        "refuses the login: 535 5.7.8 no such login ***** *****",
    ),
    (&[("AUTH", "454 later\r\n")], "unsent", "does not take the login for now: 454 later"),
    (
        &[("MAIL", "530 5.7.0 Must issue a STARTTLS command first\r\n")],
        "refused",
        "refuses the sender: 530 5.7.0 Must issue a STARTTLS command first",
    ),
    (&[("MAIL", "451 greylisted\r\n")], "unsent", "does not take the sender for now: 451 greylisted"),
    (
        &[("RCPT", "550 no such user\r\n")],
        "refused",
        "takes it for no recipient: a@example.com: 550 no such user; b@example.com: 550",
    ),
    (&[("RCPT", "450 later\r\n")], "unsent", "takes it for no recipient: a@example.com: 450 later"),
    (&[("DATA", "452 full\r\n")], "unsent", "does not take DATA for now: 452 full"),
    (&[("text", "552 too large\r\n")], "refused", "refuses the text of the e-mail: 552 too large"),
    (&[("text", CLOSE)], "refused or broken", "the text of the e-mail"),
];

fn kind(error: &MailError) -> &'static str {
    match error {
        MailError::Refused(_) => "refused",
        MailError::NotSent(_) => "unsent",
        MailError::Broken(_) => "broken",
    }
}

#[tokio::test]
async fn server_that_fails_is_named_with_the_reason_and_no_secret() {
    for (script, wanted, message) in FAULTS {
        let (to, given) = server(script).await;
        let error = Smtp::default().send(&to, &email(), LIMIT).await.unwrap_err();
        let text = error.to_string();
        assert!(wanted.contains(kind(&error)), "{script:?}: {error:?}");
        assert!(
            text.contains(message) && text.contains(&format!("127.0.0.1:{}", to.port)),
            "{script:?}: {text}"
        );
        assert!(
            !text.contains("canary") && !text.contains("Y2FuYXJ5") && !text.contains("AGFubgBz"),
            "{text}"
        );
        assert!(text.len() < 600 && !text.contains(char::is_control), "{text:?}");
        drop(given);
    }
}

#[tokio::test]
async fn server_that_hangs_is_given_up_at_each_step() {
    for (word, step) in [
        ("greeting", "the greeting"),
        ("EHLO", "the greeting"),
        ("AUTH", "the login"),
        ("MAIL", "the sender"),
        ("RCPT", "a recipient"),
        ("DATA", "DATA"),
        ("text", "the text of the e-mail"),
    ] {
        let script: Script = vec![(word, HANG)].leak();
        let (to, _given) = server(script).await;
        let error = Smtp::default().send(&to, &email(), SHORT).await.unwrap_err();
        let wanted = format!("127.0.0.1:{}: no answer to {step} within 200ms", to.port);
        assert_eq!(error.to_string(), wanted);
        assert_eq!(kind(&error), if word == "text" { "broken" } else { "unsent" });
    }
}

#[tokio::test]
async fn accepted_recipients_get_the_email_and_others_are_named() {
    let (done, given) = sent(&[("RCPT TO:<b@", "550 no such user\r\n")], &email()).await;
    let text = done.unwrap_err().to_string();
    assert!(
        text.ends_with(" took it for 2 of 3 recipients, not for b@example.com: 550 no such user"),
        "{text}"
    );
    assert!(has(&given, "why") && has(&given, "."), "{given:#?}");
}

#[tokio::test]
async fn server_that_offers_encryption_is_named_as_such() {
    const OFFERS: (&str, &str) = ("EHLO", "250-test\r\n250 STARTTLS\r\n");
    let hint = "the server offers STARTTLS: give the connection `tls: true`";
    let (done, _) = sent(&[OFFERS], &email()).await;
    assert!(done.unwrap_err().to_string().ends_with(hint));
    let (mut to, given) = server(&[OFFERS, ("MAIL", "530 Must issue a STARTTLS command first\r\n")]).await;
    to.login = None;
    let error = Smtp::default().send(&to, &email(), LIMIT).await.unwrap_err();
    assert!(error.to_string().ends_with(hint), "{error}");
    drop(given);
    let (mut to, _given) = server(&[]).await;
    to.tls = true;
    let error = Smtp::default().send(&to, &email(), LIMIT).await.unwrap_err();
    assert_eq!(kind(&error), "refused");
    assert!(error.to_string().contains("STARTTLS is not supported"), "{error}");
}

#[tokio::test]
async fn server_that_begins_no_tls_is_refused_or_given_up() {
    let (mut to, _given) =
        server(&[("EHLO", "250-test\r\n250 STARTTLS\r\n"), ("STARTTLS", "220 go\r\n"), ("\u{16}", HANG)])
            .await;
    to.tls = true;
    let error = Smtp::default().send(&to, &email(), SHORT).await.unwrap_err();
    assert!(error.to_string().contains("STARTTLS"), "{error}");
}

#[tokio::test]
async fn certificate_file_that_is_bad_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.pem");
    std::fs::write(&bad, "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n").unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for (path, wanted) in [
        ("/none/ca.pem", "cannot read ca_cert /none/ca.pem"),
        (bad.to_str().unwrap(), "is not a file of certificates"),
        (empty.to_str().unwrap(), "is not a file of certificates"),
    ] {
        let server = MailServer {
            host: "127.0.0.1".to_owned(),
            port: 1,
            tls: true,
            ca_cert: Some(path.to_owned()),
            login: None,
        };
        let error = Smtp::default().probe(&server, LIMIT).await.unwrap_err();
        assert!(error.to_string().contains(wanted) && kind(&error) == "refused", "{error}");
    }
}

#[tokio::test]
async fn server_is_probed_without_an_email() {
    let (to, given) = server(&[]).await;
    let said = Smtp::default().probe(&to, LIMIT).await.unwrap();
    assert_eq!(said, format!("127.0.0.1:{} greeted, took the login of ann; nothing was sent", to.port));
    let given = given.await.unwrap();
    assert!(has(&given, "NOOP") && !given.iter().any(|line| line.starts_with("MAIL")), "{given:?}");
    let none = MailServer { host: "127.0.0.1".to_owned(), port: 1, tls: false, ca_cert: None, login: None };
    let error = Smtp::default().probe(&none, LIMIT).await.unwrap_err();
    assert!(error.to_string().starts_with("127.0.0.1:1: the connection broke at the greeting"), "{error}");
}

#[tokio::test]
async fn address_that_is_malformed_is_refused_before_anything_is_sent() {
    let none = MailServer { host: "127.0.0.1".to_owned(), port: 1, tls: false, ca_cert: None, login: None };
    let texts = |text: &str| vec![text.to_owned()];
    for (email, wanted) in [
        (Email { to: texts("no address"), ..email() }, "\"no address\" is not an e-mail address"),
        (Email { to: texts("a@b.c\r\nRCPT TO:<x@y.z>"), ..email() }, "is not an e-mail address"),
        (Email { to: texts(""), ..email() }, "the e-mail has no recipient"),
        (Email { to: Vec::new(), ..email() }, "the e-mail has no recipient"),
        (Email { from: "me".to_owned(), ..email() }, "\"me\" is not an e-mail address"),
        (Email { reply_to: texts("x"), ..email() }, "\"x\" is not an e-mail address"),
        (Email { return_path: Some("x".to_owned()), ..email() }, "\"x\" is not an e-mail address"),
    ] {
        let error = Smtp::default().send(&none, &email, LIMIT).await.unwrap_err();
        assert!(kind(&error) == "refused" && error.to_string().contains(wanted), "{error:?}");
    }
}

#[tokio::test]
async fn address_beyond_ascii_needs_a_server_that_takes_it() {
    let foreign = Email { to: vec!["jürgen@example.com".to_owned()], ..email() };
    let (done, _) = sent(&[], &foreign).await;
    assert!(done.unwrap_err().to_string().contains("takes addresses in ASCII only"));
    let (done, given) = sent(&[("EHLO", "250-test\r\n250-SMTPUTF8\r\n250 AUTH PLAIN\r\n")], &foreign).await;
    done.unwrap();
    assert!(has(&given, "MAIL FROM:<job@example.com> SMTPUTF8"), "{given:#?}");
}

struct Leads(&'static str);

#[async_trait]
impl Resolve for Leads {
    async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self.0.parse() {
            Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
            Err(_) if self.0.is_empty() => Ok(Vec::new()),
            Err(_) => Err(io::Error::other("no such host")),
        }
    }
}

#[tokio::test]
async fn name_that_leads_to_metadata_or_nowhere_is_not_called() {
    let server =
        MailServer { host: "mail.example".to_owned(), port: 25, tls: false, ca_cert: None, login: None };
    for (leads, wanted) in [
        ("169.254.169.254", "mail.example:25 is not called: its address 169.254.169.254 is link-local"),
        ("fd00:ec2::254", "mail.example:25 is not called"),
        ("", "cannot connect to mail.example:25: its name is not found: it has no address"),
        ("x", "cannot connect to mail.example:25: its name is not found: no such host"),
    ] {
        let smtp = Smtp { names: Arc::new(Leads(leads)) };
        let error = smtp.send(&server, &email(), LIMIT).await.unwrap_err();
        assert!(error.to_string().starts_with(wanted), "{error}");
    }
}
