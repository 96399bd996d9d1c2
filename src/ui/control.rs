//! What `migrate set`, `pause` and `continue` answer.

use super::text::safe;
use crate::checkpoint::control::Changed;
use crate::settings::live::{Key, Live};
use std::collections::BTreeSet;
use std::fmt::Write;

/// What of `keys` held before, and what holds now.
pub fn set(changed: &Changed, keys: impl Iterator<Item = Key>) -> String {
    let mut text = String::new();
    for key in keys.collect::<BTreeSet<_>>() {
        let (was, is) = (value(&changed.before, key), value(&changed.after, key));
        let is = if is == was { "as before".to_owned() } else { is };
        let _ = writeln!(text, "{key:<16}  is {is:<22}  was {was}");
    }
    let when = if changed.is_running {
        "the run takes it up within two seconds"
    } else {
        "nobody works on the job: this holds from its next run on"
    };
    let _ = writeln!(text, "{when}");
    text
}

fn value(live: &Live, key: Key) -> String {
    live.values.get(&key).map_or_else(|| "as on the command line".to_owned(), |value| safe(value))
}

/// Whether the job is paused now, and was.
pub fn pause(changed: &Changed) -> String {
    let text = match (changed.before.paused, changed.after.paused, changed.is_running) {
        (true, true, _) => "paused already",
        (false, false, _) => "not paused: there is nothing to continue",
        (false, true, true) => {
            "paused: the run finishes what is in flight and saves it; `migrate continue` lets it go on"
        }
        (false, true, false) => "paused: nobody works on the job, and its next run waits for `migrate continue`",
        (true, false, true) => "continued: the run goes on within two seconds",
        (true, false, false) => "continued: nobody works on the job; run its command again",
    };
    format!("{text}\n")
}
