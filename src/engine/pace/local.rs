//! The time of day on this machine's wall clock, which schedules follow.

use crate::escape::safe;
use crate::settings::schedule::Minute;
use jiff::tz::TimeZone;
use std::sync::atomic::{AtomicBool, Ordering};

/// Now; in UTC where the time zone isn't known.
pub(super) fn minute() -> Minute {
    let now = jiff::Zoned::now();
    Minute::from(now.hour().unsigned_abs()) * 60 + Minute::from(now.minute().unsigned_abs())
}

/// What is to be said where the time zone isn't known. It is said once per process, however many passes there are.
pub(super) fn unknown_zone() -> Option<String> {
    static TOLD: AtomicBool = AtomicBool::new(false);
    TimeZone::try_system().err()?;
    let why = match std::env::var_os("TZ") {
        Some(zone) => format!("TZ={} names none that is known here", safe(&zone.to_string_lossy())),
        None => "neither TZ nor /etc/localtime names one".to_owned(),
    };
    let message = format!(
        "this machine's time zone isn't known ({why}), so the schedule's times of day are UTC: set TZ to a zone of \
         /usr/share/zoneinfo (TZ=Europe/Berlin; the package is called tzdata), or to UTC"
    );
    (!TOLD.swap(true, Ordering::Relaxed)).then_some(message)
}
