//! The search for a case that breaks a law: one seed after another, and then smaller cases that break one, too.
//!
//! `MIGRATE_TEST_CASES` says how many cases, `MIGRATE_TEST_FIRST_SEED` from which seed on (at random, where it isn't set),
//! `MIGRATE_TEST_SEED` replays one.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Something that may happen.
pub(crate) trait Case: Sized + Send {
    /// The case of a seed: always the same.
    fn of(seed: u64) -> Self;

    fn seed(&self) -> u64;

    /// Smaller cases of the same kind.
    fn smaller(&self) -> Vec<Self>;

    /// The case, for people.
    fn words(&self) -> String;

    /// Lets it happen; answers what tells apart what happened, or which law was broken.
    fn run(&self) -> Result<Vec<u64>, String>;
}

/// Runs so far, of all cases.
pub(super) static RUNS: AtomicU64 = AtomicU64::new(0);

/// Making a case smaller takes no longer.
const SHRINK_FOR: Duration = Duration::from_secs(20);

/// Tries so many cases, where the environment names no other number.
#[expect(clippy::print_stdout, reason = "the seed of a run that fails must be known, whatever comes of it")]
pub(crate) fn search<C: Case>(cases: u64) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seed = number("MIGRATE_TEST_SEED");
    let cases = if seed.is_some() { 1 } else { number("MIGRATE_TEST_CASES").unwrap_or(cases) };
    let first = seed.or_else(|| number("MIGRATE_TEST_FIRST_SEED")).unwrap_or_else(|| fastrand::u64(..1 << 40));
    let next = AtomicU64::new(0);
    let failed: Mutex<Option<(u64, C, String)>> = Mutex::default();
    let started = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number < cases
                    && failed.lock().expect("not poisoned").is_none()
                {
                    let case = C::of(first + number);
                    if let Err(violation) = try_case(&case) {
                        println!("case {number}, seed {}: {violation}", case.seed());
                        let (case, violation) = shrunk(case, violation);
                        failed.lock().expect("not poisoned").get_or_insert((number, case, violation));
                    }
                }
            });
        }
    });
    let (runs, took) = (RUNS.load(Ordering::Relaxed), started.elapsed());
    println!("{cases} cases from seed {first} on, {runs} runs, {took:?}");
    if let Some((number, case, violation)) = failed.into_inner().expect("not poisoned") {
        let seed = case.seed();
        panic!(
            "case {number}: {violation}\nMIGRATE_TEST_SEED={seed} replays it. Made smaller, it is:\n{}",
            case.words()
        );
    }
}

/// The smallest case that was found to fail, and how it does.
fn shrunk<C: Case>(mut case: C, mut violation: String) -> (C, String) {
    let started = Instant::now();
    let fails = |case: C| try_case(&case).err().map(|why| (case, why));
    let is_time = |_: &C| started.elapsed() < SHRINK_FOR;
    while let Some(smaller) = case.smaller().into_iter().take_while(is_time).find_map(fails) {
        (case, violation) = smaller;
    }
    (case, violation)
}

/// Runs a case; answers what tells apart what happened.
pub(crate) fn try_case<C: Case>(case: &C) -> Result<Vec<u64>, String> {
    let tried = catch_unwind(AssertUnwindSafe(|| case.run()));
    tried.unwrap_or_else(|panic| Err(format!("a panic: {}", words(&*panic))))
}

/// What a panic says.
pub(super) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
