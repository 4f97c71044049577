//! A walk through the console with a real browser: Chromium and its driver, from Debian's packages `chromium` and
//! `chromium-driver`. Never part of a check: `cargo test -p pumice browser -- --ignored`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::console::shown;
use crate::pumice::{Pumice, Server, shell, wait_until};

/// A browser, through its driver.
struct Browser {
    port: u16,
    session: String,
    _driver: Server,
}

impl Browser {
    fn start() -> Self {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver, of Debian's package chromium-driver");
        let mut browser = Self { port, session: String::new(), _driver: Server(driver) };
        wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        let options = json!({ "args": ["--headless=new", "--no-sandbox", "--disable-gpu"] });
        let asked = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let answer = browser.call("POST", "/session", &asked);
        browser.session = format!("/session/{}", answer["sessionId"].as_str().expect("a session"));
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the driver");
        let body = body.to_string();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        );
        stream.write_all(text.as_bytes()).expect("sent");
        // The driver keeps the connection.
        let mut lines = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).expect("a head");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(number) = line.strip_prefix("content-length:") {
                length = number.trim().parse().expect("a number");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        lines.read_exact(&mut answer).expect("a body");
        let value: Value = serde_json::from_slice(&answer).expect("JSON");
        value["value"].clone()
    }

    fn go(&self, url: &str) {
        self.call("POST", &format!("{}/url", self.session), &json!({ "url": url }));
    }

    /// What a script of the test returns.
    fn run(&self, script: &str) -> Value {
        let asked = json!({ "script": script, "args": [] });
        self.call("POST", &format!("{}/execute/sync", self.session), &asked)
    }

    fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Clicks the first element like that which has a text, as a person does.
    fn click(&self, selector: &str, text: &str) {
        let script = format!(
            "const found = [...document.querySelectorAll({selector:?})].find((one) => one.textContent.includes({text:?})); \
             if (!found) return false; found.click(); return true;"
        );
        assert_eq!(self.run(&script), true, "no {selector} has {text:?}: {}", self.text());
    }

    fn wait_for(&self, text: &str) {
        wait_until(|| self.text().contains(text));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.call("DELETE", &self.session, &json!({}));
    }
}

#[test]
#[ignore = "run by hand: it needs Debian's Chromium and its driver, which CI does not install"]
fn failure_of_the_night_is_found_read_and_run_again() {
    let pumice = Pumice::new();
    let mut load = shell("etl/load", "echo 'no space left'; test \"$DAY\" = 2");
    load["parameters"]["env"] = json!({ "DAY": "{{ globals.day }}" });
    load["globals"] = json!({ "day": "1" });
    let mut nightly = shell("etl/nightly", "true");
    nightly["schedule"] = json!("@daily");
    pumice.write("jobs.json", json!([load, nightly]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    let console = shown(&pumice, &["serve", "--console"]);
    assert_eq!(pumice.run(&["dispatch", "etl/load", "--wait"]).status, 1);
    let browser = Browser::start();
    browser.go(&console.link);
    browser.wait_for("Failed lately");
    browser.click("td.i a", "");
    browser.wait_for("no space left");
    // It is run again with another day, and watched to its end.
    browser.click("a.act", "Run again");
    browser.wait_for("What would run");
    browser.run("document.querySelector('textarea[name=globals]').value = 'day=2'");
    browser.click("form.stack button", "Show what would run");
    browser.wait_for("globals.day");
    browser.click("button.main", "Run it again so");
    browser.wait_for("does it again");
    browser.wait_for("complete");
    // The page of what happens now hears of a run that begins elsewhere.
    browser.go(&format!("http://{}/runs", console.address));
    browser.wait_for("live");
    assert_eq!(pumice.run(&["dispatch", "etl/nightly", "--wait"]).status, 0);
    browser.wait_for("etl/nightly");
    // A schedule is paused.
    browser.go(&format!("http://{}/schedules", console.address));
    browser.click("summary", "Pause");
    browser.run("document.querySelector('input[name=why]').value = 'stock-taking'");
    browser.click("button.main", "Pause");
    browser.wait_for("stock-taking");
    // No page needed what its policy forbids.
    let broken = browser.run(
        "return performance.getEntriesByType('resource').filter((one) => one.responseStatus >= 400).length",
    );
    assert_eq!(broken, 0);
}
