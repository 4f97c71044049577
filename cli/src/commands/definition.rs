//! `realm`: the realm's definition.

use pumice_service::specs::{ShowRealm, show_realm};

use crate::args::{Format, Global, OfRealm};
use crate::failure::Failure;
use crate::output::print;
use crate::target::Target;

/// Shows the realm.
pub(super) async fn definition(global: &Global, command: OfRealm) -> Result<(), Failure> {
    let OfRealm::Show = command;
    let shown = Target::open_to_read(global).await?.ask(show_realm, &ShowRealm {}).await?;
    match global.output {
        Format::Yaml => print(Format::Yaml, &shown, Vec::new),
        _ => print(Format::Json, &shown, Vec::new),
    }
}
