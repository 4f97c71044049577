//! An HTTP proxy before a stand-in, which counts calls and lets them fail.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

#[path = "in_part.rs"]
mod in_part;

/// The calls that write to tables.
const WRITES: [&str; 3] = ["PutItem", "UpdateItem", "TransactWriteItems"];
/// How long a call that hangs is held: longer than any client waits.
const HANG: Duration = Duration::from_secs(120);

/// The fault of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with an error of this code, as AWS's JSON protocols have it.
    Error(&'static str),
    /// It is answered with a `ValidationException` that says this.
    Invalid(&'static str),
    /// It is throttled since others write to the same key of the index `job` (DynamoDB, Diagnosing throttling).
    HotKey,
    /// A transaction is cancelled, for a reason of this code at its first part.
    Cancelled(&'static str),
    /// Only the first of its items is read, and the others are left to be asked for again; of a batch
    /// of messages all but the first are sent.
    InPart,
    /// It is never answered, and does not take place.
    Hang,
    /// It takes place, and its answer is lost.
    Unanswered,
}

/// A fault of calls of one action, or of all.
#[derive(Clone, Debug)]
struct Rule {
    action: String,
    fault: Fault,
    /// How many calls it lets pass before it meets any.
    pass: usize,
    /// How many calls it still meets.
    left: usize,
}

impl Rule {
    /// Whether it meets a call of this action, which it counts.
    fn meets(&mut self, action: &str) -> bool {
        if self.left == 0 || (self.action != "*" && self.action != action) {
            return false;
        }
        let passes = self.pass > 0;
        *(if passes { &mut self.pass } else { &mut self.left }) -= 1;
        !passes
    }
}

#[derive(Default)]
struct State {
    calls: BTreeMap<String, usize>,
    rules: Vec<Rule>,
    /// The units that calls took, when they are counted.
    units: Option<Units>,
}

/// DynamoDB's charged units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Units {
    /// Items that were asked for by their keys: of up to 4 KB, each is a read unit, also if it is
    /// missing (DynamoDB, read consumption).
    pub read: usize,
    /// Write units, as DynamoDB reports them.
    pub written: f64,
}

/// The proxy; it lives as long as the process.
#[derive(Clone)]
pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    /// A proxy before what listens on a port of this machine.
    ///
    /// # Panics
    /// When this machine gives no port.
    #[must_use]
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let state: Arc<Mutex<State>> = Arc::default();
        let proxy = Self { port, state: state.clone() };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = state.clone();
                // A connection that breaks is the client's to make anew.
                std::thread::spawn(move || serve(client, server, &state).ok());
            }
        });
        proxy
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets the next `times` calls of an action fail, as in `PutItem`; `*` means all.
    pub fn fail(&self, action: &str, fault: Fault, times: usize) {
        self.fail_after(action, 0, fault, times);
    }

    /// The same once `pass` calls have gone well.
    pub fn fail_after(&self, action: &str, pass: usize, fault: Fault, times: usize) {
        self.state().rules.push(Rule { action: action.to_owned(), fault, pass, left: times });
    }

    /// Counts DynamoDB's units from now on; gives how many there were.
    pub fn units(&self) -> Units {
        self.state().units.replace(Units::default()).unwrap_or_default()
    }

    /// Lets no call fail from now on.
    pub fn heal(&self) {
        self.state().rules.clear();
    }

    /// The calls since this was asked last, by action.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.state().calls)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// `PutItem` of `DynamoDB_20120810.PutItem`; the method for services without targets.
    fn action(&self) -> String {
        let target = self.header("x-amz-target").and_then(|target| target.rsplit('.').next());
        target.or_else(|| self.head.split(' ').next()).unwrap_or_default().to_owned()
    }
}

impl Message {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The same message with another body.
    fn with_body(&self, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        let kept = self.head.lines().filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            // They are about the body that was.
            !["content-length", "x-amz-crc32"].iter().any(|about| name.eq_ignore_ascii_case(about))
        });
        let mut head: String = kept.map(|line| format!("{line}\r\n")).collect();
        head.push_str(&format!("content-length: {}\r\n", body.len()));
        Self { head, body }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.trim_end().as_bytes().to_vec();
        bytes.extend(b"\r\n\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

/// Reads a message with the body that its length announces; `None` at the end of a connection.
fn read(from: &mut impl BufRead) -> std::io::Result<Option<Message>> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut message = Message { head, body: Vec::new() };
    let length = message.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    message.body.resize(length, 0);
    from.read_exact(&mut message.body)?;
    Ok(Some(message))
}

fn serve(mut client: TcpStream, server: u16, state: &Mutex<State>) -> std::io::Result<()> {
    let mut requests = BufReader::new(client.try_clone()?);
    while let Some(request) = read(&mut requests)? {
        let (fault, counted) = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let action = request.action();
            *state.calls.entry(action.clone()).or_default() += 1;
            let rule =
                state.rules.iter_mut().find_map(|rule| rule.meets(&action).then(|| rule.fault.clone()));
            if let Some(units) = &mut state.units {
                units.read += in_part::items_asked_for(&action, &request);
            }
            (rule, state.units.is_some() && WRITES.contains(&&*action))
        };
        let answer = match fault {
            None if counted => in_part::counted(&request, server, |told| {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.units.get_or_insert_default().written += told;
            })?,
            None => forward(server, &request)?,
            Some(Fault::InPart) => in_part::served(&request, server)?,
            Some(Fault::Unanswered) => {
                forward(server, &request)?;
                return Ok(());
            }
            Some(Fault::Hang) => {
                std::thread::sleep(HANG);
                return Ok(());
            }
            Some(Fault::Error(code)) => {
                refusal(&json!({ "__type": format!("com.amazonaws#{code}"), "message": "made by a test" }))
            }
            Some(Fault::HotKey) => refusal(&json!({
                "__type": "com.amazonaws#ThrottlingException",
                "message": "made by a test",
                "throttlingReasons": [{
                    "reason": "IndexWriteKeyRangeThroughputExceeded",
                    "resource": "arn:aws:dynamodb:eu-west-1:000000000000:table/lava.test.runs/index/job",
                }],
            })),
            Some(Fault::Invalid(message)) => {
                refusal(&json!({ "__type": "com.amazonaws#ValidationException", "message": message }))
            }
            Some(Fault::Cancelled(code)) => refusal(&json!({
                "__type": "com.amazonaws#TransactionCanceledException",
                "message": "made by a test",
                "CancellationReasons": [{ "Code": code, "Message": of_code(code) }, { "Code": "None" }],
            })),
        };
        client.write_all(&answer.bytes())?;
    }
    Ok(())
}

/// DynamoDB's message for a part of a transaction.
fn of_code(code: &str) -> &'static str {
    if code == "ValidationError" {
        "Item size has exceeded the maximum allowed size"
    } else {
        "made by a test"
    }
}

fn refusal(body: &Value) -> Message {
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.0\r\n";
    Message { head: head.to_owned(), body: Vec::new() }.with_body(body)
}

/// Hands a request on, and gives the answer as it came.
fn forward(server: u16, request: &Message) -> std::io::Result<Message> {
    let mut upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    upstream.write_all(&request.bytes())?;
    read(&mut BufReader::new(upstream))?.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}
