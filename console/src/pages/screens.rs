//! Which page shows or does what a command does.

/// A command, and the page that does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// The words of the command.
    pub command: &'static str,
    /// The page's path; of an act, where its form is sent.
    pub path: &'static str,
}

const fn screen(command: &'static str, path: &'static str) -> Screen {
    Screen { command, path }
}

/// The commands that have a page.
pub const SCREENS: [Screen; 67] = [
    screen("jobs list", "/jobs"),
    screen("jobs show", "/job"),
    screen("apply", "/job/edit"),
    screen("plan", "/job/edit"),
    screen("jobs delete", "/job/delete"),
    screen("jobs pause", "/jobs/pause"),
    screen("jobs resume", "/jobs/resume"),
    screen("dispatch", "/job/run"),
    screen("render", "/job/run"),
    screen("runs list", "/runs"),
    screen("runs show", "/run"),
    screen("runs output", "/run/output"),
    screen("runs output --from", "/run/output"),
    screen("runs cancel", "/run/cancel"),
    screen("runs why", "/run"),
    screen("runs retry", "/run/retry"),
    screen("runs cancel --where", "/runs/many"),
    screen("runs retry --where", "/runs/many"),
    screen("runs delete", "/runs/many"),
    screen("runs bulk list", "/bulks"),
    screen("runs bulk show", "/bulk"),
    screen("runs bulk stop", "/bulk/stop"),
    screen("runs bulk resume", "/bulk/resume"),
    screen("schedules list", "/schedules"),
    screen("schedules next", "/schedules"),
    screen("schedules pause", "/schedules/pause"),
    screen("schedules resume", "/schedules/resume"),
    screen("schedules run", "/schedules/run"),
    screen("schedules backfill", "/schedules/backfill"),
    screen("schedules backfills list", "/schedules"),
    screen("schedules backfills show", "/backfill"),
    screen("schedules backfills cancel", "/backfill/cancel"),
    screen("schedules backfills resume", "/backfill/resume"),
    screen("state list", "/state"),
    screen("state get", "/state"),
    screen("state put", "/state/put"),
    screen("state delete", "/state/delete"),
    screen("triggers list", "/triggers"),
    screen("triggers show", "/trigger"),
    screen("triggers test", "/triggers"),
    screen("triggers delete", "/trigger/delete"),
    screen("connections list", "/connections"),
    screen("connections show", "/connection"),
    screen("connections test", "/connection/test"),
    screen("connections delete", "/connection/delete"),
    screen("secrets list", "/secrets"),
    screen("secrets set", "/secrets/set"),
    screen("secrets delete", "/secrets/delete"),
    screen("payloads list", "/payloads"),
    screen("audit list", "/audit"),
    screen("audit show", "/audit/entry"),
    screen("workers list", "/workers"),
    screen("workers pause", "/workers/pause"),
    screen("workers resume", "/workers/resume"),
    screen("workers drain", "/workers/drain"),
    screen("maintenance on", "/maintenance/on"),
    screen("maintenance off", "/maintenance/off"),
    screen("pools list", "/workers"),
    screen("dead list", "/dead"),
    screen("dead show", "/dead/letter"),
    screen("dead redrive", "/dead/redrive"),
    screen("dead drop", "/dead/drop"),
    screen("failures", "/failures"),
    screen("stats", "/stats"),
    screen("doctor", "/doctor"),
    screen("metrics", "/metrics"),
    screen("realm show", "/realm"),
];

/// The commands that have no page, with the reason.
pub const WITHOUT_SCREEN: [(&str, &str); 7] = [
    ("check", "specs are files under version control: they are checked there, or by the API"),
    ("runs export", "it gives all records to another program: the API has it"),
    ("export", "it writes files on the machine that it is called on"),
    ("schedules simulate", "it answers what would happen in an outage that is planned: the API has it"),
    ("schedules export", "it makes a template for another service: the API has it"),
    ("payloads put", "it reads files of the machine that it is called on"),
    ("payloads get", "it writes a file of the machine that it is called on"),
];
