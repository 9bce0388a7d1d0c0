//! When a query's checkpoint is collected: now and then, beside the batches, one look at a time.

use std::time::Duration;

use pyrite_common::error::chain;
use pyrite_common::lifecycle;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Internal;
use super::outcome::caught;
use crate::checkpoint::Collector;

/// A look is worth its while after so many batches, and not sooner than some time after the last: small batches follow
/// one another in milliseconds, and a look lists the whole checkpoint.
const BATCHES: u64 = 20;
const REST: Duration = Duration::from_secs(10);

/// The collector, while it does not look.
pub(super) struct Tidy {
    collector: Option<Collector>,
    batches: u64,
    rested: Instant,
}

impl Tidy {
    pub(super) fn new(collector: Collector) -> Tidy {
        // The first batch is followed by a look: a program that runs few at a time would never have one.
        Tidy { collector: Some(collector), batches: BATCHES, rested: Instant::now() }
    }

    /// A batch was committed under `term`. Begins a look when one is due; it comes back as [`Internal::Tidied`].
    pub(super) fn committed(&mut self, term: u64, results: &mpsc::Sender<Internal>) {
        self.batches += 1;
        if self.batches < BATCHES || Instant::now() < self.rested {
            return;
        }
        let Some(mut collector) = self.collector.take() else { return };
        self.batches = 0;
        let results = results.clone();
        lifecycle::spawn("collect", async move {
            // The look's own defect must not cost the query more than the collection.
            match caught("the checkpoint's collector", collector.run(term)).await {
                Ok(Ok(0)) => {}
                Ok(Ok(objects)) => tracing::debug!(objects, "old checkpoint files deleted"),
                Ok(Err(error)) => tracing::warn!("old checkpoint files stay for now: {}", chain(&error)),
                Err(panic) => tracing::error!("old checkpoint files stay for now: {panic}"),
            }
            let _ = results.send(Internal::Tidied(Box::new(collector))).await;
        });
    }

    pub(super) fn done(&mut self, collector: Collector) {
        self.collector = Some(collector);
        self.rested = Instant::now() + REST;
    }
}
