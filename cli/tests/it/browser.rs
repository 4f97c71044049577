//! The console in a real browser: Chromium and its driver, from Debian's packages `chromium` and `chromium-driver`, which
//! `cargo xtask test` installs, and axe-core, which looks for what keeps people from using a page (WCAG 2.2, level AA).

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
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
        let options =
            json!({ "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
        let asked = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let answer = browser.call("POST", "/session", &asked);
        let session = answer["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}"));
        browser.session = format!("/session/{session}");
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

    /// The value that a script of the test gives to the function that is its last argument.
    fn run_to_end(&self, script: &str) -> Value {
        let asked = json!({ "script": script, "args": [] });
        self.call("POST", &format!("{}/execute/async", self.session), &asked)
    }

    /// The value that a script of the test returns.
    fn run(&self, script: &str) -> Value {
        let asked = json!({ "script": script, "args": [] });
        self.call("POST", &format!("{}/execute/sync", self.session), &asked)
    }

    fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// A command of the browser's own (Chrome DevTools Protocol).
    fn devtools(&self, command: &str, parameters: &Value) {
        let asked = json!({ "cmd": command, "params": parameters });
        let answer = self.call("POST", &format!("{}/goog/cdp/execute", self.session), &asked);
        assert!(answer["error"].is_null(), "{command}: {answer}");
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

/// A realm with runs of each kind, and jobs that can be run again.
fn realm() -> Pumice {
    let pumice = Pumice::new();
    let mut load = shell("etl/load", "echo 'no space left'; test \"$DAY\" = 2");
    load["parameters"]["env"] = json!({ "DAY": "{{ globals.day }}" });
    load["globals"] = json!({ "day": "1" });
    let extract = shell("etl/extract", "echo extracted");
    let night = json!({ "job_id": "etl/night", "type": "chain", "worker": "core", "enabled": true,
        "payload": ["etl/extract", "etl/load"] });
    let mut nightly = shell("etl/nightly", "true");
    nightly["schedule"] = json!("@daily");
    pumice.write("jobs.json", json!([load, extract, night, nightly, shell("etl/later", "true")]).to_string());
    assert_eq!(pumice.run(&["apply", "jobs.json"]).status, 0);
    pumice
}

#[test]
#[cfg_attr(not(feature = "standins-browser"), ignore = "needs Debian's Chromium and its driver")]
fn failure_of_the_night_is_found_read_and_run_again() {
    let pumice = realm();
    let console = shown(&pumice, &["serve", "--console"]);
    assert_eq!(pumice.run(&["dispatch", "etl/night", "--wait"]).status, 1);
    let browser = Browser::start();
    browser.go(&console.link);
    browser.wait_for("Failed lately");
    browser.click("td.i a", "");
    browser.wait_for("no space left");
    // It is run again from the failed step with another day, and watched to its end.
    browser.click("a.act", "Run again");
    browser.wait_for("What would run");
    browser.wait_for("kept");
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
    // A key within the moment in which an answer is awaited means the text that is there, and not the one before.
    browser.go(&format!("http://{}/jobs#%zz", console.address));
    browser.wait_for("etl/nightly");
    let typed = |text: &str, then: &str| {
        let script = format!(
            "const input = document.querySelector('dialog.palette input'); input.value = {text:?}; \
             input.dispatchEvent(new Event('input')); {then}"
        );
        browser.run(&script);
    };
    let ctrl_k = "document.dispatchEvent(new KeyboardEvent('keydown', { key: 'k', ctrlKey: true }))";
    wait_until(|| {
        browser.run(ctrl_k);
        browser.run("return document.querySelector('dialog.palette') !== null") == true
    });
    typed("pause etl/later", "");
    wait_until(|| {
        let first = browser.run("return document.querySelector('dialog.palette a')?.textContent");
        first.as_str().is_some_and(|first| first.contains("Pause etl/later"))
    });
    typed("pause etl/nightly", "input.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter' }));");
    wait_until(|| browser.run("return location.pathname") == "/job");
    let place = browser.run("return location.search + location.hash");
    assert_eq!(place, "?id=etl%2Fnightly#pause");
    // A schedule is paused.
    browser.go(&format!("http://{}/schedules", console.address));
    browser.click("summary", "Pause");
    browser.run("document.querySelector('input[name=why]').value = 'stock-taking'");
    browser.click("button.main", "Pause");
    browser.wait_for("stock-taking");
    // All runs that wait are cancelled, after a look at how many they are.
    for _ in 0..3 {
        assert_eq!(pumice.run(&["dispatch", "etl/later", "--delay", "5m"]).status, 0);
    }
    browser.go(&format!("http://{}/runs/many?act=cancel&where=job:etl/later", console.address));
    browser.wait_for("3 runs");
    browser.click("button.danger", "Cancel 3 runs");
    browser.wait_for("cancelled");
    let listed = pumice.run(&["runs", "list", "--where", "job:etl/later status:cancelled", "-o", "json"]);
    let listed = listed.json();
    assert_eq!(listed["runs"].as_array().map(Vec::len), Some(3));
    // No page needed what its policy forbids.
    let broken = browser.run(
        "return performance.getEntriesByType('resource').filter((one) => one.responseStatus >= 400).length",
    );
    assert_eq!(broken, 0);
}

#[test]
#[cfg_attr(not(feature = "standins-browser"), ignore = "needs Debian's Chromium and its driver")]
fn viewer_is_offered_no_act_and_refused_one() {
    let pumice = realm();
    let tokens = pumice.write("tokens", "viewer wall 0123456789abcdef0123\n");
    let console = shown(&pumice, &["serve", "--console", "--tokens", &tokens.display().to_string()]);
    assert_eq!(pumice.run(&["dispatch", "etl/load", "--wait"]).status, 1);
    let browser = Browser::start();
    browser.go(&format!("http://{}/login", console.address));
    browser.run("document.querySelector('input[name=token]').value = '0123456789abcdef0123'");
    browser.click("button.main", "Log in");
    browser.wait_for("Failed lately");
    browser.click("td.i a", "");
    browser.wait_for("no space left");
    // A plan may be looked at.
    browser.click("a.act", "Run again");
    browser.wait_for("What would run");
    assert!(!browser.text().contains("Run it again so"), "{}", browser.text());
    // A form that was made by hand is refused.
    browser.run(
        "const form = document.createElement('form'); form.method = 'post'; form.action = '/job/run'; \
         form.innerHTML = '<input name=id value=etl/load>'; document.body.append(form); form.submit();",
    );
    browser.wait_for("operator");
    let listed = pumice.run(&["runs", "list", "-o", "json"]);
    let listed = listed.json();
    assert_eq!(listed["runs"].as_array().map(Vec::len), Some(1));
}

/// Findings of axe-core on a page that break a rule of WCAG 2.2, level AA, or of a level below: the rule, what it asks for, and
/// what breaks it.
fn broken_rules(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(axe);
    let found = browser.run_to_end(
        "const done = arguments[arguments.length - 1]; \
         const levels = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']; \
         axe.run(document, { runOnly: levels }).then( \
           (found) => done(found.violations.map((one) => \
             `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => node.html).join(' | ')}`)), \
           (error) => done([String(error)]));",
    );
    let found = found.as_array().unwrap_or_else(|| panic!("axe says nothing: {found}"));
    found.iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect()
}

/// How much of a page is outside the window, where it is: none may need to be scrolled sideways (WCAG 2.2, 1.4.10).
fn outside(browser: &Browser) -> Option<String> {
    let wide =
        browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
    (wide.as_i64() != Some(0)).then(|| format!("{wide} pixels are outside the window"))
}

/// The faults of a page in both colour schemes, wide and narrow, as it comes and with all that it has opened.
fn faults(browser: &Browser, axe: &str, (home, page): (&str, &str)) -> Vec<String> {
    let mut faults = Vec::new();
    for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 320)] {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        browser.devtools("Emulation.setEmulatedMedia", &features);
        browser.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        browser.go(&format!("{home}{page}"));
        for state in ["as it comes", "opened"] {
            if state == "opened" {
                browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })");
            }
            let found = broken_rules(browser, axe).into_iter().chain(outside(browser));
            faults.extend(found.map(|fault| format!("{page} ({scheme}, {width}, {state}): {fault}")));
        }
    }
    faults
}

/// Jobs with steps that end well, rows of every list, and an entry that is paused.
fn filled(pumice: &Pumice) {
    let chain = json!({ "job_id": "fine/chain", "type": "chain", "worker": "core", "enabled": true,
        "payload": ["etl/extract", "etl/nightly"] });
    let dag = json!({ "job_id": "fine/dag", "type": "dag", "worker": "core", "enabled": true,
        "payload": { "etl/extract": null, "etl/nightly": "etl/extract" } });
    let each = json!({ "job_id": "fine/each", "type": "foreach", "worker": "core", "enabled": true, "payload": "etl/extract",
        "parameters": { "foreach": { "type": "inline", "values": [{ "region": "apac" }, { "region": "emea" }] } } });
    let trigger = json!({ "trigger_id": "in", "bucket": "in", "prefix": "*", "job_id": ["etl/extract"], "enabled": true });
    pumice.write("filled.json", json!([chain, dag, each, trigger]).to_string());
    pumice.write("secret", "browser-canary-61");
    for command in [
        &["apply", "filled.json"][..],
        &["state", "put", "seen/at", "x"],
        &["state", "put", "seen/by", "y"],
        &["schedules", "pause", "etl/nightly", "--until", "2h"],
    ] {
        assert_eq!(pumice.run(command).status, 0, "{command:?}");
    }
    for name in ["one", "two"] {
        assert_eq!(pumice.feed(&["secrets", "set", name], "browser-canary-61").status, 0);
    }
}

/// Every page is reached by links, in both colour schemes, wide and narrow.
#[test]
#[cfg_attr(
    not(all(feature = "standins-browser", feature = "standins-axe")),
    ignore = "needs Debian's Chromium and its driver, and axe-core from PyPI"
)]
fn pages_keep_no_one_from_using_them() {
    let standins =
        PathBuf::from(std::env::var_os("PUMICE_STANDINS").expect("PUMICE_STANDINS: use cargo xtask test"));
    let libraries = standins.join("axe/lib");
    let python =
        std::fs::read_dir(&libraries).expect("a virtual environment").flatten().next().expect("its Python");
    let axe = python.path().join("site-packages/axe_playwright_python/axe.min.js");
    let axe = std::fs::read_to_string(&axe).unwrap_or_else(|error| panic!("{}: {error}", axe.display()));
    let pumice = realm();
    // Long values without a blank.
    let wide = json!({ "job_id": "wide", "type": "cmd", "worker": "core", "enabled": true, "payload": "x".repeat(300),
        "schedule": "0 3 1 1 *", "globals": { "g".repeat(100): "v".repeat(200), "n": 1 } });
    pumice.write("wide.json", wide.to_string());
    assert_eq!(pumice.run(&["apply", "wide.json"]).status, 0);
    filled(&pumice);
    let console = shown(&pumice, &["serve", "--console"]);
    for fine in ["fine/chain", "fine/dag", "fine/each"] {
        assert_eq!(pumice.run(&["dispatch", fine, "--wait"]).status, 0);
    }
    assert_eq!(pumice.run(&["dispatch", "etl/night", "--wait"]).status, 1);
    assert_eq!(pumice.run(&["dispatch", "etl/later", "--delay", "5m"]).status, 0);
    let browser = Browser::start();
    browser.go(&console.link);
    browser.wait_for("Failed lately");
    let home = format!("http://{}", console.address);
    let (mut open, mut seen) = (vec!["/".to_owned(), "/login".to_owned()], BTreeSet::new());
    let mut broken = Vec::new();
    while let Some(page) = open.pop() {
        // One of each kind: pages of a path are alike.
        let path = page.split('?').next().unwrap_or_default().to_owned();
        if !seen.insert(path) {
            continue;
        }
        browser.go(&format!("{home}{page}"));
        let links = browser.run(
            "return [...document.querySelectorAll('a[href]')].map((one) => new URL(one.href)) \
             .filter((one) => one.origin === location.origin && !/^\\/(api|metrics|assets|logout)|\\.(html|json|txt)$|\\/(text|raw)$/.test(one.pathname)) \
             .map((one) => one.pathname + one.search)",
        );
        open.extend(links.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        broken.extend(faults(&browser, &axe, (&home, &page)));
    }
    // Steps that ended well, a plan, a row that can be resumed.
    let mut more = vec!["/schedules?job=etl/nightly".to_owned()];
    for job in ["fine/chain", "fine/dag", "fine/each"] {
        let id =
            pumice.run(&["runs", "list", "--job", job, "-o", "json"]).json()["runs"][0]["run_id"].clone();
        more.push(format!("/run?id={}", id.as_str().expect("an id")));
        more.push(format!("/run/retry?from=all&id=latest:{job}"));
    }
    more.push("/run/retry?id=latest:etl/night".to_owned());
    for page in &more {
        broken.extend(faults(&browser, &axe, (&home, page)));
    }
    for width in [1280, 320] {
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        browser.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        for page in ["/job?id=wide", "/runs?where=job:wide", "/schedules?job=wide"] {
            browser.go(&format!("{home}{page}"));
            broken.extend(outside(&browser).map(|wide| format!("{page} ({width}): {wide}")));
        }
    }
    assert!(seen.len() >= 20, "{seen:?}");
    assert!(broken.is_empty(), "{} pages, {} faults:\n{}", seen.len(), broken.len(), broken.join("\n"));
}
