//! The conformance suite, on every adapter there is.

use std::future::Future;
use std::pin::Pin;

/// A case, ready to be run.
type Case = Pin<Box<dyn Future<Output = ()>>>;

mod memory {
    use std::sync::Arc;

    use pumice_testing::conformance::{Adapters, job_specs, realm_spec};
    use pumice_testing::memory::{ManualClock, Memory};

    fn adapters() -> Adapters {
        let clock = Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH));
        let memory = Memory::new(realm_spec(), clock.clone());
        job_specs().into_iter().for_each(|job| memory.put_job(job));
        let memory = Arc::new(memory);
        Adapters {
            jobs: memory.clone(),
            runs: memory.clone(),
            schedules: memory.clone(),
            state: memory.clone(),
            triggers: memory.clone(),
            audit: memory.clone(),
            bulk: memory.clone(),
            catalog: None,
            connections: None,
            queue: memory.clone(),
            consumer: memory.clone(),
            dead_letters: memory.clone(),
            wake_ups: Some(memory.clone()),
            hosts: Some(memory.clone()),
            objects: memory,
            place: "objects".to_owned(),
            clock,
            keep: Box::new(()),
        }
    }

    fn run(case: impl FnOnce(Adapters) -> super::Case) {
        super::runtime().block_on(case(adapters()));
    }

    pumice_testing::conformance_tests!(run);
    pumice_testing::wake_up_cases!(conformance_tests_of, run);
    pumice_testing::host_cases!(conformance_tests_of, run);
}

mod sqlite {
    use std::sync::Arc;

    use pumice_core::ports::Catalog;
    use pumice_local::{Database, Durability, Folders, SystemClock};
    use pumice_testing::conformance::{Adapters, job_specs, realm};

    async fn adapters() -> Adapters {
        let folder = tempfile::tempdir().expect("the adapters open");
        let database = Database::open(&folder.path().join("realm.db"), folder.path(), Durability::Normal)
            .expect("the adapters open");
        database
            .put_realm(realm().as_object().cloned().expect("the adapters open"))
            .await
            .expect("the adapters open");
        database.put_jobs(job_specs(), false).await.expect("the adapters open");
        let database = Arc::new(database);
        Adapters {
            jobs: database.clone(),
            runs: database.clone(),
            schedules: database.clone(),
            state: database.clone(),
            triggers: database.clone(),
            audit: database.clone(),
            bulk: database.clone(),
            catalog: Some(database.clone()),
            connections: Some(database.clone()),
            queue: database.clone(),
            consumer: database.clone(),
            dead_letters: database,
            wake_ups: None,
            hosts: None,
            objects: Arc::new(Folders::new(folder.path())),
            place: folder.path().join("temp").display().to_string(),
            clock: Arc::new(SystemClock),
            keep: Box::new(folder),
        }
    }

    fn run(case: impl FnOnce(Adapters) -> super::Case) {
        super::runtime().block_on(async { case(adapters().await).await });
    }

    pumice_testing::conformance_tests!(run);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the adapters open")
}
