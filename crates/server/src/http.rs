//! Health and metrics over HTTP.
//!
//! `/healthz/live`: the process answers. `/healthz/ready`: it serves queries (503 while it recovers, once it is fenced,
//! and while it stops). `/metrics`: Prometheus text.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::http_limits::LimitedListener;
use crate::metrics::Encoder;

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    Recovering = 0,
    Serving = 1,
    Stopping = 2,
}

/// What the endpoints look at.
#[derive(Default)]
pub(crate) struct Health {
    stage: AtomicU8,
    /// Known once the database is open.
    probe: RwLock<Option<Arc<dyn Probe>>>,
}

/// The running database, as monitoring sees it.
pub(crate) trait Probe: Send + Sync {
    /// Why it can no longer write, if so.
    fn fenced(&self) -> bool;

    fn collect(&self, encoder: &mut Encoder);
}

impl Health {
    pub(crate) fn set(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    pub(crate) fn watch(&self, probe: Arc<dyn Probe>) {
        *self.probe.write() = Some(probe);
    }

    /// The database is going away.
    pub(crate) fn forget(&self) {
        *self.probe.write() = None;
    }

    fn ready(&self) -> Result<(), &'static str> {
        match self.stage.load(Ordering::Acquire) {
            stage if stage == Stage::Recovering as u8 => Err("recovering\n"),
            stage if stage == Stage::Stopping as u8 => Err("stopping\n"),
            _ if self.probe.read().as_ref().is_none_or(|probe| probe.fenced()) => Err("fenced\n"),
            _ => Ok(()),
        }
    }
}

/// Serves until `stop` changes.
pub(crate) async fn serve(listener: LimitedListener, health: Arc<Health>, mut stop: watch::Receiver<bool>) {
    let router = Router::new()
        .route("/healthz/live", get(async || "live\n"))
        .route("/healthz/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health);
    let stopped = async move {
        // An error: whoever would say stop is gone.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the HTTP server ended");
    }
}

async fn ready(State(health): State<Arc<Health>>) -> impl IntoResponse {
    match health.ready() {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let mut encoder = Encoder::default();
    encoder.gauge("ready", "1 while the server serves queries", u64::from(health.ready().is_ok()));
    encoder.gauge("resident_bytes", "Memory of the process in RAM", heliosdb_runtime::resident_bytes());
    if let Some(probe) = health.probe.read().clone() {
        probe.collect(&mut encoder);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], encoder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Database(bool);

    impl Probe for Database {
        fn fenced(&self) -> bool {
            self.0
        }

        fn collect(&self, encoder: &mut Encoder) {
            encoder.gauge("fenced", "", u64::from(self.0));
        }
    }

    #[test]
    fn only_a_database_that_can_write_is_ready() {
        let health = Health::default();
        assert_eq!(health.ready(), Err("recovering\n"));
        health.watch(Arc::new(Database(false)));
        assert_eq!(health.ready(), Err("recovering\n"));
        health.set(Stage::Serving);
        assert_eq!(health.ready(), Ok(()));
        health.watch(Arc::new(Database(true)));
        assert_eq!(health.ready(), Err("fenced\n"));
        health.set(Stage::Stopping);
        assert_eq!(health.ready(), Err("stopping\n"));
    }
}
