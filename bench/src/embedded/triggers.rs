//! How long after a file came its trigger's run starts.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use pumice_core::ports::{Catalog, RunQuery, RunStore, StoreError, TriggerStore};
use pumice_core::run::Trigger;
use pumice_core::trigger::TriggerSpec;
use pumice_local::Durability;
use pumice_template::Renderer;
use serde_json::json;

use super::realm::{Realm, block_on};

/// How many files come, and how many in a second.
const FILES: usize = 1_000;
const A_SECOND: usize = 100;
/// The figures: from before the file is made to the start of its run, in ms.
pub(super) const NAMES: [&str; 3] = ["trigger_p50_ms", "trigger_p99_ms", "trigger_last_ms"];

fn text_of(error: StoreError) -> String {
    error.to_string()
}

/// Files that come one by one, a hundred a second, while nothing else is done.
pub(super) fn measure(durability: Durability) -> Result<Vec<f64>, String> {
    block_on(async {
        let realm = Realm::new(durability).await?;
        let folder = realm.folder().join("in");
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let document = json!({ "realm": "local", "buckets": { "in": "in" } });
        realm
            .database()
            .put_realm(document.as_object().cloned().unwrap_or_default())
            .await
            .map_err(text_of)?;
        let trigger = json!({ "trigger_id": "t", "bucket": "in", "prefix": "*", "job_id": "noop", "enabled": true,
            "globals": { "file": "{{ info.location }}" } });
        let trigger =
            TriggerSpec::parse(&trigger, &Renderer::default()).map_err(|error| error.to_string())?;
        realm.database().put_triggers(vec![trigger], false).await.map_err(text_of)?;
        let mut running = realm.start().await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut came: HashMap<String, DateTime<Utc>> = HashMap::with_capacity(FILES);
        let began = Instant::now();
        for number in 0..FILES {
            let due = Duration::from_secs(1) * u32::try_from(number).unwrap_or(u32::MAX)
                / u32::try_from(A_SECOND).unwrap_or(1);
            tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
            let name = format!("file-{number}");
            came.insert(name.clone(), Utc::now());
            std::fs::write(folder.join(name), "x").map_err(|error| error.to_string())?;
        }
        let query = RunQuery { limit: FILES, ..RunQuery::default() };
        let ended = Instant::now();
        while RunStore::list(realm.database(), &query).await.map_err(text_of)?.len() < FILES {
            if ended.elapsed() > Duration::from_secs(60) {
                return Err("not all were started".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        running.drained(&realm).await?;
        let runs = RunStore::list(realm.database(), &query).await.map_err(text_of)?;
        running.stop().await?;
        let late = |run: &pumice_core::run::Run| {
            let Trigger::Object { key, .. } = run.trigger() else { return None };
            let late = run.ts_start? - *came.get(&key)?;
            Some(late.num_microseconds().unwrap_or(i64::MAX) as f64 / 1_000.0)
        };
        let mut late: Vec<f64> = runs.iter().filter_map(late).collect();
        late.sort_by(f64::total_cmp);
        if late.len() < FILES {
            return Err(format!("{} of {FILES} were started", late.len()));
        }
        Ok(vec![late[FILES / 2], late[FILES * 99 / 100], late[FILES - 1]])
    })?
}
