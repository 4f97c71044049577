//! Permits and the lines of gates. A gate is a partition of the table of runs: one item has those that have a permit, and each run
//! in line has one of its own, in the order of the tickets. So a gate and the first of its line are one query.

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use chrono::TimeDelta;
use pumice_core::ids::RunKey;
use pumice_core::permits::{Gate, GateView, PermitChange};
use pumice_core::ports::StoreError;
use pumice_core::run::Run;

use super::record::{item_key, ttl};
use crate::attribute::{Item, text, whole};
use crate::failure::store_error;
use crate::store::{Store, text_of};

/// The path of the item that has the holders: before those of the line.
const STATE: &str = "gate";
/// The prefix of the paths of waiting runs.
const LINE: &str = "line#";
/// How long the state of a gate is kept at least after a run has left it.
const HELD: TimeDelta = TimeDelta::days(30);

fn partition(gate: &Gate) -> String {
    format!("gate#{gate}")
}

fn state_key(gate: &Gate) -> Item {
    item_key(&partition(gate), STATE)
}

fn line_key(gate: &Gate, ticket: u64) -> Item {
    // As many digits as any ticket has: paths are sorted as texts.
    item_key(&partition(gate), &format!("{LINE}{ticket:020}"))
}

fn set_of(key: &RunKey) -> AttributeValue {
    AttributeValue::Ss(vec![key.to_string()])
}

fn built<T>(part: Result<T, aws_sdk_dynamodb::error::BuildError>) -> Result<T, StoreError> {
    part.map_err(|error| StoreError::invalid(error.to_string()))
}

/// When DynamoDB may remove the state of a gate that a run was the last to touch. Others may hold permits of it for longer
/// than records of ended runs are kept.
fn state_ttl(run: &Run) -> i64 {
    let held = run.ts_end.map_or(0, |end| (end + HELD).timestamp());
    ttl(run).max(held)
}

impl Store {
    /// The writes that a change of a permit takes, for the transaction with the record. An item is kept as long
    /// as the record.
    pub(super) fn permit_parts(
        &self,
        run: &Run,
        change: &PermitChange,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let state = Update::builder()
            .table_name(self.names.runs())
            .set_key(Some(state_key(change.gate())))
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", whole(state_ttl(run)));
        let state = match change {
            PermitChange::Take { admit, .. } => {
                let is_left = "attribute_not_exists(holders) OR size(holders) < :max";
                // One in line is known to be there by its own item. DynamoDB refuses parentheses that it does not need.
                let (passes, seen) = match (admit.ticket, admit.tickets) {
                    (Some(_), _) => (is_left.to_owned(), None),
                    (None, 0) => (format!("(({is_left}) AND attribute_not_exists(tickets))"), None),
                    (None, seen) => (format!("(({is_left}) AND tickets = :seen)"), Some(whole(seen))),
                };
                let state = state
                    .update_expression("SET #ttl = :ttl ADD holders :me")
                    .condition_expression(format!("contains(holders, :key) OR {passes}"))
                    .expression_attribute_values(":me", set_of(&run.key))
                    .expression_attribute_values(":key", text(run.key.as_str()))
                    .expression_attribute_values(":max", whole(admit.max));
                match seen {
                    Some(seen) => state.expression_attribute_values(":seen", seen),
                    None => state,
                }
            }
            PermitChange::Wait { ticket, .. } => state
                .update_expression("SET #ttl = :ttl, tickets = :ticket")
                .condition_expression("attribute_not_exists(tickets) OR tickets < :ticket")
                .expression_attribute_values(":ticket", whole(*ticket)),
            PermitChange::Leave { .. } => state
                .update_expression("SET #ttl = :ttl DELETE holders :me")
                .expression_attribute_values(":me", set_of(&run.key)),
        };
        let mut parts = vec![TransactWriteItem::builder().update(built(state.build())?).build()];
        match change {
            PermitChange::Take { gate, admit } => {
                if let Some(ticket) = admit.ticket {
                    parts.push(self.line_deleted(gate, ticket, Some(&run.key))?);
                }
            }
            PermitChange::Leave { gate, ticket: Some(ticket) } => {
                parts.push(self.line_deleted(gate, *ticket, None)?);
            }
            PermitChange::Wait { gate, ticket } => {
                let mut item = line_key(gate, *ticket);
                item.insert("holder".to_owned(), text(run.key.as_str()));
                item.insert("ttl".to_owned(), whole(ttl(run)));
                let put = Put::builder().table_name(self.names.runs()).set_item(Some(item)).build();
                parts.push(TransactWriteItem::builder().put(built(put)?).build());
            }
            PermitChange::Leave { ticket: None, .. } => {}
        }
        Ok(parts)
    }

    /// Takes a run out of the line; where it must be there, only then.
    fn line_deleted(
        &self,
        gate: &Gate,
        ticket: u64,
        must_be: Option<&RunKey>,
    ) -> Result<TransactWriteItem, StoreError> {
        let mut delete =
            Delete::builder().table_name(self.names.runs()).set_key(Some(line_key(gate, ticket)));
        if let Some(key) = must_be {
            delete = delete
                .condition_expression("holder = :me")
                .expression_attribute_values(":me", text(key.as_str()));
        }
        Ok(TransactWriteItem::builder().delete(built(delete.build())?).build())
    }

    /// A gate and the first of its line, strongly consistent.
    pub(super) async fn gate_view(&self, gate: &Gate, limit: usize) -> Result<GateView, StoreError> {
        let what = format!("reading {} from table {}", gate.words(), self.names.runs());
        let most = i32::try_from(limit.saturating_add(2)).unwrap_or(i32::MAX);
        let mut view = GateView::default();
        let mut from = None;
        loop {
            let request = self
                .client
                .query()
                .table_name(self.names.runs())
                .consistent_read(true)
                .key_condition_expression("run_id = :gate")
                .expression_attribute_values(":gate", text(partition(gate)))
                .set_exclusive_start_key(from)
                .limit(most);
            let answer = request.send().await.map_err(|error| store_error(&what, &error))?;
            for item in answer.items.unwrap_or_default() {
                take_in(&mut view, &item);
            }
            from = answer.last_evaluated_key.filter(|_| view.line.len() <= limit);
            if from.is_none() {
                view.more = view.line.len() > limit;
                view.line.truncate(limit);
                return Ok(view);
            }
        }
    }

    /// Takes a run out of a gate and its line whose record is gone or done.
    pub(super) async fn take_from_gate(
        &self,
        gate: &Gate,
        key: &RunKey,
        ticket: Option<u64>,
    ) -> Result<(), StoreError> {
        let what = format!("writing {} to table {}", gate.words(), self.names.runs());
        let update = self
            .client
            .update_item()
            .table_name(self.names.runs())
            .set_key(Some(state_key(gate)))
            .update_expression("DELETE holders :me")
            .condition_expression("attribute_exists(run_id)")
            .expression_attribute_values(":me", set_of(key));
        if let Err(error) = update.send().await
            && !error.as_service_error().is_some_and(
                aws_sdk_dynamodb::operation::update_item::UpdateItemError::is_conditional_check_failed_exception,
            )
        {
            return Err(store_error(&what, &error));
        }
        let Some(ticket) = ticket else { return Ok(()) };
        let delete =
            self.client.delete_item().table_name(self.names.runs()).set_key(Some(line_key(gate, ticket)));
        delete.send().await.map(drop).map_err(|error| store_error(&what, &error))
    }
}

/// Takes an item of a gate's partition into what is known of it.
fn take_in(view: &mut GateView, item: &Item) {
    let Some(path) = text_of(item, "path") else { return };
    let parsed = |key: &str| {
        let read = key.parse::<RunKey>();
        read.inspect_err(|error| tracing::error!(key, %error, "a gate has no valid key of a run")).ok()
    };
    if path == STATE {
        if let Some(AttributeValue::N(tickets)) = item.get("tickets") {
            view.tickets = tickets.parse().unwrap_or(0);
        }
        if let Some(AttributeValue::Ss(holders)) = item.get("holders") {
            view.holders = holders.iter().filter_map(|key| parsed(key)).collect();
            view.holders.sort();
        }
    } else if let Some(ticket) = path.strip_prefix(LINE).and_then(|digits| digits.parse().ok())
        && let Some(key) = text_of(item, "holder").and_then(parsed)
    {
        view.line.push((ticket, key));
    }
}
