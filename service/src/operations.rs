//! The list of what people do with a realm: one service function for each command.

use std::any::TypeId;

use pumice_core::schema::schema_of;
use pumice_core::secret::is_marked;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::calls::{Borrows, BoxedCall, Takes, borrowing, taking};
use crate::failure::Error;
use crate::if_match::{tag, tag_as};
use crate::realm::Realm;
use crate::{
    audit, connections, dead, dispatch, doctor, drain, metrics, pauses, payloads, pools, render, runs,
    schedules, secrets, specs, state, stats, triggers, workers,
};

/// The operation that shows the realm's definition within other things.
const DEFINITION: &str = "realm show";

/// Whether an operation changes the realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It only looks.
    Read,
    /// It changes something, unless it is a dry run.
    Write,
    /// It changes something, and its response names the runs that it has started.
    Start,
}

impl Access {
    /// Whether an operation changes the realm, unless it is a dry run.
    #[must_use]
    pub const fn changes(self) -> bool {
        match self {
            Self::Read => false,
            Self::Write | Self::Start => true,
        }
    }
}

/// Something that people do with a realm.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The words of its command: `runs list`.
    pub command: &'static str,
    /// The path of its function.
    pub function: &'static str,
    /// Whether it changes the realm.
    pub access: Access,
    id: TypeId,
    request: fn() -> Value,
    response: fn() -> Value,
    call: BoxedCall,
}

impl Operation {
    /// The operation of a function that borrows its request. The function says what it takes and returns.
    fn new<Q, A, F>(command: &'static str, access: Access, call: F) -> Self
    where
        Q: JsonSchema + DeserializeOwned + Send + Sync + 'static,
        A: JsonSchema + Serialize + 'static,
        F: for<'a> Borrows<'a, Q, A>,
    {
        let function = std::any::type_name::<F>();
        let (call, id) = (borrowing(call), TypeId::of::<F>());
        Self { command, function, access, id, request: schema_of::<Q>, response: schema_of::<A>, call }
    }

    /// The operation of a function that takes its request.
    fn taking<Q, A, F>(command: &'static str, access: Access, call: F) -> Self
    where
        Q: JsonSchema + DeserializeOwned + Send + 'static,
        A: JsonSchema + Serialize + 'static,
        F: for<'a> Takes<'a, Q, A>,
    {
        let function = std::any::type_name::<F>();
        let (call, id) = (taking(call), TypeId::of::<F>());
        Self { command, function, access, id, request: schema_of::<Q>, response: schema_of::<A>, call }
    }

    /// The operation of a function, which every function has its own type for; `None` when no command is its.
    #[must_use]
    pub fn of<F: 'static>(_: &F) -> Option<Self> {
        operations().into_iter().find(|one| one.id == TypeId::of::<F>())
    }

    /// The JSON Schema of its request.
    #[must_use]
    pub fn request(&self) -> Value {
        (self.request)()
    }

    /// The JSON Schema of its response, which is what the command prints with `-o json`.
    #[must_use]
    pub fn response(&self) -> Value {
        (self.response)()
    }

    /// Where the API has it: the words of its command, as in `runs/cancel/where`.
    #[must_use]
    pub fn path(&self) -> String {
        self.command.replace("--", "").replace(' ', "/")
    }

    /// Whether the API has it. An operation that reads or writes files of its own machine must not be asked for from
    /// elsewhere.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        !matches!(self.command, "payloads put" | "payloads get")
    }

    /// Whether its response shows one document that people can change.
    #[must_use]
    pub fn shows_document(&self) -> bool {
        self.document(&Value::Null).is_some()
    }

    /// The tag of the document that a response shows, where it shows one that people can change. `is_masked` is the outcome
    /// of [`is_masked`](Self::is_masked) for the request.
    #[must_use]
    pub fn tag(&self, response: &Value, is_masked: bool) -> Option<String> {
        let document = self.document(response)?;
        // A realm may have no definition.
        let made = || if is_masked { tag_as(document, true) } else { tag(document) };
        (self.command != DEFINITION || !document.is_null()).then(made)
    }

    /// Whether the whole response to a request is masked where it is shown: that of a state item whose id the realm marks.
    #[must_use]
    pub fn is_masked(&self, asked: &Map<String, Value>) -> bool {
        self.command == "state get" && asked.get("id").and_then(Value::as_str).is_some_and(is_marked)
    }

    fn document<'a>(&self, response: &'a Value) -> Option<&'a Value> {
        match self.command {
            "jobs show" | "triggers show" | "connections show" | "state get" => Some(response),
            DEFINITION => Some(response.get("definition").unwrap_or(&Value::Null)),
            _ => None,
        }
    }

    /// Calls its function with a request as JSON, and gives the response as JSON.
    ///
    /// # Errors
    /// [`Error`] with every mistake of the request, or as the function itself.
    pub async fn call(&self, realm: &dyn Realm, request: Value) -> Result<Value, Error> {
        self.call.call(realm, request).await
    }
}

/// A command that asks nothing of a realm.
#[derive(Clone, Copy, Debug)]
pub struct LocalCommand {
    /// The words of the command.
    pub command: &'static str,
    /// Why no service function belongs to it.
    pub reason: &'static str,
}

/// The commands that have no service function.
pub const WITHOUT_REALM: [LocalCommand; 11] = [
    LocalCommand {
        command: "run",
        reason: "it is a process that makes a realm of its own, and runs one job in it",
    },
    LocalCommand { command: "serve", reason: "it is the process that runs the jobs of a realm" },
    LocalCommand { command: "console", reason: "it is a process that shows a realm in a browser" },
    LocalCommand { command: "worker", reason: "it is a process that runs the jobs of one worker" },
    LocalCommand { command: "backup", reason: "it copies a realm's folder, below its stores" },
    LocalCommand { command: "restore", reason: "it makes a realm's folder, where there is no realm yet" },
    LocalCommand { command: "dag generate", reason: "it makes a payload of a file, with no realm" },
    LocalCommand { command: "dag table", reason: "it makes a file of a payload, with no realm" },
    LocalCommand { command: "template", reason: "it renders a text, with no realm" },
    LocalCommand { command: "schema", reason: "it prints a schema of this program, with no realm" },
    LocalCommand { command: "completions", reason: "it prints a script for a shell" },
];

/// Everything that people do with a realm.
#[must_use]
#[expect(clippy::too_many_lines, reason = "a table: one line an operation")]
pub fn operations() -> Vec<Operation> {
    use Access::{Read, Start, Write};
    vec![
        Operation::taking("apply", Write, specs::apply),
        Operation::taking("plan", Read, specs::plan),
        Operation::taking("check", Read, specs::check),
        Operation::new("export", Read, specs::export),
        Operation::new(DEFINITION, Read, specs::show_realm),
        Operation::new("jobs list", Read, specs::list),
        Operation::new("jobs show", Read, specs::show),
        Operation::new("jobs delete", Write, specs::delete),
        Operation::new("jobs pause", Write, pauses::pause_jobs),
        Operation::new("jobs resume", Write, pauses::resume_jobs),
        Operation::new("audit list", Read, audit::list),
        Operation::new("audit show", Read, audit::show),
        Operation::new("workers list", Read, workers::list_workers),
        Operation::new("workers pause", Write, pauses::pause_workers),
        Operation::new("workers resume", Write, pauses::resume_workers),
        Operation::new("workers drain", Write, drain::drain_workers),
        Operation::new("pools list", Read, pools::list_pools),
        Operation::new("maintenance on", Write, pauses::begin_maintenance),
        Operation::new("maintenance off", Write, pauses::end_maintenance),
        Operation::new("dead list", Read, dead::list),
        Operation::new("dead show", Read, dead::show),
        Operation::new("dead redrive", Write, dead::redrive),
        Operation::new("dead drop", Write, dead::discard),
        Operation::new("dispatch", Start, dispatch::dispatch),
        Operation::new("runs list", Read, runs::list),
        Operation::new("doctor", Read, doctor::doctor),
        Operation::new("failures", Read, runs::failures),
        Operation::new("metrics", Read, metrics::metrics),
        Operation::new("runs show", Read, runs::show),
        Operation::new("runs why", Read, runs::why),
        Operation::new("runs output", Read, runs::output),
        Operation::new("runs export", Read, runs::export),
        Operation::new("runs output --from", Read, runs::read_output),
        Operation::new("runs cancel", Write, runs::cancel),
        Operation::new("runs cancel --where", Write, runs::cancel_many),
        Operation::new("runs retry", Start, runs::retry),
        Operation::new("runs retry --where", Write, runs::retry_many),
        Operation::new("runs delete", Write, runs::delete_many),
        Operation::new("runs bulk list", Read, runs::list_bulk),
        Operation::new("runs bulk show", Read, runs::show_bulk),
        Operation::new("runs bulk stop", Write, runs::stop_bulk),
        Operation::new("runs bulk resume", Write, runs::resume_bulk),
        Operation::new("schedules list", Read, schedules::list),
        Operation::new("schedules next", Read, schedules::next),
        Operation::new("schedules pause", Write, schedules::pause),
        Operation::new("schedules resume", Write, schedules::resume),
        Operation::new("schedules run", Start, schedules::run),
        Operation::new("schedules backfill", Write, schedules::begin),
        Operation::new("schedules backfills list", Read, schedules::list_all),
        Operation::new("schedules backfills show", Read, schedules::show),
        Operation::new("schedules backfills cancel", Write, schedules::cancel),
        Operation::new("schedules backfills resume", Write, schedules::resume_backfill),
        Operation::new("schedules simulate", Read, schedules::simulate),
        Operation::new("schedules export", Read, schedules::export),
        Operation::new("stats", Read, stats::stats),
        Operation::new("state get", Read, state::get),
        Operation::taking("state put", Write, state::put),
        Operation::taking("state list", Read, state::list),
        Operation::taking("state delete", Write, state::delete),
        Operation::new("triggers list", Read, triggers::list),
        Operation::new("triggers show", Read, triggers::show),
        Operation::new("triggers test", Read, triggers::test),
        Operation::new("triggers delete", Write, triggers::delete),
        Operation::new("connections list", Read, connections::list),
        Operation::new("connections show", Read, connections::show),
        Operation::new("connections test", Read, connections::test),
        Operation::new("connections delete", Write, connections::delete),
        Operation::new("secrets list", Read, secrets::list),
        Operation::taking("secrets set", Write, secrets::set),
        Operation::new("secrets delete", Write, secrets::delete),
        Operation::new("payloads list", Read, payloads::list),
        Operation::new("payloads put", Write, payloads::put),
        Operation::new("payloads get", Read, payloads::get),
        Operation::taking("render", Read, render::render),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn operation_is_found_by_its_function() {
        let found = |operation: Option<Operation>| operation.map(|one| one.command);
        assert_eq!(found(Operation::of(&runs::list)), Some("runs list"));
        assert_eq!(found(Operation::of(&state::put)), Some("state put"));
        assert_eq!(found(Operation::of(&specs::put)), None);
    }

    #[test]
    fn operation_has_one_command_one_function_and_schemas() {
        let all = operations();
        let commands: BTreeSet<&str> = all.iter().map(|one| one.command).collect();
        let functions: BTreeSet<&str> = all.iter().map(|one| one.function).collect();
        assert_eq!((commands.len(), functions.len()), (all.len(), all.len()));
        for one in &all {
            assert!(one.function.starts_with("pumice_service::"), "{}", one.function);
            assert_eq!(all.iter().filter(|other| other.id == one.id).count(), 1, "{}", one.function);
            let request = one.request();
            assert_eq!(request["type"], "object", "{}: {request}", one.command);
            assert_eq!(request["additionalProperties"], false, "{}: {request}", one.command);
            // `true` takes anything, as a state item's value is.
            assert!(one.response().is_object() || one.response() == true, "{}", one.command);
        }
    }
}
