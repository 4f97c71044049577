//! Runs: a list by what the URL asks for, page by page.

use axum::response::Response;
use pumice_core::duration::Span;
use pumice_core::filter::Filter;
use pumice_core::ports::{Order, PageCursor};
use pumice_core::run::Status;
use pumice_core::spec::Timezone;
use pumice_core::text::escaped;
use pumice_service::runs::{
    CancelOutcome, CancelRuns, Cancelled, ListRuns, RunList, cancel as cancel_runs, list,
};
use serde_json::json;

use super::now::blank;
use super::{Head, render};
use crate::access::Role;
use crate::answer::{Fault, see};
use crate::ask::{Ask, Fields};
use crate::view::{RunRow, Words, counted, link, run_link};

/// Most runs of a page.
const MAX_LIMIT: usize = 200;
/// The fields of the URL that say which runs are listed.
pub(super) const FILTERS: [&str; 8] =
    ["where", "job", "status", "since", "until", "backfill", "order", "children"];
/// The statuses that a run can be in.
const STATUSES: [Status; 9] = [
    Status::Dispatched,
    Status::Running,
    Status::Waiting,
    Status::Retrying,
    Status::Complete,
    Status::Failed,
    Status::Skipped,
    Status::Rejected,
    Status::Cancelled,
];
/// Lists that people ask for often: a name, and what the URL has.
const VIEWS: [(&str, &[(&str, &str)]); 4] = [
    ("All", &[]),
    ("Under way", &[("status", "dispatched,running,waiting,retrying")]),
    ("Failed in 24 h", &[("status", "failed,rejected"), ("since", "1d")]),
    ("Last hour", &[("since", "1h")]),
];

/// The request of the URL.
fn asked(fields: &Fields) -> Result<ListRuns, Fault> {
    let texts = fields.all("status").flat_map(|text| text.split(',')).map(str::trim);
    let statuses =
        texts.filter(|text| !text.is_empty()).map(str::parse::<Status>).collect::<Result<Vec<_>, _>>();
    let span = |name: &str| -> Result<Option<Span>, Fault> {
        let read = |text: &str| Span::parse(text).map_err(|error| Fault::bad(format!("{name}: {error}")));
        fields.get(name).map(read).transpose()
    };
    let order = match fields.get("order") {
        None | Some("newest") => Order::Newest,
        Some("oldest") => Order::Oldest,
        Some(_) => return Err(Fault::bad("order: newest or oldest")),
    };
    let limit = fields.parsed::<usize>("limit")?.unwrap_or(pumice_service::runs::USUAL_LIMIT);
    if limit == 0 || limit > MAX_LIMIT {
        return Err(Fault::bad(format!("limit: 1 to {MAX_LIMIT}")));
    }
    Ok(ListRuns {
        filter: fields.get("where").map(str::to_owned),
        job: fields.get("job").map(str::to_owned),
        statuses: statuses.map_err(|error| Fault::bad(format!("status: {error}")))?,
        since: span("since")?,
        until: span("until")?,
        backfill: fields.get("backfill").map(str::to_owned),
        order,
        cursor: fields.parsed::<PageCursor>("cursor")?,
        limit,
        children: fields.has("children"),
        ..blank()
    })
}

/// The command that lists the same.
fn command(ask: &Ask, request: &ListRuns) -> Words {
    let statuses: Vec<&str> = request.statuses.iter().map(|status| status.as_str()).collect();
    let statuses = (!statuses.is_empty()).then(|| statuses.join(","));
    ask.words(&["runs", "list"])
        .option("--where", request.filter.as_deref())
        .option("--job", request.job.as_deref())
        .option("--status", statuses.as_deref())
        .option("--since", request.since.map(|span| span.to_string()).as_deref())
        .option("--until", request.until.map(|span| span.to_string()).as_deref())
        .option("--backfill", request.backfill.as_deref())
        .option("--cursor", request.cursor.as_ref().map(ToString::to_string).as_deref())
        .switch("--oldest", request.order == Order::Oldest)
        .switch("--children", request.children)
}

/// The filters of the URL, as fields of a link.
fn filters(fields: &Fields) -> Vec<(&str, &str)> {
    FILTERS.iter().flat_map(|name| fields.all(name).map(move |value| (*name, value))).collect()
}

/// The page.
pub(crate) async fn show(ask: Ask) -> Result<Response, Fault> {
    let clock = ask.clock_of_list(&ask.query).await?;
    if let Some(place) = ask.with_offsets(clock.zone, Filter::with_offsets) {
        return Ok(place);
    }
    // A fault of the filter is shown where it can be corrected.
    let (request, found, trouble) = match asked(&ask.query) {
        Ok(request) => {
            // Times in a filter that name no zone are in the page's.
            let request = ListRuns { zone: Some(Timezone(clock.zone)), ..request };
            match list(ask.realm(), &request).await {
                Ok(found) => (request, found, None),
                Err(error) if error.kind().is_of_request() => (request, none(), Some(Fault::of(&error))),
                Err(error) => return Err(error.into()),
            }
        }
        Err(fault) => {
            let text = |name: &str| ask.query.get(name).map(str::to_owned);
            (ListRuns { filter: text("where"), job: text("job"), ..blank() }, none(), Some(fault))
        }
    };
    let length = found.id_length.unwrap_or(8);
    let clocks = ask.clocks(found.runs.iter().map(|run| &run.job_id)).await?;
    let is_mixed = found.runs.iter().any(|run| clocks.of(&run.job_id).zone != clock.zone);
    let rows: Vec<RunRow> =
        found.runs.iter().map(|run| RunRow::of(run, clocks.of(&run.job_id), length)).collect();
    let filters = filters(&ask.query);
    let with_cursor = |cursor: &PageCursor| {
        let cursor = cursor.to_string();
        link("/runs", &[filters.as_slice(), &[("cursor", cursor.as_str())]].concat())
    };
    let summary = if trouble.is_some() { String::new() } else { summary(&found) };
    let is_chosen = |status: Status| request.statuses.contains(&status);
    let views = VIEWS.iter().map(
        |(name, query)| json!({ "name": name, "href": link("/runs", query), "is_here": filters == *query }),
    );
    let here = link("", &filters).trim_start_matches('?').to_owned();
    let own = json!({
        "rows": rows,
        "trouble": trouble.as_ref().map(|fault| &fault.message),
        "summary": summary,
        "next": found.next.as_ref().map(with_cursor),
        "first": request.cursor.is_some().then(|| link("/runs", &filters)),
        "views": views.collect::<Vec<_>>(),
        "saved": ask.views.iter().map(|(name, query)| json!({ "name": escaped(name), "raw": name,
            "href": format!("/runs?{query}"), "is_here": *query == here })).collect::<Vec<_>>(),
        "query": here,
        "many": many(&request).map(|terms| {
            let act = |act: &str| link("/runs/many", &[("act", act), ("where", &terms)]);
            json!({ "cancel": act("cancel"), "retry": act("retry"), "delete": act("delete") })
        }),
        "filter": {
            "where": request.filter,
            "job": request.job, "since": ask.query.get("since"), "until": ask.query.get("until"),
            "backfill": request.backfill, "is_oldest": request.order == Order::Oldest, "children": request.children,
            "statuses": STATUSES.map(|status| json!({ "word": status.as_str(), "is_chosen": is_chosen(status) })),
        },
        "has_open": found.runs.iter().any(|run| !run.status.is_end()),
    });
    let head = Head::new("Runs", "runs", &command(&ask, &request)).live("runs");
    let head = if is_mixed { head } else { head.by(&clock) };
    let mut response = render(&ask, "runs.html", head, own).await?;
    if let Some(fault) = trouble {
        *response.status_mut() = fault.status;
    }
    Ok(response)
}

/// How many runs there are, and what is to be known of that.
fn summary(found: &RunList) -> String {
    let mut summary = vec![match found.all {
        Some(all) if all > found.runs.len() => format!("{} of {}", found.runs.len(), counted(all, "run")),
        _ => counted(found.runs.len(), "run"),
    }];
    if found.is_cut {
        summary.push(format!("only {} records were looked at, and there may be more", found.looked_at));
    }
    summary.extend(found.note.clone());
    summary.join("; ")
}

/// A list without runs.
const fn none() -> RunList {
    RunList {
        runs: Vec::new(),
        next: None,
        looked_at: 0,
        is_cut: false,
        note: None,
        all: None,
        id_length: None,
    }
}

/// The filter of the page as one text, for acts on all runs that it means: the list and the act read the same. `null` of a
/// list of all runs, or of steps.
fn many(request: &ListRuns) -> Option<String> {
    // Steps go with their runs: no act is done to them alone.
    if request.children {
        return None;
    }
    // A filter knows no status that only an entry of a log has.
    if !request.statuses.iter().all(|status| Status::of_runs().any(|one| one == *status)) {
        return None;
    }
    let mut terms: Vec<String> = request.filter.clone().into_iter().collect();
    let quoted = |text: &str| match text.chars().all(|c| c.is_alphanumeric() || "_-./*?".contains(c)) {
        true => text.to_owned(),
        false => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    terms.extend(request.job.as_deref().map(|job| format!("job:{}", quoted(job))));
    let statuses: Vec<&str> = request.statuses.iter().map(|status| status.as_str()).collect();
    terms.extend((!statuses.is_empty()).then(|| format!("status:{}", statuses.join(","))));
    terms.extend(request.since.map(|since| format!("since:{since}")));
    terms.extend(request.until.map(|until| format!("until:{until}")));
    terms.extend(request.backfill.as_deref().map(|id| format!("backfill:{}", quoted(id))));
    (!terms.is_empty()).then(|| terms.join(" "))
}

/// Shows what would become of the runs that are ticked; cancels them when the form of that page is sent.
pub(crate) async fn cancel(ask: Ask) -> Result<Response, Fault> {
    ask.act(Role::Operator)?;
    let runs: Vec<String> = ask.form.all("run").map(str::to_owned).collect();
    let back = back_to(&ask, "/runs");
    if runs.is_empty() {
        ask.tell(false, "no run is ticked");
        return Ok(see(&back));
    }
    let why = ask.form.get("why").map(str::to_owned);
    let is_sure = ask.form.has("sure");
    let cancelled = cancel_runs(ask.realm(), &CancelRuns { runs, why, dry_run: !is_sure }).await?;
    if !is_sure {
        return foreseen(&ask, &cancelled, &back).await;
    }
    let mut summary = Vec::new();
    if !cancelled.runs.is_empty() {
        summary.push(format!("{} cancelled or asked to stop", counted(cancelled.runs.len(), "run")));
    }
    summary.extend(cancelled.refused.iter().map(|one| one.error.clone()));
    ask.tell(cancelled.refused.is_empty(), summary.join("; "));
    Ok(see(&back))
}

/// The page that asks whether they are to be cancelled.
async fn foreseen(ask: &Ask, cancelled: &Cancelled, back: &str) -> Result<Response, Fault> {
    let row = |run: &str, word: String, is_meant: bool| json!({ "run": run, "href": run_link(run), "word": word, "is_meant": is_meant });
    let meant = cancelled.runs.iter().map(|one| row(one.run.as_str(), would(one.outcome).to_owned(), true));
    let refused =
        cancelled.refused.iter().map(|one| row(one.run.as_str(), escaped(&one.error).into_owned(), false));
    let (rows, count) = (meant.chain(refused).collect::<Vec<_>>(), cancelled.runs.len());
    let summary = counted(count, "run");
    let mut words = vec!["runs", "cancel"];
    words.extend(cancelled.runs.iter().map(|one| one.run.as_str()));
    let head = Head::new(format!("Cancel {summary}"), "runs", &ask.words(&words).switch("--dry-run", true));
    let own = json!({ "rows": rows, "count": count, "summary": summary, "back_href": back });
    render(ask, "runs-cancel.html", head.live(""), own).await
}

/// What would become of a run.
const fn would(outcome: CancelOutcome) -> &'static str {
    match outcome {
        CancelOutcome::Cancelled => "it would never start",
        CancelOutcome::Stopping => "it would be asked to stop",
        CancelOutcome::Unserved => "it would stop once `pumice serve` runs, which it does not now",
        CancelOutcome::HandedOver => "it would be cancelled, but lava's worker may run it all the same",
    }
}

/// The page of the console that a form was sent from, else another one. Other sites are never gone to.
pub(super) fn back_to(ask: &Ask, other: &str) -> String {
    let back = ask.form.get("back").unwrap_or(other);
    own_path(back).unwrap_or(other).to_owned()
}

/// A path of this console. A browser takes `//x` and `/\x` for another site.
pub(super) fn own_path(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('/')?;
    let is_own = !rest.starts_with(['/', '\\']) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_own.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_says_which_runs_are_listed() {
        let fields = Fields::read(
            b"job=etl/*&status=failed,rejected&status=cancelled&since=1d&order=oldest&children=1&limit=5",
        )
        .unwrap();
        let asked = asked(&fields).unwrap();
        assert_eq!(asked.job.as_deref(), Some("etl/*"));
        assert_eq!(asked.statuses, [Status::Failed, Status::Rejected, Status::Cancelled]);
        assert_eq!((asked.since, asked.order), (Some(Span::from_days(1)), Order::Oldest));
        assert_eq!((asked.children, asked.limit), (true, 5));
        // The next page keeps every filter.
        let kept = filters(&fields);
        assert_eq!(kept.len(), 6);
    }

    #[test]
    fn filter_that_says_nothing_is_refused() {
        for (query, wrong) in [
            ("status=broken", "status: "),
            ("since=soon", "since: "),
            ("until=-1d", "until: "),
            ("order=random", "order: "),
            ("cursor=x", "cursor: "),
            ("limit=0", "limit: "),
            ("limit=201", "limit: "),
            ("limit=x", "limit: "),
        ] {
            let fault = asked(&Fields::read(query.as_bytes()).unwrap()).unwrap_err();
            assert!(fault.message.starts_with(wrong), "{query}: {}", fault.message);
        }
    }

    #[test]
    fn way_back_leads_to_the_console_alone() {
        for (path, own) in [
            ("/runs?job=a%2Fb", true),
            ("/", true),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("https://evil.example", false),
            ("/a\r\nSet-Cookie: x=y", false),
            ("", false),
        ] {
            assert_eq!(own_path(path).is_some(), own, "{path:?}");
        }
    }
}
