//! The conformance suite, on AWS's adapters and stand-ins for AWS.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_config::SdkConfig;
use aws_sdk_s3::types::CreateBucketConfiguration;
use pumice_aws::{Clients, Names, Objects, Queues, Schedules, Store};
use pumice_core::ids::{RealmName, WorkerName};
use pumice_core::ports::{Catalog, WakeUps};
use pumice_local::SystemClock;
use pumice_testing::conformance::{Adapters, job_specs, realm};
use pumice_testing::standins::{
    ACCOUNT, Server, config, make_queue, make_realm, make_schedule_group, use_parts,
};

type Case = Pin<Box<dyn Future<Output = ()>>>;

/// Which runs stand in parts of the indexes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    /// Those of which many are made at once.
    OfMany,
    /// All.
    Always,
}

/// A realm of its own for each case, on the same server.
async fn adapters(config: &SdkConfig, account: &str, prefix: &str, parts: Parts) -> Adapters {
    let clients = &Clients::new(config);
    let names = Names::new(prefix, RealmName::new("conformance").expect("a name"));
    make_realm(clients, &names).await;
    for worker in ["core", "other"] {
        make_queue(clients, &names, &WorkerName::new(worker).expect("a name"), 300, 10).await;
    }
    let bucket = format!("{prefix}-objects");
    let region = config.region().expect("a region").as_ref().into();
    let region = CreateBucketConfiguration::builder().location_constraint(region).build();
    let made = clients.s3.create_bucket().bucket(&bucket).create_bucket_configuration(region);
    made.send().await.expect("a bucket is made");
    let clock = Arc::new(SystemClock);
    let objects = Objects::new(clients.s3.clone());
    let mut store = Store::new(clients.dynamodb.clone(), names.clone(), objects.clone()).with_hints();
    if parts == Parts::Always {
        use_parts(clients, &names).await;
        store = store.with_parts_from(1);
    }
    let store = Arc::new(store);
    store.put_realm(realm().as_object().cloned().expect("an object")).await.expect("it is put");
    store.put_jobs(job_specs(), false).await.expect("they are put");
    make_schedule_group(config, prefix).await;
    let variable = |name: &str| match name {
        "PUMICE_SCHEDULE_GROUP" => Some(prefix.to_owned()),
        "PUMICE_SCHEDULE_ROLE_ARN" => Some(format!("arn:aws:iam::{account}:role/schedules")),
        _ => None,
    };
    let schedules = Schedules::from_environment(config, &names, &variable).expect("the variables hold");
    let queues = Arc::new(Queues::new(clients.sqs.clone(), names, clock.clone(), None));
    Adapters {
        jobs: store.clone(),
        runs: store.clone(),
        schedules: store.clone(),
        state: store.clone(),
        triggers: store.clone(),
        audit: store.clone(),
        bulk: store.clone(),
        catalog: Some(store.clone()),
        connections: Some(store.clone()),
        hosts: Some(store),
        queue: queues.clone(),
        consumer: queues.clone(),
        dead_letters: queues,
        wake_ups: schedules.map(|schedules| Arc::new(schedules) as Arc<dyn WakeUps>),
        objects: Arc::new(objects),
        place: format!("s3://{bucket}/tmp"),
        clock,
        keep: Box::new(()),
    }
}

/// Runs every case on a server, and reports all that fail.
fn all(server: &Server, account: &str, parts: Parts) {
    static CASES: AtomicU32 = AtomicU32::new(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let config = runtime.block_on(config(&server.url()));
    let failed = std::cell::RefCell::new(Vec::new());
    let run = |name: &'static str, case: fn(Adapters) -> Case| {
        let number = CASES.fetch_add(1, Ordering::Relaxed);
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                case(adapters(&config, account, &format!("p{number}"), parts).await).await
            });
        }));
        eprintln!("{name}: {}", if passed.is_ok() { "ok" } else { "FAILED" });
        if passed.is_err() {
            failed.borrow_mut().push(name);
        }
    };
    pumice_testing::conformance_cases!(conformance_in_turn, run);
    if parts == Parts::OfMany {
        pumice_testing::wake_up_cases!(conformance_in_turn, run);
        pumice_testing::host_cases!(conformance_in_turn, run);
    }
    let failed = failed.into_inner();
    assert!(failed.is_empty(), "{} cases failed: {}", failed.len(), failed.join(", "));
}

#[test]
fn on_ministack() {
    all(&Server::ministack(), ACCOUNT, Parts::OfMany);
}

#[test]
fn on_ministack_with_every_run_in_a_part() {
    all(&Server::ministack(), ACCOUNT, Parts::Always);
}

#[test]
fn on_moto() {
    all(&Server::moto(), "123456789012", Parts::OfMany);
}
