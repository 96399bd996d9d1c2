//! Clusters that stand still, with time that passes as fast as one likes.

use super::Ended;
use super::fakes::{MemorySource, MemoryTarget};
use super::tests::{Scene, assert_accounts_close, runtime};
use crate::call::{CallError, Class};
use crate::engine::standstill::{Calls, Standstill};
use crate::event::{Event, Events};
use crate::job::RunOutcome;
use crate::shutdown::{Signal, Stop};
use crate::side::Side;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// As long as the copies of these tests wait: `tests::pace`.
const PATIENCE: Duration = Duration::from_secs(60);

fn fail(target: &MemoryTarget, class: Class, times: usize) {
    target.failures.lock().expect("not poisoned").extend(std::iter::repeat_n(class, times));
}

/// Copies, and says how long it took and what was told of waiting.
fn copy(scene: &Scene, source: MemorySource, target: MemoryTarget) -> (Ended, Duration, Vec<Event>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let events = Events::to(move |event| {
        if matches!(event, Event::Waiting { .. } | Event::Back { .. } | Event::GaveUp { .. }) {
            tell.lock().expect("not poisoned").push(event.clone());
        }
    });
    let (ended, took) = runtime().block_on(async {
        let started = Instant::now();
        let ended = scene.copy(source, target, events, Stop::default()).await.expect("ran");
        (ended, started.elapsed())
    });
    let told = told.lock().expect("not poisoned").clone();
    (ended, took, told)
}

#[test]
fn a_dead_target_is_waited_for_once_and_not_by_each_range() {
    let scene = Scene::new(3000, 200);
    let target = MemoryTarget { dies_after: Some(100), ..scene.target() };
    let (ended, took, told) = copy(&scene, scene.source(), target);
    assert_eq!((ended.outcome, ended.gave_up), (RunOutcome::Incomplete, Some(Side::Target)));
    assert!((PATIENCE..PATIENCE + Duration::from_secs(5)).contains(&took), "{took:?}");
    assert!(
        matches!(told.last(), Some(Event::GaveUp { side: Side::Target, class: Class::Unavailable, .. })),
        "{told:?}"
    );

    let status = scene.status();
    let failures = &status.failures;
    assert!((1..=3).contains(&failures.len()), "only what was under way has failed: {failures:?}");
    assert!(failures.iter().all(|failure| failure.error.contains("unavailable") && failure.error.contains("tries")));
    assert!(status.counts.tally.rows_written > 0, "what was acknowledged is saved");
    let (ended, ..) = copy(&scene, scene.source(), scene.target());
    assert_eq!((ended.outcome, ended.gave_up), (RunOutcome::Done, None));
    scene.assert_equal();
    assert_accounts_close(&scene.status(), 3000);
}

#[test]
fn a_dead_source_is_waited_for_once_and_not_by_each_range() {
    let scene = Scene::new(3000, 200);
    let source = MemorySource { fail_every: Some((1, Class::Connection)), ..scene.source() };
    let (ended, took, _) = copy(&scene, source, scene.target());
    assert_eq!((ended.outcome, ended.gave_up), (RunOutcome::Incomplete, Some(Side::Source)));
    assert!((PATIENCE..PATIENCE + Duration::from_secs(5)).contains(&took), "{took:?}");
    assert!(
        (1..=3).contains(&ended.failed),
        "one range of each reader, or fewer where calls had to wait for their turn"
    );
}

#[test]
fn what_fails_alone_fails_alone() {
    let scene = Scene::new(3000, 20);
    let poisoned = scene.rows.keys().nth(5).expect("there is one").2.clone();
    let (poison_class, delay) = (Class::Timeout, Duration::from_secs(2));
    let target = MemoryTarget { poison: [poisoned].into(), poison_class, delay, ..scene.target() };
    let (ended, took, told) = copy(&scene, scene.source(), target);
    assert!(took > PATIENCE * 2, "others went on for long: {took:?}");
    assert_eq!((ended.outcome, ended.failed, ended.gave_up), (RunOutcome::Incomplete, 1, None));
    assert_eq!(told.len(), 0, "nothing stood still: {told:?}");
    let counts = scene.status().counts;
    assert_eq!(counts.ranges_done + 1, counts.ranges);
}

#[test]
fn what_expires_unwritten_is_no_answer_of_the_target() {
    let mut scene = Scene::new(4000, 20);
    for (i, cells) in scene.rows.values_mut().enumerate() {
        let ttl = if i == 1000 { 0 } else { 5 + i32::try_from(i % 40).expect("small") };
        *cells = [Some((b"brief".to_vec(), 5, ttl)), None];
    }
    let target = scene.target();
    fail(&target, Class::Failure, 100_000);
    let (ended, _, told) = copy(&scene, scene.source(), target);
    assert_eq!((ended.outcome, &ended.rejects), (RunOutcome::Incomplete, &None));
    assert!(scene.status().counts.tally.rows_expired > 0, "some of them expired");
    assert!(!told.iter().any(|event| matches!(event, Event::Back { .. })), "{told:?}");
}

#[test]
fn waiting_is_told_now_and_then_and_so_is_its_end() {
    let scene = Scene::new(300, 4);
    let target = MemoryTarget { delay: Duration::from_millis(100), ..scene.target() };
    fail(&target, Class::Connection, 45);
    let (ended, took, told) = copy(&scene, scene.source(), target);
    assert_eq!(ended.outcome, RunOutcome::Done);
    assert!(took > Duration::from_secs(20) && took < PATIENCE, "{took:?}");
    let waiting = told.iter().filter(|event| matches!(event, Event::Waiting { side: Side::Target, .. })).count();
    assert!((2..=4).contains(&waiting), "{told:?}");
    let Some(&Event::Waiting { since_s, gives_up_in_s, .. }) = told.first() else { panic!("{told:?}") };
    assert!((5..=7).contains(&since_s) && (58..=60).contains(&(since_s + gives_up_in_s)), "{told:?}");
    assert!(matches!(told.last(), Some(Event::Back { side: Side::Target, after_s: 15.. })), "{told:?}");
    assert_eq!(told.len(), waiting + 1);
    scene.assert_equal();
}

#[test]
fn a_call_without_an_end_is_not_drained_for_ever() {
    let scene = Scene::new(300, 4);
    let target = MemoryTarget { delay: Duration::from_secs(3600), ..scene.target() };
    let stop = Stop::default();
    let (ended, took) = runtime().block_on(async {
        let started = Instant::now();
        let asks = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            stop.drain(Signal::Interrupt);
        };
        let copied = scene.copy(scene.source(), target, Events::none(), stop.clone());
        (tokio::join!(copied, asks).0.expect("ran"), started.elapsed())
    });
    assert_eq!((ended.outcome, ended.gave_up), (RunOutcome::Stopped, None));
    assert!((Duration::from_secs(15)..Duration::from_secs(20)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_not_counted() {
    let standstill = Arc::new(Standstill::new(PATIENCE, Events::none(), Stop::default()));
    let calls = Calls::of(&standstill);
    let error = CallError { class: Class::Timeout, message: "no".to_owned() };
    let watch = standstill.watch(|| false, |_| None, || false);
    let pauses = async {
        let started = Instant::now();
        let _failing = calls.failing(Side::Source, started, &error);
        for _ in 0..10 {
            tokio::time::sleep(PATIENCE * 2 / 3).await;
            standstill.reset();
        }
        let failing = calls.failing(Side::Source, started, &error);
        let reset = Instant::now();
        std::future::pending::<()>().await;
        drop((failing, reset));
    };
    let started = Instant::now();
    let side = tokio::select! { side = watch => side, () = pauses => unreachable!() };
    let took = started.elapsed();
    assert_eq!(side, Side::Source);
    let expected = PATIENCE * 20 / 3 + PATIENCE;
    assert!((expected..expected + Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_to_do_is_no_standstill() {
    let standstill = Arc::new(Standstill::new(PATIENCE, Events::none(), Stop::default()));
    let calls = Calls::of(&standstill);
    let error = CallError { class: Class::Timeout, message: "no".to_owned() };
    drop(calls.failing(Side::Target, Instant::now(), &error));
    let watched = tokio::time::timeout(PATIENCE * 10, standstill.watch(|| false, |_| None, || false)).await;
    assert!(watched.is_err(), "nobody calls any more: {watched:?}");
}
