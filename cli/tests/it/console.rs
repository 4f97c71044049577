//! The console as a process.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::pumice::{Printed, Pumice, Server, shell};

/// A console, and the login link that it has printed.
pub(crate) struct Shown {
    process: Server,
    pub(crate) address: SocketAddr,
    pub(crate) link: String,
}

/// Starts a command that shows the folder, and reads until it has printed its link.
pub(crate) fn shown(pumice: &Pumice, arguments: &[&str]) -> Shown {
    shown_with(pumice, arguments, &[])
}

/// The same, with variables.
pub(crate) fn shown_with(pumice: &Pumice, arguments: &[&str], variables: &[(&str, &str)]) -> Shown {
    let mut command = pumice.command(&[arguments, &["--listen", "127.0.0.1:0"]].concat());
    for name in ["PUMICE_CONSOLE_TOKEN", "PUMICE_CONSOLE_TOKENS", "PUMICE_CONSOLE_LISTEN"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("a console");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines().map_while(Result::ok);
    let link =
        lines.by_ref().find_map(|line| line.split_once("log in once at ").map(|(_, link)| link.to_owned()));
    let link = link.unwrap_or_else(|| panic!("no link: {:?}", child.try_wait()));
    // Its output must be read, or it would wait for that.
    std::thread::spawn(move || lines.count());
    let address = link.strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("an address");
    Shown { address: address.parse().expect("an address"), process: Server(child), link }
}

impl Shown {
    fn get(&self, path: &str, cookie: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        let cookie = if cookie.is_empty() { String::new() } else { format!("cookie: {cookie}\r\n") };
        let text =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{cookie}\r\n", self.address);
        stream.write_all(text.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// The cookie of the session that the link opens.
    fn log_in(&self) -> String {
        let path = self.link.strip_prefix(&format!("http://{}", self.address)).expect("a link of its own");
        let answer = self.get(path, "");
        assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a session");
        cookie.split(';').next().unwrap_or_default().to_owned()
    }
}

fn a_realm() -> Pumice {
    let pumice = Pumice::new();
    let mut failing = shell("etl/it's a 'job'", "echo seen-in-the-console; exit 3");
    failing["schedule"] = json!("@daily");
    let chain = json!({ "job_id": "etl/größe", "type": "chain", "worker": "core", "enabled": true, "payload": ["etl/it's a 'job'"] });
    pumice.write("jobs.json", Value::Array(vec![failing, chain]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    assert_eq!(pumice.run(&["state", "put", "seen/at", "1"]).status, 0);
    pumice
}

#[test]
fn command_of_a_page_does_in_a_shell_what_the_page_does() {
    let pumice = a_realm();
    let serve = pumice.serve();
    assert_eq!(pumice.run(&["dispatch", "etl/größe", "--wait"]).status, 1);
    let console = shown(&pumice, &["console"]);
    let session = console.log_in();
    let mut commands = BTreeSet::new();
    for path in [
        "/",
        "/runs?job=etl%2F*&status=failed&since=1d&children=1",
        "/run?id=latest",
        "/jobs",
        "/jobs?pattern=etl%2F*",
        "/job?id=etl%2Fit%27s+a+%27job%27",
        "/schedules?job=etl%2Fit%27s+a+%27job%27",
        "/workers",
        "/triggers",
        "/connections",
        "/state",
        "/secrets",
    ] {
        let page = console.get(path, &session);
        assert!(page.starts_with("HTTP/1.1 200"), "{path}: {page}");
        let line = page.split("data-copy=\"").nth(1).and_then(|rest| rest.split('"').next());
        let line = line.unwrap_or_else(|| panic!("{path} shows no command"));
        let line = [("&#x27;", "'"), ("&#x2f;", "/"), ("&amp;", "&")]
            .iter()
            .fold(line.to_owned(), |line, (from, to)| line.replace(from, to));
        commands.insert(line);
    }
    assert!(commands.len() >= 10, "{commands:?}");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_pumice"));
    let path = format!("{}:/usr/bin:/bin", program.parent().expect("a folder").display());
    for line in commands {
        let ran =
            Command::new("sh").args(["-c", &line]).current_dir(pumice.path()).env("PATH", &path).output();
        let ran = ran.expect("a shell");
        assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    drop(serve);
}

#[test]
fn console_next_to_a_server_shows_its_runs() {
    let pumice = a_realm();
    let shown = shown(&pumice, &["serve", "--console", "--role", "viewer"]);
    let session = shown.log_in();
    assert!(shown.get("/", "").starts_with("HTTP/1.1 303"), "a caller without a session sees nothing");
    assert_eq!(pumice.run(&["dispatch", "etl/größe", "--wait"]).status, 1);
    let page = shown.get("/run?id=latest", &session);
    assert!(page.contains("seen-in-the-console") && page.contains("exit status 3"), "{page}");
    assert!(!page.contains("class=\"danger\""), "a viewer is offered no act");
    assert!(!page.contains("Nothing runs the jobs"), "it is served");
    assert_eq!(shown.process.end_by("TERM"), 0);
}

#[test]
fn console_that_others_could_reach_does_not_start() {
    let pumice = a_realm();
    let short = pumice.write("short", "operator ci 12345\n");
    let tokens = pumice.write("tokens", "operator ci 0123456789abcdef0123\n");
    let open = pumice.write("open", "operator ci 0123456789abcdef0123\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&open, mode).expect("a file");
    let open = open.display().to_string();
    let same = pumice.write("same", "viewer a 0123456789abcdef0123\neditor b 0123456789abcdef0123\n");
    let same = same.display().to_string();
    let (short, tokens) = (short.display().to_string(), tokens.display().to_string());
    for (arguments, wrong) in [
        (&["--listen", "0.0.0.0:0"][..], "no login is set up: set PUMICE_CONSOLE_TOKEN"),
        (&["--listen", "[::]:0"], "no login is set up"),
        (&["--listen", "127.0.0.1:0", "--public-url", "https://pumice.example.org"], "no login is set up"),
        (&["--listen", "0.0.0.0:0", "--tokens", &tokens], "with --public-url"),
        (&["--listen", "0.0.0.0:0", "--tokens", &short], "20 characters or more"),
        (&["--tokens", "none"], "--tokens none: No such file"),
        (&["--tokens", &same], "line 2: its token is that of line 1"),
        (&["--tokens", &open], "others may write it (mode 666): `chmod 600` it"),
        (&["--public-url", "pumice.example.org"], "is not a URL of the console"),
        (&["--role", "boss"], "is not a role"),
        (&["--trust-header", "X-User", "--trusted-role", "viewer"], "no proxy is named"),
        (&["--trust-header", "X-User", "--trusted-proxy", "127.0.0.1"], "say what users may do"),
        (&["--trusted-proxy", "127.0.0.1"], "--trusted-proxy: name the header"),
        (&["--trusted-role", "viewer"], "--trusted-role: name the header"),
        (&["--trusted-role-header", "X-Role"], "--trusted-role-header: name the header"),
        (&["--trust-header", "Cookie"], "clients send themselves"),
        (&["--trusted-proxy", "0.0.0.0"], "is not the address of one proxy"),
        (&["--trusted-role", "boss"], "is not a role"),
        (&["--trusted-role", "viewer", "--trusted-role-header", "X-Role"], "cannot be used with"),
        (
            &["--trust-header", "X-User", "--trusted-role-header", "x-user", "--trusted-proxy", "127.0.0.1"],
            "is that of the user",
        ),
        (
            &["--listen", "0.0.0.0:0", "--trust-header", "X-User", "--trusted-role", "viewer"],
            "no proxy is named",
        ),
    ] {
        for command in [&["console"][..], &["serve", "--console"]] {
            let ran = pumice.run(&[command, arguments].concat());
            assert_eq!(ran.status, 2, "{arguments:?} {ran:?}");
            assert!(ran.err.contains(wrong), "{arguments:?} {ran:?}");
        }
    }
    for (token, name, wrong) in [
        ("0123456789abcdef0123", "ci", "PUMICE_CONSOLE_TOKEN: its token is that of \"ci\""),
        ("another-token-0123456", "token", "PUMICE_CONSOLE_TOKEN: its name is that of \"token\""),
    ] {
        let file = pumice.write("named", format!("viewer {name} 0123456789abcdef0123\n"));
        let mut command = pumice.command(&["console", "--tokens", &file.display().to_string()]);
        let ran: Printed = command.env("PUMICE_CONSOLE_TOKEN", token).output().expect("the command").into();
        assert!(ran.status == 2 && ran.err.contains(wrong) && !ran.err.contains(token), "{ran:?}");
    }
    let alone = pumice.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(alone.status == 2 && alone.err.contains("give --console, too"), "{alone:?}");
}

#[test]
fn run_as_a_document_is_one_file() {
    let pumice = a_realm();
    let serve = pumice.serve();
    assert_eq!(pumice.run(&["dispatch", "etl/größe", "--wait"]).status, 1);
    let document = pumice.run(&["runs", "show", "--html", "latest"]);
    assert_eq!(document.status, 0, "{document:?}");
    assert!(
        document.out.contains("<!doctype html>") && document.out.contains("seen-in-the-console"),
        "{document:?}"
    );
    assert!(
        !document.out.contains("<script")
            && !document.out.contains(" href=")
            && !document.out.contains(" src=")
    );
    let missing = pumice.run(&["runs", "show", "--html", "latest:none"]);
    assert_eq!((missing.status, missing.out.as_str()), (2, ""), "{missing:?}");
    drop(serve);
}
