//! The memory budget between memory and memory: who waits for whom.

use super::fakes::{MemorySource, MemoryTarget};
use super::tests::{Scene, assert_accounts_close, copy, lane, open, pace, runtime};
use crate::call::Class;
use crate::event::Events;
use crate::job::RunOutcome;
use crate::settings::Pace;
use crate::shutdown::Stop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A budget in which no page and no request has room beside another, and everybody wants some. Whoever waited in a circle would
/// wait for ever; nothing moves the paused clock but the end of all waiting.
#[test]
fn nobody_waits_in_a_circle_for_memory() {
    for (memory, readers, writers) in [(1, 20, 4), (1, 3, 1), (600, 20, 20), (5000, 20, 4)] {
        let scene = Scene::new(600, 30);
        let source = MemorySource { fail_every: Some((7, Class::Timeout)), empty_every: 5, ..scene.source() };
        let target = MemoryTarget { reorder: true, delay: Duration::from_millis(5), ..scene.target() };
        target.failures.lock().expect("not poisoned").extend([Class::Timeout, Class::Overloaded].repeat(5));
        let events = Events::none();
        let counters = Arc::clone(events.counters());
        let pace = Pace { readers, writers, memory, ..pace() };
        let copied = copy(open(&scene.path()), lane(source, target), pace, events, Stop::default());
        let ended = runtime().block_on(async { tokio::time::timeout(Duration::from_secs(3600), copied).await });
        let ended = ended.unwrap_or_else(|_| panic!("{readers} readers wait for ever with {memory} bytes"));
        assert_eq!(ended.expect("copied").outcome, RunOutcome::Done, "{:?}", scene.status().failures);
        assert_eq!(counters.waiting_for_memory.load(Ordering::Relaxed), 0);
        scene.assert_equal();
        assert_accounts_close(&scene.status(), 600);
    }
}

/// Pages that turn out larger than expected, and stand before a target that answers nothing for a while: no more of them than the
/// budget has room for, and one for each reader that had asked before that was known.
#[test]
fn a_full_budget_stops_the_reading() {
    let scene = Scene::new(2000, 40);
    let target = MemoryTarget { delay: Duration::from_secs(60), ..scene.target() };
    let events = Events::none();
    let counters = Arc::clone(events.counters());
    let pace = Pace { readers: 40, writers: 4, memory: 8 << 10, ..pace() };
    let (bytes, waiting) = runtime().block_on(async {
        let copied = copy(open(&scene.path()), lane(scene.source(), target), pace, events, Stop::default());
        let look = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            let at = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            (at(&counters.bytes_read), at(&counters.waiting_for_memory))
        };
        tokio::select! { _ = copied => panic!("it can't be done by now"), found = look => found }
    });
    assert!(bytes > 1000 && bytes < 6 << 10, "{bytes} bytes read");
    assert!(waiting > 20, "{waiting} wait");
}
