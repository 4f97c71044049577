//! The index on runs that ended, but not well, and how far it can be relied on.
//!
//! A record gets into the index with the write that ends it, so records that were written before the table had the
//! index are not in it. An item of the table says from when on all are; runs that were dispatched before are looked for
//! among each job's runs, as are all runs of a table that has no such index.

use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::Utc;
use pumice_core::ports::StoreError;
use pumice_core::run::Status;

use super::record::{BAD_END, bad_end, item_key};
use crate::attribute::{Item, json, text, whole};
use crate::failure::store_error;
use crate::store::Store;

/// The index.
pub(super) const BAD_INDEX: &str = "bad";
/// The item that says from when on the index has all, and its attribute.
const MARK: (&str, &str) = ("index#bad", "since");
const SINCE: &str = "at";
/// The attribute that says that no record is older than that.
const ALONE: &str = "alone";
/// How long after the index was seen first it is relied on: a deployment makes the index before it renews the functions.
const DEPLOYING: Duration = Duration::from_secs(3_600);
/// How far the index can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reliance {
    /// For runs that were dispatched from this time on, in microseconds since 1970; there are no others when `alone`.
    From { at: i64, alone: bool },
    /// Not at all; for people, why, unless it is a matter of time.
    No(Option<String>),
}

impl Store {
    /// How far the index can be relied on, as the table says.
    pub(super) async fn reliance(&self) -> Result<Reliance, StoreError> {
        let mark = self.item(item_key(MARK.0, MARK.1)).await?.unwrap_or_default();
        match mark.get(SINCE).and_then(|at| json(at.clone()).as_i64()) {
            Some(at) => Ok(Reliance::From { at, alone: mark.contains_key(ALONE) }),
            None => self.probe().await,
        }
    }

    /// Takes note that no record is older than the mark, as a look at the runs of every job has shown. None will be once
    /// that time is past.
    pub(super) async fn is_alone(&self, at: i64) {
        if at > Utc::now().timestamp_micros() {
            return;
        }
        let request = self.client.update_item().table_name(self.names.runs());
        let request = request
            .set_key(Some(item_key(MARK.0, MARK.1)))
            .update_expression("SET #alone = :yes")
            .condition_expression("#at = :at")
            .expression_attribute_names("#alone", ALONE)
            .expression_attribute_names("#at", SINCE)
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .expression_attribute_values(":at", whole(at));
        if let Err(error) = request.send().await {
            // Then the next list looks again.
            tracing::debug!(error = %store_error("marking the index", &error), "the index is not marked");
        }
    }

    /// Asks whether the table has the index; leaves a mark when it has.
    async fn probe(&self) -> Result<Reliance, StoreError> {
        let table = self.names.runs();
        let request = self
            .client
            .query()
            .table_name(&table)
            .index_name(BAD_INDEX)
            .key_condition_expression("#part = :part")
            .expression_attribute_names("#part", BAD_END)
            .expression_attribute_values(":part", text(bad_end(Status::Failed, 0)))
            .limit(1);
        match request.send().await {
            Ok(_) => {}
            Err(error) => {
                let why = match error.as_service_error().and_then(ProvideErrorMetadata::code) {
                    Some("ValidationException" | "ResourceNotFoundException") => "does not have",
                    Some("AccessDeniedException") => "does not let this role read",
                    _ => {
                        return Err(store_error(
                            &format!("reading index {BAD_INDEX} of table {table}"),
                            &error,
                        ));
                    }
                };
                return Ok(Reliance::No(Some(format!(
                    "table {table} {why} index {BAD_INDEX}: the runs of each job were looked at instead, which costs more; \
                     deploy the realm anew"
                ))));
            }
        }
        let mut mark: Item = item_key(MARK.0, MARK.1);
        mark.insert(SINCE.to_owned(), whole((Utc::now() + DEPLOYING).timestamp_micros()));
        let request = self.client.put_item().table_name(&table).set_item(Some(mark));
        if let Err(error) = request.condition_expression("attribute_not_exists(run_id)").send().await {
            // Another has left one, or this one may not: the next list asks again.
            tracing::debug!(error = %store_error("marking the index", &error), "the index is not marked");
        }
        Ok(Reliance::No(None))
    }
}
