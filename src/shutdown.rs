//! Stopping: the first signal drains, the second stops at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What is under way when somebody asks to stop may take as long as this.
const DRAIN: Duration = Duration::from_secs(10);

/// A request to stop, shared by everyone who can.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    draining: CancellationToken,
    now: CancellationToken,
    signal: Arc<AtomicU8>,
}

/// Which signal asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// 128 + the signal's number, as shells have it.
    pub fn exit_code(self) -> u8 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        }
    }
}

impl Stop {
    /// Asks to claim nothing more, to finish what is in flight and to commit it.
    pub fn drain(&self, signal: Signal) {
        let _ = self.signal.compare_exchange(0, signal.exit_code(), Ordering::Relaxed, Ordering::Relaxed);
        self.draining.cancel();
    }

    /// The same without a signal: nothing gets through any more.
    pub fn give_up(&self) {
        self.draining.cancel();
    }

    /// Asks to drop everything.
    pub fn now(&self) {
        self.draining.cancel();
        self.now.cancel();
    }

    /// Resolves once somebody asked to stop, in either way.
    pub async fn requested(&self) {
        self.draining.cancelled().await;
    }

    /// Resolves once what was under way when somebody asked to stop has had its time: on a node that stands still, it would
    /// take longer.
    pub async fn overdue(&self) {
        self.requested().await;
        tokio::select! {
            () = self.immediate() => {}
            () = tokio::time::sleep(DRAIN) => {}
        }
    }

    /// Resolves once everything is to be dropped.
    pub async fn immediate(&self) {
        self.now.cancelled().await;
    }

    /// Whether somebody asked to stop.
    pub fn is_requested(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// The first signal, if that is what asked.
    pub fn signal(&self) -> Option<Signal> {
        match self.signal.load(Ordering::Relaxed) {
            130 => Some(Signal::Interrupt),
            143 => Some(Signal::Terminate),
            _ => None,
        }
    }

    /// Listens to SIGINT and SIGTERM from now on; `asked` is called with each, and with whether it is the first.
    ///
    /// # Errors
    /// Where the handlers can't be installed.
    pub fn on_signals(&self, asked: impl Fn(Signal, bool) + Send + 'static) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = self.clone();
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    Some(()) = interrupt.recv() => Signal::Interrupt,
                    Some(()) = terminate.recv() => Signal::Terminate,
                    else => return,
                };
                let first = !stop.is_requested();
                asked(signal, first);
                if first {
                    stop.drain(signal);
                } else {
                    stop.now();
                    return;
                }
            }
        });
        Ok(())
    }
}
