use crate::lab::{Lab, SOURCE, TARGET};

/// Trap: where the time zone isn't known, the times of day are those of UTC, and a limit holds at the wrong hours.
#[test]
fn a_schedule_in_an_unknown_time_zone_is_warned_about_once() {
    let Some(lab) = Lab::new("schedules") else { return };
    let table = lab.usual();
    let warnings = |zone: &str, limits: &[&str]| {
        let call = ["--source", SOURCE, "--target", TARGET, "--table", &table];
        let answer = lab.tool().run_with(&[("TZ", zone)], &[&call[..], limits].concat());
        let lines = answer.expect(0).err.lines().filter(|line| line.starts_with("warning:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let by_day = ["--rows-per-second", "08:00,20k 19:00,off", "--bytes-per-second", "8:00,1G 9:00,off"];
    insta::assert_snapshot!(warnings("Nonsense/Zone", &by_day).join("\n"), @"warning: this machine's time zone isn't known (TZ=Nonsense/Zone names none that is known here), so the schedule's times of day are UTC: set TZ to a zone of /usr/share/zoneinfo (TZ=Europe/Berlin; the package is called tzdata), or to UTC");
    assert!(warnings("Non\x1b[31msense", &by_day[2..])[0].contains(r"TZ=Non\u{1b}[31msense"));
    assert_eq!(warnings("Nonsense/Zone", &["--rows-per-second", "20k"]), [""; 0], "it holds at all times");
    for zone in ["CET-1CEST,M3.5.0,M10.5.0/3", "UTC", ""] {
        assert_eq!(warnings(zone, &by_day), [""; 0], "{zone}");
    }
}
