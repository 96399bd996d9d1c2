//! A copy whose progress can't be recorded any more.

use super::fakes::MemoryTarget;
use super::tests::{Scene, copy, lane, open, runtime};
use crate::checkpoint::CheckpointError;
use crate::engine::pace::Steering;
use crate::event::{Event, Events};
use crate::settings::Pace;
use crate::settings::live::Live;
use crate::shutdown::Stop;
use std::time::Duration;
use tokio::time::Instant;

/// Goal: nobody waits for the end of a pause that can't be told any more.
#[test]
fn a_file_that_is_deleted_during_a_pause_ends_the_copy() {
    let scene = Scene::new(200, 5);
    let path = scene.path();
    let (operator, live) = tokio::sync::watch::channel(Live { paused: true, ..Live::default() });
    let result = runtime().block_on(async {
        let steering = Steering { pace: Pace::default(), live };
        let lane = lane(scene.source(), scene.target());
        let copy = copy(open(&scene.path()), lane, steering, Events::none(), Stop::default());
        let deletes = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            std::fs::remove_file(&path).expect("it is there");
        };
        let both = futures::future::join(copy, deletes);
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("it ends").0
    });
    drop(operator);
    assert!(matches!(result, Err(CheckpointError::Gone { .. })), "{result:?}");
}

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
