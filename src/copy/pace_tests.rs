//! The pace of a copy between memory and memory: pauses, and what is set meanwhile.

use super::fakes::MemoryTarget;
use super::tests::{Scene, copy, lane, open, pace, runtime};
use crate::checkpoint::CheckpointError;
use crate::copy::Ended;
use crate::engine::pace::Steering;
use crate::event::{Event, Events};
use crate::job::RunOutcome;
use crate::settings::live::{Key, Live};
use crate::shutdown::{Signal, Stop};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

const LONG: Duration = Duration::from_secs(3600);

fn paused() -> Live {
    Live { paused: true, ..Live::default() }
}

/// A copy that takes a few seconds, and whoever steers it.
fn slow(
    scene: &Scene,
    live: Live,
    events: Events,
    stop: Stop,
) -> (watch::Sender<Live>, impl Future<Output = Result<Ended, CheckpointError>>) {
    let (sender, live) = watch::channel(live);
    let target = MemoryTarget { delay: Duration::from_millis(50), ..scene.target() };
    let steering = Steering { pace: pace(), live };
    (sender, copy(open(&scene.path()), lane(scene.source(), target), steering, events, stop))
}

/// How a copy ends that an operator does something to meanwhile. What the operator has still to do then is left out.
async fn ended_beside(
    copied: impl Future<Output = Result<Ended, CheckpointError>>,
    operator: impl Future<Output = ()>,
) -> RunOutcome {
    let operator = async {
        operator.await;
        std::future::pending().await
    };
    tokio::select! {
        ended = copied => ended.expect("ran").outcome,
        never = operator => never,
    }
}

#[test]
fn a_job_that_is_paused_reads_and_writes_nothing_until_it_is_continued() {
    let scene = Scene::new(300, 9);
    let (events, stop) = (Events::none(), Stop::default());
    runtime().block_on(async {
        let (sender, copied) = slow(&scene, paused(), events.clone(), stop.clone());
        let operator = async {
            tokio::time::sleep(LONG).await;
            assert_eq!(events.counters().rows_read.load(Ordering::Relaxed), 0);
            sender.send(Live::default()).expect("it listens");
        };
        assert_eq!(ended_beside(copied, operator).await, RunOutcome::Done);
    });
    scene.assert_equal();
}

#[test]
fn what_may_not_be_written_yet_is_not_under_way() {
    let scene = Scene::new(300, 9);
    let (events, stop) = (Events::none(), Stop::default());
    let target = MemoryTarget { not_ready: Duration::from_secs(18), ..scene.target() };
    runtime().block_on(async {
        let copied = copy(open(&scene.path()), lane(scene.source(), target), pace(), events.clone(), stop.clone());
        let operator = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert!(events.counters().rows_read.load(Ordering::Relaxed) > 0, "there is something to write");
            assert_eq!(events.counters().in_flight.load(Ordering::Relaxed), 0);
            assert_eq!(events.counters().pace().slowed_by, None, "the target isn't waited for");
            stop.drain(Signal::Interrupt);
            tokio::time::sleep(Duration::from_secs(1)).await;
            panic!("a stop waits for what was not sent");
        };
        assert_eq!(ended_beside(copied, operator).await, RunOutcome::Stopped);
    });
    assert_eq!(scene.rows_at_the_target(), 0);
}

#[test]
fn a_pause_saves_what_was_in_flight_and_goes_on_exactly() {
    let scene = Scene::new(600, 9);
    let (events, stop) = (Events::none(), Stop::default());
    let counter = || {
        let counters = events.counters();
        [&counters.rows_read, &counters.rows_written, &counters.in_flight].map(|count| count.load(Ordering::Relaxed))
    };
    runtime().block_on(async {
        let (sender, copied) = slow(&scene, Live::default(), events.clone(), stop.clone());
        let operator = async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            sender.send(paused()).expect("it listens");
            tokio::time::sleep(Duration::from_secs(5)).await;
            let [read, written, in_flight] = counter();
            assert!(written > 0 && written < 600 && in_flight == 0, "{written} written, {in_flight} in flight");
            let saved = events.counters().committed().rows_written;
            assert!(written - saved < 3 * 40, "{saved} of {written} saved: all but the partitions that may go on");
            tokio::time::sleep(LONG).await;
            assert_eq!(counter(), [read, written, 0]);
            sender.send(Live::default()).expect("it listens");
        };
        assert_eq!(ended_beside(copied, operator).await, RunOutcome::Done);
    });
    scene.assert_equal();
}

#[test]
fn a_signal_ends_a_pause_at_once() {
    let scene = Scene::new(600, 9);
    let (events, stop) = (Events::none(), Stop::default());
    runtime().block_on(async {
        let (sender, copied) = slow(&scene, Live::default(), events.clone(), stop.clone());
        let operator = async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            sender.send(paused()).expect("it listens");
            tokio::time::sleep(Duration::from_secs(5)).await;
            stop.drain(Signal::Interrupt);
            tokio::time::sleep(Duration::from_secs(1)).await;
            panic!("it still runs");
        };
        assert_eq!(ended_beside(copied, operator).await, RunOutcome::Stopped);
    });
    runtime().block_on(async {
        let (_, copied) = slow(&scene, Live::default(), Events::none(), Stop::default());
        assert_eq!(copied.await.expect("ran").outcome, RunOutcome::Done);
    });
    scene.assert_equal();
}

#[test]
fn what_is_set_takes_effect_while_it_runs() {
    let scene = Scene::new(3000, 24);
    let (sets, set) = std::sync::mpsc::channel();
    let events = Events::to(move |event| {
        if let Event::Set { key, value } = event {
            let _ = sets.send((*key, value.clone()));
        }
    });
    let mut highest = [0; 3];
    runtime().block_on(async {
        let (sender, copied) = slow(&scene, Live::default(), events.clone(), Stop::default());
        let operator = async {
            for (highest, writers) in highest.iter_mut().zip([None, Some("9"), Some("1")]) {
                let values = writers.map(|writers| (Key::Writers, writers.to_owned()));
                sender.send(Live { paused: false, values: BTreeMap::from_iter(values) }).expect("it listens");
                tokio::time::sleep(Duration::from_millis(400)).await;
                for _ in 0..400 {
                    *highest = events.counters().in_flight.load(Ordering::Relaxed).max(*highest);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            sender.send(Live::default()).expect("it listens");
        };
        assert_eq!(ended_beside(copied, operator).await, RunOutcome::Done);
    });
    assert_eq!(highest, [4, 9, 1]);
    let told: Vec<_> = set.try_iter().map(|(_, value)| value).collect();
    assert_eq!(told, [Some("9".to_owned()), Some("1".to_owned()), None]);
    scene.assert_equal();
}
