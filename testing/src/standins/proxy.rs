//! An HTTP proxy before a stand-in, which counts calls and lets them fail.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a call that hangs is held: longer than any client waits.
const HANG: Duration = Duration::from_secs(120);

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with an error of this code, as AWS's JSON protocols have it.
    Error(&'static str),
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
    /// How many calls it still meets.
    left: usize,
}

#[derive(Default)]
struct State {
    calls: BTreeMap<String, usize>,
    rules: Vec<Rule>,
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

    /// Lets the next `times` calls of an action fail, as in `PutItem`; `*` stands for all.
    pub fn fail(&self, action: &str, fault: Fault, times: usize) {
        self.state().rules.push(Rule { action: action.to_owned(), fault, left: times });
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
        let fault = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let action = request.action();
            *state.calls.entry(action.clone()).or_default() += 1;
            let rule = state
                .rules
                .iter_mut()
                .find(|rule| rule.left > 0 && (rule.action == "*" || rule.action == action));
            rule.map(|rule| {
                rule.left -= 1;
                rule.fault.clone()
            })
        };
        match fault {
            None => client.write_all(&forward(server, &request)?)?,
            Some(Fault::Unanswered) => {
                forward(server, &request)?;
                return Ok(());
            }
            Some(Fault::Hang) => {
                std::thread::sleep(HANG);
                return Ok(());
            }
            Some(Fault::Error(code)) => {
                let body = format!("{{\"__type\":\"com.amazonaws#{code}\",\"message\":\"made by a test\"}}");
                let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.0";
                write!(client, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
            }
        }
    }
    Ok(())
}

/// Hands a request on, and gives the answer as it came.
fn forward(server: u16, request: &Message) -> std::io::Result<Vec<u8>> {
    let mut upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    upstream.write_all(request.head.trim_end().as_bytes())?;
    upstream.write_all(b"\r\n\r\n")?;
    upstream.write_all(&request.body)?;
    let mut answers = BufReader::new(upstream);
    let Some(answer) = read(&mut answers)? else { return Err(std::io::ErrorKind::UnexpectedEof.into()) };
    let mut bytes = answer.head.trim_end().as_bytes().to_vec();
    bytes.extend(b"\r\n\r\n");
    bytes.extend(&answer.body);
    Ok(bytes)
}
