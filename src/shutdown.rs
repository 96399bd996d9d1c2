//! Stopping: the first signal drains, the second stops at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What is under way when somebody asks to stop may take as long as this.
const DRAIN: Duration = Duration::from_secs(10);

/// A request to stop, shared by everyone who can.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    draining: CancellationToken,
    now: CancellationToken,
    signal: Arc<AtomicU8>,
    another: Arc<Notify>,
}

/// Which signal asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal is gone.
    Hangup,
}

impl Signal {
    /// 128 + the signal's number, as shells have it.
    pub fn exit_code(self) -> u8 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
            Signal::Hangup => 129,
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

    /// The same request for a part of the work, which can be halted alone.
    #[must_use]
    pub fn part(&self) -> Stop {
        Stop { draining: self.draining.child_token(), ..self.clone() }
    }

    /// Halts a part: nothing more of it is begun, and what fails is not tried again.
    pub fn halt(&self) {
        self.draining.cancel();
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
            biased;
            () = self.immediate() => {}
            () = tokio::time::sleep(DRAIN) => {}
        }
    }

    /// Resolves once everything is to be dropped.
    pub async fn immediate(&self) {
        self.now.cancelled().await;
    }

    /// Resolves at the next signal, whatever was asked before this call.
    pub async fn another_signal(&self) {
        self.another.notified().await;
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
            129 => Some(Signal::Hangup),
            _ => None,
        }
    }

    /// Listens to SIGINT, SIGTERM and SIGHUP from now on; `asked` is called with each of the first two that arrive, and with
    /// whether it is the first. SIGHUP stays ignored where whoever started us wanted that: `nohup` does.
    ///
    /// # Errors
    /// Where the handlers can't be installed.
    pub fn on_signals(&self, asked: impl Fn(Signal, bool) + Send + 'static) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        let stop = self.clone();
        tokio::spawn(async move {
            loop {
                let hung_up = async {
                    match &mut hangup {
                        Some(hangup) => hangup.recv().await,
                        None => std::future::pending().await,
                    }
                };
                let signal = tokio::select! {
                    Some(()) = interrupt.recv() => Signal::Interrupt,
                    Some(()) = terminate.recv() => Signal::Terminate,
                    Some(()) = hung_up => Signal::Hangup,
                    else => return,
                };
                if !stop.is_requested() {
                    asked(signal, true);
                    stop.drain(signal);
                } else if !stop.now.is_cancelled() {
                    asked(signal, false);
                    stop.now();
                }
                stop.another.notify_waiters();
            }
        });
        Ok(())
    }
}

/// Whether this process was started with SIGHUP ignored. The system says so on Linux alone.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // A mask in which the lowest bit is signal 1.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}
