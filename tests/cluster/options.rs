//! `--manage-table-options`: what a table of the target keeps of tombstones while it is copied, and afterwards.

use crate::job::{Finished, Job, Running};
use crate::lab::{Lab, THEN};
use crate::proxy::Proxy;
use scylla_proxy::{Condition, Reaction, RequestReaction, RequestRule};
use serde_json::Value;
use std::time::{Duration, Instant};

const ROWS: i32 = 20_000;
const OLD: i32 = 3600;
const MANAGED: i32 = 315_360_000;

/// A table with less than Cassandra's default grace at the target, and a job that is slow enough to be interrupted.
struct Slow {
    lab: Lab,
    proxy: Proxy,
    /// Without the flag.
    job: Job,
    throttled: Job,
}

fn slow(name: &str) -> Option<Slow> {
    let lab = Lab::open(name)?;
    lab.source.run("CREATE TABLE t (id int PRIMARY KEY, v text)");
    lab.target.run(&format!("CREATE TABLE t (id int PRIMARY KEY, v text) WITH gc_grace_seconds = {OLD}"));
    let rows = (0..ROWS).map(|id| (id, "some text", THEN));
    lab.source.load("INSERT INTO t (id, v) VALUES (?, ?) USING TIMESTAMP ?", rows);
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    proxy.delay_writes(Duration::from_millis(300));
    let job = lab.job("t").args(&["--ranges", "50", "--readers", "2"]);
    let throttled = job.clone().args(&["--writers", "2"]).target(&proxy.address);
    Some(Slow { lab, proxy, job, throttled })
}

impl Slow {
    fn grace(&self) -> i32 {
        let keyspace = &self.lab.keyspace;
        let cql = format!(
            "SELECT gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = '{keyspace}' AND table_name = 't'"
        );
        self.lab.target.rows::<(i32,)>(&cql)[0].0
    }

    fn set_grace(&self, seconds: i32) {
        self.lab.target.run(&format!("ALTER TABLE t WITH gc_grace_seconds = {seconds}"));
    }

    /// Begins with the flag, and is killed in the middle.
    fn killed(&self) {
        let mut run = self.managed().start();
        run.await_progress();
        assert_eq!(self.grace(), MANAGED, "set before the first row");
        run.kill();
        let status = self.job.status();
        assert_eq!(status["state"], "stopped");
        let (old, new) = (OLD.to_string(), MANAGED.to_string());
        let altered = serde_json::json!([{"name": "gc_grace_seconds", "old": old, "new": new}]);
        assert_eq!(status["tables"][0]["altered"], altered);
    }

    fn managed(&self) -> Job {
        self.throttled.clone().arg("--manage-table-options")
    }
}

/// What was said of the option.
fn told(events: &[Value]) -> Vec<String> {
    let texts = events.iter().filter_map(|event| event["message"].as_str());
    texts.filter(|text| text.contains("gc_grace_seconds")).map(str::to_owned).collect()
}

fn end(run: Running) -> Finished {
    let finished = run.finish();
    finished.assert_code(0);
    finished
}

#[test]
fn an_option_is_set_survives_kills_and_is_restored_exactly() {
    let Some(slow) = slow("options_kill") else { return };
    slow.killed();
    assert_eq!(slow.grace(), MANAGED, "a job that was killed keeps it");
    slow.killed();
    // As after a crash between the commit and the ALTER: the table still has its own value.
    slow.set_grace(OLD);
    slow.killed();
    // The managed value is not taken for the old one, whether the flag is given again or not.
    let finished = end(slow.job.start());
    assert_eq!(told(&finished.events), [""; 0]);
    assert_eq!(slow.grace(), OLD);
    assert_eq!(slow.job.status()["tables"][0]["altered"], serde_json::json!([]));
    slow.lab.assert_equal("t", ROWS.try_into().unwrap());
    // As after a crash when the last range was done, before the table was altered back; and between that and the commit.
    for grace in [MANAGED, OLD] {
        slow.set_grace(grace);
        let checkpoint = rusqlite::Connection::open(&slow.job.checkpoint).unwrap();
        assert_eq!(checkpoint.execute("UPDATE managed_option SET state = 'managed'", ()).unwrap(), 1);
        drop(checkpoint);
        slow.job.succeed();
        assert_eq!(slow.grace(), OLD);
    }
    // What is done is done: another value of the operator's stays.
    slow.set_grace(77);
    slow.job.clone().arg("--manage-table-options").succeed();
    assert_eq!(slow.grace(), 77);
}

#[test]
fn a_job_that_is_stopped_keeps_the_option_and_says_so() {
    let Some(slow) = slow("options_stop") else { return };
    let mut run = slow.managed().start();
    run.await_progress();
    run.signal("TERM");
    let stopped = run.finish();
    stopped.assert_code(143);
    assert_eq!(slow.grace(), MANAGED);
    let table = slow.lab.name("t");
    assert_eq!(
        told(&stopped.events),
        [
            format!(
                "{table} at the target has gc_grace_seconds = {MANAGED} until its last row is copied; it was {OLD}"
            ),
            format!(
                "{table} at the target keeps gc_grace_seconds = {MANAGED} until its last row is copied; it was {OLD}"
            ),
        ]
    );
    // Begun anew, the job still owes the table its own value.
    let anew = slow.job.clone().args(&["--restart", "--manage-table-options"]);
    end(anew.start());
    assert_eq!(slow.grace(), OLD);
}

#[test]
fn a_value_that_somebody_else_set_meanwhile_is_left_alone() {
    let Some(slow) = slow("options_other") else { return };
    slow.killed();
    slow.set_grace(99);
    let finished = end(slow.job.clone().arg("--manage-table-options").start());
    assert_eq!(
        told(&finished.events),
        [format!(
            "gc_grace_seconds of {} at the target was changed by somebody else: it is 99, the copy had set {MANAGED}, \
                 before it was {OLD}. It is left as it is",
            slow.lab.name("t")
        ),]
    );
    assert_eq!(slow.grace(), 99);
}

#[test]
fn without_the_flag_there_is_a_warning_and_nothing_is_altered() {
    let Some(mut slow) = slow("options_warn") else { return };
    slow.proxy.behave();
    let finished = end(slow.throttled.start());
    let said = told(&finished.events);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("gc_grace_seconds = 3600") && said[0].contains("--manage-table-options"), "{said:?}");
    assert_eq!(slow.grace(), OLD);
    // Enough of it is no reason to warn.
    slow.set_grace(864_000);
    let finished = end(slow.job.clone().arg("--restart").start());
    assert_eq!(told(&finished.events), [""; 0]);
}

/// Goal: whatever a job had set and will never set back, because it is begun anew without that table, is set back at once.
#[test]
fn a_job_that_is_begun_anew_without_a_table_sets_its_option_back() {
    let Some(slow) = slow("options_anew") else { return };
    slow.killed();
    slow.lab.both("CREATE TABLE other (id int PRIMARY KEY)");
    let other = slow.lab.job("other").checkpoint(&slow.job.checkpoint).arg("--restart");
    let finished = other.succeed();
    let table = slow.lab.name("t");
    let said = format!("{table} at the target has gc_grace_seconds = {OLD} again, as the earlier job is given up");
    assert_eq!(told(&finished.events), [said]);
    assert_eq!(slow.grace(), OLD);
}

#[test]
fn a_checkpoint_that_was_lost_with_the_old_value_is_told() {
    let Some(slow) = slow("options_lost") else { return };
    slow.killed();
    let elsewhere = slow.job.checkpoint.with_file_name("elsewhere.db");
    let finished = end(slow.job.clone().checkpoint(&elsewhere).arg("--manage-table-options").start());
    let said = told(&finished.events);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(&format!("gc_grace_seconds = {MANAGED} already, and keeps it")), "{said:?}");
    assert_eq!(slow.grace(), MANAGED);
}

/// Goal: a signal while options are being set leaves none that nobody speaks of.
#[test]
fn a_signal_while_options_are_set_ends_like_any_other_stop() {
    let Some(lab) = Lab::open("options_signal") else { return };
    let tables: Vec<String> = (0..8).map(|n| format!("t{n}")).collect();
    for table in &tables {
        lab.both(&format!("CREATE TABLE {table} (id int PRIMARY KEY)"));
        lab.source.run(&format!("INSERT INTO {table} (id) VALUES (1)"));
    }
    let job = Job::new(&lab.folder.path().join("all.db")).arg("--table").arg(&lab.name("*"));
    let mut proxy = Proxy::before(&lab.target, lab.runtime());
    let alter = Condition::BodyContainsCaseSensitive(b"ALTER TABLE".as_slice().into());
    proxy.on_requests(vec![RequestRule(alter, RequestReaction::delay(Duration::from_secs(2)))]);
    let mut run = job.clone().arg("--manage-table-options").target(&proxy.address).start();
    run.await_event("the first option", |event| {
        event["message"].as_str().is_some_and(|text| text.contains("until its last row is copied"))
    });
    run.signal("INT");
    let stopped = run.finish();
    stopped.assert_code(130);
    assert_eq!(stopped.end()["outcome"], "stopped");
    assert_eq!(job.status()["last_run"]["outcome"], "stopped");
    let said = told(&stopped.events);
    let cql = "SELECT table_name, gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = ";
    let found = lab.target.rows::<(String, i32)>(&format!("{cql}'{}'", lab.keyspace));
    let altered: Vec<_> = found.into_iter().filter(|(_, grace)| *grace == MANAGED).map(|(table, _)| table).collect();
    assert!(!altered.is_empty() && altered.len() < tables.len(), "{altered:?}");
    for table in &altered {
        let keeps = format!("{} at the target keeps gc_grace_seconds = {MANAGED}", lab.name(table));
        assert!(said.iter().any(|text| text.starts_with(&keeps)), "{table}: {said:?}");
    }
    job.succeed();
    let left = lab.target.rows::<(String, i32)>(&format!("{cql}'{}'", lab.keyspace));
    assert!(left.iter().all(|(_, grace)| *grace == 864_000), "{left:?}");
}

/// Goal: what is owed passes from job to job in whole files: there is no instant at which a kill loses it.
#[test]
fn a_job_that_is_killed_while_it_is_begun_anew_still_owes_the_old_value() {
    let Some(slow) = slow("options_restart") else { return };
    slow.killed();
    let anew = slow.managed().args(&["--restart", "--ranges", "20000"]);
    for kill in 0..12 {
        let mut run = anew.start();
        let killed_at = Instant::now() + Duration::from_millis(80 + kill * 25);
        while run.next(killed_at).is_some() {}
        run.kill();
    }
    let finished = end(slow.job.clone().arg("--restart").start());
    assert_eq!(slow.grace(), OLD, "{:?}", told(&finished.events));
}
