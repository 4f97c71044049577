//! `worker`: one worker of a realm on AWS, as a process.

use pumice_aws::QueueWorker;
use pumice_core::engine::{Engine, Limits};
use pumice_core::hosts::Host;
use pumice_core::ports::JobStore;
use pumice_host::Scratch;

use super::{prepare_for_commands, runners};
use crate::args::{Global, Worker};
use crate::aws::Remote;
use crate::failure::Failure;
use crate::output::warn;
use crate::signals::asked_to_stop;
use crate::supervisor;

/// Runs jobs until Ctrl-C, SIGTERM or SIGHUP, which gives running jobs the time of `--drain` to finish; a second one stops them.
pub(super) async fn worker(global: &Global, options: Worker) -> Result<(), Failure> {
    if !global.is_aws() {
        let message =
            "a worker takes from a queue on AWS: say --aws; a realm's folder is served by `pumice serve`";
        return Err(Failure::wrong(message));
    }
    let remote = Remote::connect(global, true).await?;
    remote.realm().queues().find(&options.name).await?;
    if let Some(warning) = remote.realm().look_for_signing_key().await? {
        warn(global, &[warning]);
    }
    if remote.store().realm().await?.fields.s3_temp.is_none() {
        let why = "the output of commands is not kept: name the realm's bucket with PUMICE_BUCKET, or its s3_temp in its document";
        warn(global, &[why.to_owned()]);
    }
    let scratch = Scratch::take(&std::env::temp_dir(), &format!("pumice-{}", remote.name())).await?;
    let slots = prepare_for_commands(None, options.slots, &options.containment);
    let site = remote.site_in(scratch.path().to_owned()).await?;
    let ports = &site.ports;
    let now = ports.clock.now();
    let host = Host::new(options.name.clone(), &site.hostname, ports.random.uuid(now), now);
    let engine = Engine::new(site, runners()?, options.name.clone(), Limits::default());
    let queues = remote.realm().queues().clone();
    let worker = QueueWorker::new(engine, queues, options.name.clone(), slots, options.drain.drain.get());
    let (id, worker) = (host.id.clone(), worker.on_host(host));
    // A supervisor may send SIGTERM as soon as it reads the next line.
    let (stop, kill) = asked_to_stop()?;
    tracing::info!(realm = %remote.name(), worker = %options.name, host = %id, slots, "working; Ctrl-C stops");
    supervisor::serving();
    let stop = async {
        stop.await;
        supervisor::stopping();
    };
    worker.work(stop, kill).await?;
    scratch.give_up();
    Ok(())
}
