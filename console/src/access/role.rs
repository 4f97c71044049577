//! Roles: what a person or a program may do.

use std::fmt;
use std::str::FromStr;

use pumice_core::text::quoted;
use pumice_service::{Access, Operation};

/// The rights of a caller. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks at everything, and changes nothing.
    Viewer,
    /// Starts and cancels runs, pauses and resumes schedules, jobs, workers and the realm, begins backfills.
    Operator,
    /// Changes what the realm is made of, too: specs, state items, triggers, connections, secrets.
    Editor,
}

/// The operation that only looks at the realm, and reaches out of it.
const REACHES_OUT: &str = "connections test";

impl Role {
    const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Editor];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Editor => "editor",
        }
    }

    /// Whether an operation only looks: it may be asked for with a link.
    #[must_use]
    pub fn only_looks(operation: &Operation) -> bool {
        operation.access == Access::Read && operation.command != REACHES_OUT
    }

    /// The least role that an operation asks for.
    #[must_use]
    pub fn needed_for(operation: &Operation) -> Self {
        match (operation.access, operation.command.split(' ').next()) {
            // It changes nothing of the realm, and connects to where the caller says.
            _ if operation.command == REACHES_OUT => Self::Operator,
            (Access::Read, _) => Self::Viewer,
            // Deleted data is gone for good; an act that is resumed may be one that deletes.
            _ if matches!(operation.command, "runs delete" | "runs bulk resume") => Self::Editor,
            (_, Some("dispatch" | "runs" | "schedules" | "workers" | "maintenance")) => Self::Operator,
            _ if matches!(operation.command, "jobs pause" | "jobs resume") => Self::Operator,
            (Access::Write | Access::Start, _) => Self::Editor,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a role: viewer, operator or editor is")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| UnknownRole(quoted(text)))
    }
}

#[cfg(test)]
mod tests {
    use pumice_service::operations;

    use super::*;

    #[test]
    fn operation_that_changes_a_realm_asks_for_more_than_a_viewer() {
        for operation in operations() {
            let needed = Role::needed_for(&operation);
            assert_eq!(needed == Role::Viewer, Role::only_looks(&operation), "{}", operation.command);
        }
        let needed = |command: &str| {
            let found = operations().into_iter().find(|one| one.command == command);
            found.map(|one| Role::needed_for(&one))
        };
        for (command, role) in [
            ("runs cancel", Role::Operator),
            ("schedules pause", Role::Operator),
            ("jobs pause", Role::Operator),
            ("jobs resume", Role::Operator),
            ("jobs delete", Role::Editor),
            ("workers drain", Role::Operator),
            ("maintenance off", Role::Operator),
            ("dispatch", Role::Operator),
            ("runs retry --where", Role::Operator),
            ("runs delete", Role::Editor),
            ("runs bulk stop", Role::Operator),
            ("runs bulk resume", Role::Editor),
            ("connections test", Role::Operator),
            ("apply", Role::Editor),
            ("jobs delete", Role::Editor),
            ("state put", Role::Editor),
            ("secrets set", Role::Editor),
        ] {
            assert_eq!(needed(command), Some(role), "{command}");
        }
    }

    #[test]
    fn role_is_read_as_it_is_written() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert!("Editor".parse::<Role>().unwrap_err().to_string().contains("\"Editor\" is not a role"));
    }
}
