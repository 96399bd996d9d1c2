//! A copy whose progress can't be recorded any more.

use super::fakes::MemoryTarget;
use super::tests::{Scene, runtime};
use crate::checkpoint::CheckpointError;
use crate::event::{Event, Events};
use crate::shutdown::Stop;
use std::time::Duration;
use tokio::time::Instant;

/// Goal: readers that wait for a target which doesn't answer don't keep a copy alive that can record nothing.
#[test]
fn a_commit_that_fails_ends_the_copy_at_once() {
    let scene = Scene::new(200, 5);
    let target = MemoryTarget { delay: Duration::from_secs(3600), ..scene.target() };
    let path = scene.path();
    // Deleted once the first claims are on their way to it.
    let events = Events::to(move |event| {
        if matches!(event, Event::PageRead { .. }) {
            let _ = std::fs::remove_file(&path);
        }
    });
    let (result, took) = runtime().block_on(async {
        let started = Instant::now();
        (scene.copy(scene.source(), target, events, Stop::default()).await, started.elapsed())
    });
    assert!(matches!(result, Err(CheckpointError::Gone { .. })), "{result:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}
