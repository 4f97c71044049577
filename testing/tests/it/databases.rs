//! SQL jobs, queries and the scripts of connections of the whole program, on PostgreSQL and MariaDB.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest time that a server may take to start.
const PATIENCE: Duration = Duration::from_secs(120);
/// On how many ports a server is tried.
const PORTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);
const PASSWORD: &str = "canary-of-databases-6";

fn place(variable: &str) -> PathBuf {
    let named = std::env::var_os(variable);
    named.map(PathBuf::from).unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A program of PostgreSQL. Debian has them in a folder for each version.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL of Debian");
    let mut found: Vec<PathBuf> =
        versions.filter_map(Result::ok).map(|version| version.path().join("bin").join(name)).collect();
    found.sort();
    found.pop().expect("a version of PostgreSQL")
}

/// A command as the user of PostgreSQL, which refuses to run as root.
fn as_its_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("it runs").stdout;
    id.trim_ascii() == b"0"
}

fn ran(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out
}

/// The process once its server listens; `None` when it ends instead.
fn listening(command: &mut Command, port: u16, log: &Path) -> Option<Child> {
    let log_file = fs::File::create(log).expect("a log");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let begun = Instant::now();
    loop {
        let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        // What listens may be another program, on whose account this one has ended.
        if child.try_wait().expect("its state").is_some() {
            return None;
        }
        if connected {
            return Some(child);
        }
        let printed = || fs::read_to_string(log).unwrap_or_default();
        assert!(begun.elapsed() < PATIENCE, "{command:?} does not listen: {}", printed());
        std::thread::sleep(PAUSE);
    }
}

/// A server in a folder of its own; both go when this is dropped.
struct Server {
    child: Child,
    port: u16,
    kind: &'static str,
    _folder: tempfile::TempDir,
}

impl Server {
    fn postgres() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).expect("written");
        if is_root() {
            ran(Command::new("chown").args(["-R", "postgres"]).arg(folder.path()));
        }
        let mut command = as_its_user(&program("initdb"));
        command.args(["-U", "ann", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
        ran(command.arg("--pwfile").arg(&password).arg("-D").arg(&data).current_dir(folder.path()));
        let sockets = format!("unix_socket_directories={}", folder.path().display());
        Self::started("postgres", folder, |port| {
            let mut command = as_its_user(&program("postgres"));
            command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
            command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", &sockets]);
            command
        })
    }

    fn mariadb() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, socket) = (folder.path().join("data"), folder.path().join("s"));
        let user = ran(Command::new("id").arg("-un"));
        let user = format!("--user={}", user.trim());
        // A server removes at its start the temporary tables in its folder for them, also those of another server.
        let mut command = Command::new("mariadb-install-db");
        command.args(["--no-defaults", &user, "--auth-root-authentication-method=normal", "--skip-test-db"]);
        ran(command.arg(format!("--datadir={}", data.display())).env("TMPDIR", folder.path()));
        let tmp = folder.path().to_owned();
        let server = Self::started("mariadb", folder, |port| {
            let mut command = Command::new("mariadbd");
            command.args(["--no-defaults", &user, "--bind-address=127.0.0.1", &format!("--port={port}")]);
            command
                .arg(format!("--datadir={}", data.display()))
                .arg(format!("--socket={}", socket.display()));
            command.arg(format!("--pid-file={}", tmp.join("pid").display())).env("TMPDIR", &tmp);
            command
        });
        let grant = format!(
            "create database db; create user ann@'%' identified by '{PASSWORD}'; grant all on db.* to ann@'%'"
        );
        let mut client = Command::new("mariadb");
        ran(client
            .args(["--no-defaults", "-u", "root"])
            .arg(format!("--socket={}", socket.display()))
            .args(["-e", &grant]));
        server
    }

    /// Starts a server on a port that was free a moment ago; on another when it ends at once.
    fn started(kind: &'static str, folder: tempfile::TempDir, on: impl Fn(u16) -> Command) -> Self {
        let log = folder.path().join("log");
        let started = (0..PORTS).find_map(|_| {
            let port = free_port();
            let mut command = on(port);
            command.current_dir(folder.path());
            Some((listening(&mut command, port, &log)?, port))
        });
        let printed = || fs::read_to_string(&log).unwrap_or_default();
        let (child, port) = started.unwrap_or_else(|| panic!("{kind} ends, on {PORTS} ports: {}", printed()));
        Self { child, port, kind, _folder: folder }
    }

    fn connection(&self, change: Value) -> Value {
        let database = if self.kind == "postgres" { "postgres" } else { "db" };
        let mut connection = json!({ "conn_id": "db", "type": self.kind, "enabled": true, "host": "127.0.0.1",
            "port": self.port, "database": database, "user": "ann", "password": "/db/password" });
        connection.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        connection
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // As its own user: PostgreSQL's children end with it.
        let _ = Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status();
        let begun = Instant::now();
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && begun.elapsed() < PATIENCE {
            if self.kind == "mariadb" {
                let _ = self.child.kill();
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn job(id: &str, kind: &str, payload: Value, parameters: Value) -> Value {
    json!({ "job_id": id, "type": kind, "worker": "core", "enabled": true, "payload": payload, "parameters": parameters })
}

/// Runs a job in a realm of its own.
fn run(specs: &Value, job: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("specs.json"), specs.to_string()).expect("written");
    let mut command = Command::new(place("PUMICE_COMMAND"));
    command.args(["run", "--jobs", "specs.json", job, "-o", "json"]).current_dir(folder.path());
    command.env("PUMICE_SECRET_VALUE_DB_PASSWORD", PASSWORD).stdin(Stdio::null());
    let output = command.output().expect("it runs");
    for text in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(text).contains(PASSWORD), "{output:?}");
    }
    output
}

/// The output of a run's commands, without the names of their jobs.
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = lines.lines().filter_map(|line| line.split_once(" | ")).map(|(_, text)| format!("{text}\n"));
    lines.collect()
}

fn sqli(payload: Value, parameters: Value) -> Value {
    let mut all = json!({ "conn_id": "db", "dialect": "unix", "doublequote": true });
    all.as_object_mut().expect("an object").extend(parameters.as_object().expect("an object").clone());
    job("load", "sqli", payload, all)
}

/// The rows that a statement leaves, with their header.
fn rows(server: &Server, statement: &str) -> String {
    let load = sqli(json!(statement), json!({ "header": true }));
    let specs = json!([
        server.connection(json!({})),
        load,
        job("show", "cmd", json!("cat 0.0.out"), json!({})),
        job("both", "chain", json!("load, show"), json!({})),
    ]);
    printed(&run(&specs, "both"))
}

/// Why the job failed.
fn reason(specs: &Value) -> String {
    let output = run(specs, "load");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    told["runs"][0]["reason"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned()
}

#[test]
fn values_of_postgres_are_shown_as_lava_has_them() {
    let server = Server::postgres();
    let statement = "select true as t, 1::int8 as i, 1.50::numeric as n, 1::float8 as f, 1e-5::float8 as s, null as z,
        timestamp '2027-01-31 08:00:00.5' as at, timestamptz '2027-01-31 08:00:00+02' as tz, date '2027-01-31' as d,
        'a|b' as p, E'x\"y' as q, '\\x01ff'::bytea as b, '{\"a\": 1}'::json as j, array[1,2] as l";
    let wanted = "t|i|n|f|s|z|at|tz|d|p|q|b|j|l\n\
        True|1|1.50|1.0|1e-05||2027-01-31 08:00:00.500000|2027-01-31 06:00:00+00:00|2027-01-31|\"a|b\"|\"x\"\"y\"|\\x01ff|\"{\"\"a\"\": 1}\"|{1,2}\n";
    assert_eq!(rows(&server, statement), wanted);
    assert_eq!(rows(&server, "select 1 as a, 2 as \"b c\" where false"), "a|b c\n");
    assert_eq!(rows(&server, "show application_name"), "application_name\nlv-local-load\n");
}

#[test]
fn values_of_mariadb_are_shown_as_lava_has_them() {
    let server = Server::mariadb();
    let statement = "select true as t, cast(1 as signed) as i, cast(1.5 as decimal(5,2)) as n, cast(1 as double) as f, null as z,
        timestamp('2027-01-31 08:00:00') as at, cast('2027-01-31 08:00:00.5' as datetime(3)) as ms, date('2027-01-31') as d,
        'a|b' as p, 'x\\'y' as q, x'01ff' as b";
    let wanted = "t|i|n|f|z|at|ms|d|p|q|b\n\
        1|1|1.50|1.0||2027-01-31 08:00:00|2027-01-31 08:00:00.500000|2027-01-31|\"a|b\"|x'y|\\x01ff\n";
    assert_eq!(rows(&server, statement), wanted);
    assert_eq!(rows(&server, "select 1 as a from dual where false"), "a\n");
}

/// Checks that all servers must pass.
fn serves_jobs(server: &Server) {
    let connection = server.connection(json!({}));
    // Committed as a whole, or not at all.
    let make =
        "create table t (a int primary key, b varchar(20)); insert into t values (1, 'one'), (2, 'two;');";
    let made = run(&json!([connection, sqli(json!(make), json!({ "transaction": true }))]), "load");
    assert!(made.status.success(), "{made:?}");
    let broken = json!("insert into t values (3, 'x');\n\ninsert into\n  nowhere values (1)");
    let why = reason(&json!([connection, sqli(broken.clone(), json!({ "transaction": true }))]));
    assert!(why.starts_with("payload, statement 2 (line ") && why.contains("nowhere"), "{why}");
    assert_eq!(rows(server, "select count(*) as n from t"), "n\n2\n");
    reason(&json!([connection, sqli(broken, json!({}))]));
    assert_eq!(rows(server, "select count(*) as n from t"), "n\n3\n");
    // The line of a mistake is the text's.
    let why = reason(&json!([connection, sqli(json!("select 1;\nselect 1,\n 2,\n from from t"), json!({}))]));
    assert!(why.starts_with("payload, statement 2 (line 4): "), "{why}");
    // Rows are items.
    let query = json!({ "foreach": { "type": "query", "conn_id": "db", "query": "select a, b from t where a < 3 order by a" } });
    let specs = json!([
        connection,
        job("each", "foreach", json!("one"), query),
        job("one", "cmd", json!("echo {{globals.a+1}} {{globals.b}}"), json!({})),
    ]);
    assert_eq!(printed(&run(&specs, "each")), "2 one\n3 two;\n");
    // Items are read: a query writes nothing, not even one that begins as a select does.
    let writes = if server.kind == "postgres" {
        "with q as (delete from t where a = 1 returning a) select a from q"
    } else {
        let function = "create function w() returns int modifies sql data begin delete from t where a = 1; return 1; end";
        let made = run(&json!([connection, sqli(json!(function), json!({}))]), "load");
        assert!(made.status.success(), "{made:?}");
        "select w() as a"
    };
    for (query, wanted) in [(writes, "read only"), ("delete from t where a = 1", "must be a single select")] {
        let query = json!({ "foreach": { "type": "query", "conn_id": "db", "query": query } });
        let one = job("one", "cmd", json!("echo {{globals.a}}"), json!({}));
        let why = reason(&json!([connection, job("load", "foreach", json!("one"), query), one]));
        assert!(why.to_lowercase().replace('-', " ").contains(wanted), "{why}");
    }
    assert_eq!(rows(server, "select count(*) as n from t"), "n\n3\n");
    // Every byte of a text comes through.
    assert_eq!(rows(server, "select 'ü€😀' as u"), "u\nü€😀\n");
    // Logins that fail say why.
    for (change, wanted) in [
        (json!({ "user": "eve" }), "cannot log in to 127.0.0.1:"),
        (json!({ "database": "none" }), "none"),
        (json!({ "port": 1 }), "cannot log in to 127.0.0.1:1: "),
        (json!({ "host": "none.invalid" }), "cannot log in to none.invalid:"),
        (json!({ "ssl": true, "ca_cert": "/none/ca.pem" }), "cannot log in to 127.0.0.1:"),
    ] {
        let why = reason(&json!([server.connection(change.clone()), sqli(json!("select 1"), json!({}))]));
        assert!(why.starts_with("connection db: ") && why.contains(wanted), "{change}: {why}");
    }
    // A statement that takes too long ends with its time.
    let slow = if server.kind == "postgres" { "select pg_sleep(100)" } else { "select sleep(100)" };
    let why = reason(&json!([connection, sqli(json!(slow), json!({ "timeout": "1s" }))]));
    assert!(why.starts_with("timed out after 1s"), "{why}");
}

#[test]
fn sql_jobs_and_queries_work_on_postgres() {
    serves_jobs(&Server::postgres());
}

#[test]
fn sql_jobs_and_queries_work_on_mariadb() {
    serves_jobs(&Server::mariadb());
}

/// The numbers in a table after a job that is one transaction and whose last statement fails.
fn left(server: &Server, text: &str) -> String {
    let make = "drop table if exists k; create table k (a int); insert into k values (0)";
    let made = run(&json!([server.connection(json!({})), sqli(json!(make), json!({}))]), "load");
    assert!(made.status.success(), "{made:?}");
    let load = sqli(json!(format!("{text}; select nope")), json!({ "transaction": true }));
    let why = reason(&json!([server.connection(json!({})), load]));
    assert!(why.contains("nope"), "{text}: {why}");
    let shown = rows(server, "select a from k order by a");
    shown.lines().skip(1).collect::<Vec<_>>().join(" ")
}

#[test]
fn transaction_ended_by_its_text_begins_anew() {
    let (one, two) = ("insert into k values (1)", "insert into k values (2)");
    let both = [
        (format!("{one}; {two}"), "0"),
        (format!("{one}; commit; {two}"), "0 1"),
        (format!("{one}; rollback; {two}"), "0"),
        (format!("{one}; commit; begin; {two}"), "0 1"),
        (format!("{one}; commit; begin; {two}; commit; insert into k values (3)"), "0 1 2"),
    ];
    // A statement that commits by itself commits what stands before it, and nothing that follows.
    let of_mariadb = [
        (format!("truncate table k; {one}; {two}"), ""),
        (format!("{one}; create or replace table k2 (a int); {two}"), "0 1"),
        (format!("{one}; alter table k add column b int default 0; insert into k (a) values (2)"), "0 1"),
        (format!("{one}; lock tables k write; {two}; unlock tables; insert into k values (3)"), "0 1 2"),
        (format!("{one}; set autocommit = 1; insert into k values (2)"), "0 1"),
        (format!("{one}; start transaction; {two}"), "0 1"),
    ];
    let of_postgres = [
        (format!("truncate table k; {one}; {two}"), "0"),
        (format!("{one}; create table k2 (a int); {two}"), "0"),
        (format!("{one}; -- the first\ncommit; {two}"), "0 1"),
        (format!("{one}; commit and chain; {two}"), "0 1"),
    ];
    for (server, own) in [(Server::postgres(), &of_postgres[..]), (Server::mariadb(), &of_mariadb[..])] {
        for (text, kept) in both.iter().chain(own) {
            assert_eq!(left(&server, text), *kept, "{} {text}", server.kind);
        }
    }
}

#[test]
fn statement_is_committed_whatever_the_server_has_as_default() {
    let server = Server::mariadb();
    let socket = server._folder.path().join("s");
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "-u", "root"]).arg(format!("--socket={}", socket.display()));
    ran(client.args(["-e", "set global autocommit = 0"]));
    let make = "create table c (a int); insert into c values (1)";
    let made = run(&json!([server.connection(json!({})), sqli(json!(make), json!({}))]), "load");
    assert!(made.status.success(), "{made:?}");
    assert_eq!(rows(&server, "select a from c"), "a\n1\n");
}

/// A realm in a folder with the connection, for people.
fn tested(server: &Server, change: Value) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let command = || {
        let mut command = Command::new(place("PUMICE_COMMAND"));
        command.current_dir(folder.path()).env("PUMICE_SECRET_VALUE_DB_PASSWORD", PASSWORD);
        command
    };
    let mut file = fs::File::create(folder.path().join("db.json")).expect("a file");
    file.write_all(server.connection(change).to_string().as_bytes()).expect("written");
    ran(command().args(["apply", "db.json"]));
    let output = command().args(["connections", "test", "db", "-o", "json"]).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!told.contains(PASSWORD), "{told}");
    (output.status.code(), serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {output:?}")))
}

#[test]
fn scripts_and_tests_of_connections_work_on_both() {
    for (server, ask) in [
        (Server::postgres(), "\"$LAVA_CONN_DB\" -At -c 'select 40 + 2'"),
        (Server::mariadb(), "\"$LAVA_CONN_DB\" -N -e 'select 40 + 2'"),
    ] {
        let script =
            job("load", "cmd", json!("sh -c"), json!({ "args": [ask], "connections": { "db": "db" } }));
        let output = run(&json!([server.connection(json!({})), script]), "load");
        assert_eq!(printed(&output), "42\n", "{output:?}");
        let (status, told) = tested(&server, json!({}));
        assert_eq!((status, &told["works"]), (Some(0), &json!(true)), "{told}");
        for change in [json!({ "user": "eve" }), json!({ "port": 1 })] {
            let (status, told) = tested(&server, change.clone());
            assert_eq!((status, &told["works"]), (Some(1), &json!(false)), "{change}: {told}");
            assert!(!told["failure"].as_str().expect("a reason").is_empty(), "{told}");
        }
    }
}

/// The functions that would be deployed have the drivers.
#[cfg(feature = "standins")]
#[tokio::test]
async fn sql_jobs_and_queries_work_in_the_worker_function() {
    let cloud = pumice_testing::standins::Cloud::start(&[]).await;
    cloud.deploy_worker("core", 60, 1);
    let secret =
        json!({ "Name": "/db/password", "Value": PASSWORD, "Type": "SecureString", "Overwrite": true });
    cloud.call_json("ssm", "AmazonSSM.PutParameter", &secret);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("specs.json");
    let text = "create table f (a int, b varchar(20)); insert into f values (1, 'one'), (2, 'two;'); select a, b from f order by a";
    let query =
        json!({ "foreach": { "type": "query", "conn_id": "db", "query": "select a, b from f order by a" } });
    for server in [Server::postgres(), Server::mariadb()] {
        let load = sqli(json!(text), json!({ "header": true, "transaction": true }));
        let specs = json!([
            server.connection(json!({})),
            load,
            job("show", "cmd", json!("cat 0.2.out"), json!({})),
            job("one", "cmd", json!("echo {{globals.a+1}} {{globals.b}}"), json!({})),
            job("each", "foreach", json!("one"), query.clone()),
            job("all", "chain", json!("load, show, each"), json!({})),
        ]);
        fs::write(&file, specs.to_string()).expect("written");
        cloud.pumice(&["apply", file.to_str().expect("a path")]);
        let ended =
            cloud.pumice_command(&["dispatch", "all", "--wait", "-o", "json"]).output().expect("it runs");
        let ended = String::from_utf8_lossy(&ended.stdout);
        let ended: Value =
            serde_json::from_str(&ended).unwrap_or_else(|_| panic!("{ended}\n{}", cloud.logs()));
        let run = &ended["runs"][0];
        assert_eq!(run["status"], "complete", "{run}");
        let printed = cloud.pumice(&["runs", "output", run["run_id"].as_str().expect("an id")]);
        let rows = "a|b\n1|one\n2|two;\n";
        assert!(printed.contains(rows) && printed.ends_with("2 one\n3 two;\n"), "{printed}");
        assert!(!printed.contains(PASSWORD) && !cloud.logs().contains(PASSWORD));
    }
}
