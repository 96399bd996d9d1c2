use crate::lab::{Lab, ROWS, SOURCE, TARGET};
use crate::tool::Tool;
use rusqlite::Connection;
use std::os::unix::fs::PermissionsExt;

/// A tool whose `migrate.db` is as a killed run leaves it: half of the ranges done, the rest pending or claimed, and part of
/// that not yet merged into the file.
fn killed(lab: &Lab, table: &str) -> Tool {
    let done = lab.tool();
    done.run(&["--source", SOURCE, "--target", TARGET, "--table", table]).expect(0);
    let open = Connection::open(done.path("migrate.db")).unwrap();
    open.execute_batch(
        "REPLACE INTO token_range (table_id, first_token, last_token, position, state)
             SELECT table_id, first_token, last_token, position, iif(position % 4, 'pending', 'claimed')
             FROM token_range WHERE position % 2 = 0;
         UPDATE run SET ended_at = NULL, outcome = NULL;",
    )
    .unwrap();
    let killed = lab.tool();
    for (path, bytes) in done.listing() {
        killed.write(path.file_name().unwrap().to_str().unwrap(), bytes);
    }
    killed
}

#[test]
fn a_checkpoint_is_readable_by_its_owner_alone() {
    let Some(lab) = Lab::new("modes") else { return };
    let tool = lab.tool();
    tool.run(&["--source", SOURCE, "--target", TARGET, "--table", &lab.usual()]).expect(0);
    let files = tool.listing();
    assert_eq!(files.len(), 2, "the checkpoint and its lock");
    for path in files.keys() {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
}

#[test]
fn a_plan_a_dry_run_and_a_status_change_nothing() {
    let Some(lab) = Lab::new("looking") else { return };
    let table = lab.usual();
    let tool = killed(&lab, &table);
    let rows = lab.target.count(&table);
    let before = tool.listing();
    let names: Vec<_> = before.keys().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["migrate.db", "migrate.db-lock", "migrate.db-shm", "migrate.db-wal"]);
    let job = ["--source", SOURCE, "--target", TARGET, "--table", &table];
    let calls = [
        [&["plan"], &job[..]].concat(),
        [&["plan", "--json"], &job[..]].concat(),
        [&["--dry-run"], &job[..]].concat(),
        [&["--dry-run", "--restart", "--json"], &job[..]].concat(),
        vec!["status"],
        vec!["status", "--json"],
    ];
    for call in calls {
        tool.run(&call).expect(0);
        let after = tool.listing();
        assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "{call:?}");
        assert!(after == before, "a file has changed: {call:?}");
        assert_eq!(lab.target.count(&table), rows, "{call:?}");
    }
    let status = tool.run(&["status", "--json"]).json();
    let of = |name: &str| status[name].as_u64().unwrap();
    assert_eq!((of("ranges_done"), status["state"].as_str()), (of("ranges") / 2, Some("stopped")));

    // And it is a job that can be carried on.
    let run = tool.run(&[&job[..], &["--json"]].concat());
    let events = &run.expect(0).out;
    let end: serde_json::Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    let rows = end["rows_written"].as_u64().unwrap();
    assert!((1..ROWS.try_into().unwrap()).contains(&rows), "{rows} rows are in the ranges that were left");
    assert!(tool.listing() != before, "a copy does change them");
}

#[test]
fn a_dry_run_says_what_a_plan_says() {
    let Some(lab) = Lab::new("dry_run") else { return };
    let table = lab.usual();
    let job = ["--source", SOURCE, "--target", TARGET, "--table", &table];
    let tool = lab.tool();
    let (plan, dry_run) = (tool.run(&[&["plan"], &job[..]].concat()), tool.run(&[&job[..], &["--dry-run"]].concat()));
    assert_eq!((plan.out, plan.code), (dry_run.out, dry_run.code));
    assert_eq!(tool.listing().len(), 0);
}

#[test]
fn a_plan_as_json_has_everything() {
    let Some(lab) = Lab::new("plan_json") else { return };
    lab.create(
        &[&lab.source, &lab.target],
        "t",
        "id int, at timestamp, v text, f frozen<set<int>>, PRIMARY KEY (id, at)",
    );
    let mut json = lab.plan_with(&[], SOURCE, TARGET, &["--json"]).expect(0).json();
    for side in ["source", "target"] {
        let product = json[side]["product"].take();
        assert!(product.as_str().unwrap().contains(' '), "{product}: a product and its version");
    }
    // Nodes count their sizes every few minutes; until then they don't know, or say 0.
    for name in ["bytes_estimate", "rows_estimate", "partitions_estimate"] {
        if let Some(estimate) = json["tables"][0].get_mut(name) {
            let estimate = estimate.take();
            assert!(estimate.is_null() || estimate.is_u64(), "{name}: {estimate}");
        }
    }
    // 64 or more, cut where the nodes' own tokens are.
    let ranges = json["tables"][0]["ranges"].take();
    assert!(ranges.as_u64().unwrap() >= 64, "{ranges}");
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap(), @r#"
    {
      "bytes_per_second": "off",
      "checkpoint": "migrate.db",
      "checkpoint_fraction": null,
      "memory": 268435456,
      "notes": [],
      "paused": false,
      "readers": 8,
      "rows_per_second": "off",
      "set": {},
      "source": {
        "datacenter": "datacenter1",
        "name": "source",
        "nodes": 1,
        "product": null
      },
      "source_consistency": "LOCAL_QUORUM",
      "source_latency": "off",
      "tables": [
        {
          "alters": [],
          "broken": null,
          "bytes_estimate": null,
          "columns": [
            {
              "column": "id",
              "kept": "bytes",
              "part": "partition key 0",
              "type": "int",
              "words": "value"
            },
            {
              "column": "at",
              "kept": "bytes",
              "part": "clustering key 0",
              "type": "timestamp",
              "words": "value"
            },
            {
              "column": "f",
              "kept": "bytes_writetime_ttl",
              "part": "regular",
              "type": "frozen<set<int>>",
              "words": "value, writetime, TTL"
            },
            {
              "column": "v",
              "kept": "bytes_writetime_ttl",
              "part": "regular",
              "type": "text",
              "words": "value, writetime, TTL"
            },
            {
              "column": "(row)",
              "kept": "marker_inferred",
              "part": "row marker",
              "type": "",
              "words": "inferred from the cells: no query shows it (--row-marker)"
            }
          ],
          "partitions_estimate": null,
          "ranges": null,
          "rows_estimate": null,
          "source": {
            "keyspace": "KS",
            "table": "t"
          },
          "target": {
            "keyspace": "KS",
            "table": "t"
          }
        }
      ],
      "target": {
        "datacenter": "datacenter1",
        "name": "target",
        "nodes": 1,
        "product": null
      },
      "target_consistency": "LOCAL_QUORUM",
      "target_latency": "off",
      "writers": 32
    }
    "#);
}

#[test]
fn a_flag_comes_before_the_environment_before_the_file_before_the_default() {
    let Some(lab) = Lab::new("precedence") else { return };
    let table = lab.usual();
    let tool = lab.tool();
    let file = format!(
        "source = \"no-such-host.invalid\"\ntarget = \"{TARGET}\"\ntable = [\"{table}\"]\ncheckpoint = \"file.db\"\n\
         readers = 2\nwriters = 2\nmemory = \"2MiB\"\nconsistency = \"QUORUM\"\nranges = 100\n"
    );
    tool.write("job.toml", file);
    let environment = [
        ("MIGRATE_CONFIG", "job.toml"),
        ("MIGRATE_SOURCE", SOURCE),
        ("MIGRATE_READERS", "3"),
        ("MIGRATE_WRITERS", "3"),
        ("MIGRATE_TARGET_CONSISTENCY", "ONE"),
    ];
    let json = tool.run_with(&environment, &["plan", "--json", "--readers", "4"]).expect(0).json();
    let of = |name: &str| json[name].to_string();
    assert_eq!(of("readers"), "4", "flag");
    assert_eq!(of("writers"), "3", "environment");
    assert_eq!(of("memory"), (2 << 20).to_string(), "file");
    assert_eq!(of("checkpoint"), "\"file.db\"", "file");
    assert_eq!(of("source_consistency"), "\"QUORUM\"", "file, where nothing more special is set");
    assert_eq!(of("target_consistency"), "\"ONE\"", "the special one comes before the general one");
    assert!(json["tables"][0]["ranges"].as_u64().unwrap() >= 100, "file");

    // Tables of a flag replace those of the file, they aren't added to them.
    lab.create(&[&lab.source, &lab.target], "u", "id int PRIMARY KEY");
    let json = tool.run_with(&environment, &["plan", "--json", "--table", &lab.table("u")]).expect(0).json();
    assert_eq!(json["tables"].as_array().unwrap().len(), 1);

    let json = lab.plan_with(&[], SOURCE, TARGET, &["--json"]).expect(0).json();
    let defaults =
        ["readers", "writers", "memory", "checkpoint", "source_consistency"].map(|name| json[name].to_string());
    assert_eq!(defaults, ["8", "32", "268435456", "\"migrate.db\"", "\"LOCAL_QUORUM\""]);
}

#[test]
fn a_plan_tells_what_it_alters() {
    let Some(lab) = Lab::new("plan_alters") else { return };
    let table = lab.usual();
    let plan = |more: &[&str]| {
        let call = ["plan", "--source", SOURCE, "--target", TARGET, "--table", &table];
        lab.tool().run(&[&call[..], more].concat())
    };
    let told = " alters  gc_grace_seconds = 315360000 at the target until it is done; it is 864000\n";
    assert!(plan(&["--manage-table-options"]).expect(0).out.contains(told));
    assert!(!plan(&[]).expect(0).out.contains("alters"));
    let altered = serde_json::json!([{"name": "gc_grace_seconds", "old": "864000", "new": "315360000"}]);
    assert_eq!(plan(&["--manage-table-options", "--json"]).json()["tables"][0]["alters"], altered);
}

#[test]
fn a_plan_tells_the_pace_that_holds_and_what_is_set() {
    let Some(lab) = Lab::new("plan_pace") else { return };
    let table = lab.usual();
    let tool = lab.tool();
    let call = ["--source", SOURCE, "--target", TARGET, "--table", &table];
    let plan = |more: &[&str]| tool.run(&[&["plan"], &call[..], more].concat()).expect(0).out.clone();
    let limits = ["--rows-per-second", "19:00,off 8:00,20k", "--target-latency", "50ms"];
    let lines = |plan: &str| plan.lines().skip(2).take(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        lines(&plan(&limits))[0],
        "pace     8 readers, 32 writers, 256.0 MiB of memory, rows-per-second 08:00,20000 19:00,off, target-latency 50ms"
    );
    tool.run(&call).expect(0);
    tool.run(&["set", "readers=3", "rows-per-second=5k"]).expect(0);
    tool.run(&["pause"]).expect(0);
    let expected = [
        "pace     3 readers, 32 writers, 256.0 MiB of memory, rows-per-second 5000, target-latency 50ms",
        "set      rows-per-second=5k, readers=3: by `migrate set`, before what the command line says",
        "paused   until `migrate continue`",
    ];
    assert_eq!(lines(&plan(&limits)), expected);
}
