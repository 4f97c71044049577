//! The options of every command: which realm, and how results are printed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pumice_core::duration::Span;
use pumice_core::ids::RealmName;

use crate::failure::{Failure, of_option};
use crate::remote::{ConsoleUrl, GivenToken};

/// The folder of a realm that no option names.
const FOLDER: &str = ".pumice";

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The realm's folder
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        value_name = "DIR",
        default_value = FOLDER,
        env = "PUMICE_HOME"
    )]
    pub(crate) home: PathBuf,
    /// The realm is on AWS, as --home aws says too; its name is that of --realm or LAVA_REALM
    #[arg(long, global = true, help_heading = "Options of every command", conflicts_with = "home")]
    pub(crate) aws: bool,
    /// The realm's name; a new folder is given it, an existing one must have it
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "NAME")]
    pub(crate) realm: Option<RealmName>,
    /// Ask the console at this URL, in place of a realm from here
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "URL")]
    pub(crate) url: Option<ConsoleUrl>,
    /// The token for --url. Others on this machine see it while the command runs: prefer PUMICE_TOKEN or --token-file
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        value_name = "TOKEN",
        hide_short_help = true
    )]
    pub(crate) token: Option<GivenToken>,
    /// A file with the token for --url and nothing else; default: PUMICE_TOKEN has it
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// How long the console of --url may take to answer
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        value_name = "DURATION",
        default_value = "75s",
        hide_short_help = true
    )]
    pub(crate) url_timeout: Span,
    /// How results are printed
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Options of every command",
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub(crate) output: Format,
    /// Print results only: no progress, no log
    #[arg(short, long, global = true, help_heading = "Options of every command")]
    pub(crate) quiet: bool,
}

impl Global {
    /// Refuses options that contradict each other. They may stand before and behind a command's words, which the parser
    /// looks at one by one.
    ///
    /// # Errors
    /// [`Failure`] with the options.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let has_folder = self.home.as_os_str() != FOLDER;
        let Some(_) = &self.url else {
            let given = [("--token", self.token.is_some()), ("--token-file", self.token_file.is_some())];
            return match given.iter().find(|(_, is_given)| *is_given) {
                Some((option, _)) => Err(of_option(option, "it is for a console: name that with --url")),
                None => Ok(()),
            };
        };
        let others = [
            ("--aws", self.aws),
            ("--home, or PUMICE_HOME", has_folder),
            ("--token and --token-file", self.token.is_some() && self.token_file.is_some()),
        ];
        match others.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(of_option("--url", format!("it cannot be used with {option}"))),
            None => Ok(()),
        }
    }

    /// Whether the realm is on AWS.
    pub(crate) fn is_aws(&self) -> bool {
        self.aws || self.home.as_os_str() == "aws"
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables of at most 80 columns
    Table,
    /// Tables with nothing cut
    Wide,
    /// JSON, for programs
    Json,
    /// YAML
    Yaml,
}

impl Format {
    /// Whether it is for people.
    pub(crate) const fn is_table(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}
