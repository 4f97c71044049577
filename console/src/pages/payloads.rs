//! Payloads: what `exe` and `pkg` jobs run. They are put and fetched where the files are, on the command line.

use axum::response::Response;
use pumice_core::text::escaped;
use pumice_service::payloads::{ListPayloads, list};
use serde_json::{Value, json};

use super::{Head, render};
use crate::answer::Fault;
use crate::ask::Ask;
use crate::view::counted;

/// Most payloads of a page.
const SHOWN: usize = 500;

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock().await?;
    let prefix = ask.query.get("prefix");
    let found = list(ask.realm(), &ListPayloads { prefix: prefix.map(str::to_owned), filter: None }).await;
    // A realm may have no folder for them.
    let (payloads, more, trouble) = match found {
        Ok(found) => (found.payloads, found.more, None),
        Err(error) if error.kind().is_of_request() => (Vec::new(), false, Some(error.message().to_owned())),
        Err(error) => return Err(error.into()),
    };
    let rows = payloads.iter().take(SHOWN).map(|one| {
        json!({ "key": escaped(&one.key), "size": size(one.size), "modified": one.modified.map(|at| clock.moment(at.0)) })
    });
    let rows: Vec<Value> = rows.collect();
    let own = json!({
        "summary": counted(payloads.len(), "payload"),
        "is_cut": more || payloads.len() > SHOWN,
        "rows": rows,
        "prefix": prefix,
        "trouble": trouble,
    });
    let words: Vec<&str> = ["payloads", "list"].into_iter().chain(prefix).collect();
    render(&ask, "payloads.html", Head::new("Payloads", "payloads", &ask.words(&words)), own).await
}

/// A size in few characters.
fn size(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn size_has_one_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_950_000, "1.9 MB"),
            (u64::MAX, "18446744073.7 GB"),
        ] {
            assert_eq!(super::size(bytes), text);
        }
    }
}
