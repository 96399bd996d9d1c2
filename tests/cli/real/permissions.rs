use crate::lab::{ADMIN, Lab, Node, ROWS, SECURE, SOURCE, TARGET, eventually};

const PASSWORD: &str = "a-password";

#[test]
fn a_role_that_may_not_read_the_source_is_told_the_grant() {
    let Some(mut lab) = Lab::new("no_select") else { return };
    let table = lab.usual();
    let role = lab.role("cli_reader", PASSWORD);
    let tool = lab.tool().hide(&role, "ROLE");
    let url = format!("cassandra://{role}@{SECURE}");
    let call = ["--source", url.as_str(), "--target", TARGET, "--table", &table];
    let environment = [("MIGRATE_SOURCE_PASSWORD", PASSWORD)];
    let answer = tool.run_with(&environment, &call);
    insta::assert_snapshot!(answer, @r#"
    exit code 6
    -- stderr
      source   Apache Cassandra 5.0.6, cluster `secure`, 1 node, datacenter datacenter1
      target   Apache Cassandra 5.0.6, cluster `target`, 1 node, datacenter datacenter1
    error: the role `ROLE` may not read KS.t at the source: User ROLE has no SELECT permission on <table KS.t> or any of its parents
    hint: let an administrator run: GRANT SELECT ON TABLE "KS"."t" TO "ROLE";
    "#);
    let plan = tool.run_with(&environment, &[&["plan"], &call[..]].concat());
    assert!(answer.err.ends_with(&plan.expect(6).err), "{plan}");
    assert_eq!((lab.target.count(&table), tool.listing().len()), (0, 0), "nothing was begun");

    // What it says to type is what it takes.
    let grant = answer.err.split("run: ").nth(1).unwrap().trim().replace("KS", &lab.keyspace).replace("ROLE", &role);
    lab.secure.cql(grant.trim_end_matches(';'));
    eventually(|| tool.run_with(&environment, &call), |answer| answer.code == Some(0));
    assert_eq!(lab.target.count(&table), ROWS);
}

#[test]
fn a_role_that_may_not_write_the_target_is_told_the_grant_and_nothing_is_written() {
    let Some(mut lab) = Lab::new("no_modify") else { return };
    let table = lab.usual();
    lab.secure.cql(&format!("TRUNCATE {table}"));
    let role = lab.role("cli_writer", PASSWORD);
    lab.secure.cql(&format!("GRANT SELECT ON TABLE {table} TO {role}"));
    let tool = lab.tool().hide(&role, "ROLE");
    let url = format!("cassandra://{role}@{SECURE}");
    let call = ["--source", SOURCE, "--target", &url, "--table", &table];
    let environment = [("MIGRATE_TARGET_PASSWORD", PASSWORD)];
    let answer = tool.run_with(&environment, &call);
    insta::assert_snapshot!(answer, @r#"
    exit code 6
    -- stderr
      source   Apache Cassandra 5.0.6, cluster `source`, 1 node, datacenter datacenter1
      target   Apache Cassandra 5.0.6, cluster `secure`, 1 node, datacenter datacenter1
    error: the role `ROLE` may not write KS.t at the target: User ROLE has no MODIFY permission on <table KS.t> or any of its parents
    hint: let an administrator run: GRANT MODIFY ON TABLE "KS"."t" TO "ROLE";
    "#);
    assert_eq!((lab.secure.count(&table), tool.listing().len()), (0, 0), "nothing was begun");

    let grant = answer.err.split("run: ").nth(1).unwrap().trim().replace("KS", &lab.keyspace).replace("ROLE", &role);
    lab.secure.cql(grant.trim_end_matches(';'));
    eventually(|| tool.run_with(&environment, &call), |answer| answer.code == Some(0));
    assert_eq!(lab.secure.count(&table), ROWS);
}

#[test]
fn trying_whether_one_may_write_writes_nothing() {
    let Some(lab) = Lab::new("try_write") else { return };
    let table = lab.usual();
    lab.secure.cql(&format!("TRUNCATE {table}"));
    lab.plan(SOURCE, &format!("cassandra://{ADMIN}@{SECURE}")).expect(0);
    assert_eq!(lab.secure.count(&table), 0);
}

#[test]
fn a_role_that_may_not_alter_is_told_the_grant_before_the_first_row() {
    let Some(mut lab) = Lab::new("no_alter") else { return };
    let table = lab.usual();
    lab.secure.cql(&format!("TRUNCATE {table}"));
    let role = lab.role("cli_alterer", PASSWORD);
    lab.secure.cql(&format!("GRANT SELECT ON TABLE {table} TO {role}"));
    lab.secure.cql(&format!("GRANT MODIFY ON TABLE {table} TO {role}"));
    let tool = lab.tool().hide(&role, "ROLE");
    let url = format!("cassandra://{role}@{SECURE}");
    let call = ["--source", SOURCE, "--target", &url, "--table", &table, "--manage-table-options"];
    let environment = [("MIGRATE_TARGET_PASSWORD", PASSWORD)];
    let answer = eventually(|| tool.run_with(&environment, &call), |answer| answer.err.contains("gc_grace_seconds"));
    let said: Vec<&str> = answer.expect(6).err.lines().rev().take(2).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    hint: let an administrator run: GRANT ALTER ON TABLE "KS"."t" TO "ROLE";
    error: failed to set gc_grace_seconds = 315360000 of KS.t at the target: not permitted: User ROLE has no ALTER permission on <table KS.t> or any of its parents
    "#);
    assert_eq!(lab.secure.count(&table), 0);
    let grant = answer.err.split("run: ").nth(1).unwrap().trim().replace("KS", &lab.keyspace).replace("ROLE", &role);
    lab.secure.cql(grant.trim_end_matches(';'));
    eventually(|| tool.run_with(&environment, &call), |answer| answer.code == Some(0));
    let grace = format!("SELECT gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = '{}'", lab.keyspace);
    assert_eq!(lab.secure.select(&grace).single_row::<(i32,)>().unwrap().0, 864_000);
    assert_eq!(lab.secure.count(&table), ROWS);
}

#[test]
fn a_table_that_may_not_be_altered_does_not_stop_the_others_before_its_rows_or_after() {
    let Some(mut lab) = Lab::new("some_alter") else { return };
    let role = lab.role("cli_some", PASSWORD);
    let grant = |what: &str| lab.secure.cql(&what.replace("ROLE", &role).replace("KS", &lab.keyspace));
    for table in ["a", "b", "c"] {
        lab.create(&[&lab.source, &lab.secure], table, "id int PRIMARY KEY");
        lab.source.cql(&format!("INSERT INTO {} (id) VALUES (1)", lab.table(table)));
    }
    for table in ["b", "c"] {
        grant(&format!("GRANT ALTER ON TABLE KS.{table} TO ROLE"));
    }
    for permission in ["SELECT", "MODIFY"] {
        grant(&format!("GRANT {permission} ON KEYSPACE KS TO ROLE"));
    }
    let graces = || -> Vec<i32> {
        let cql = format!("SELECT gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = '{}'", lab.keyspace);
        let rows = lab.secure.select(&cql);
        rows.rows::<(i32,)>().unwrap().map(|row| row.unwrap().0).collect()
    };
    let tool = lab.tool().hide(&role, "ROLE");
    let url = format!("cassandra://{role}@{SECURE}");
    let pattern = format!("{}.*", lab.keyspace);
    let call = ["--source", SOURCE, "--target", &url, "--table", &pattern, "--manage-table-options"];
    let run = || tool.run_with(&[("MIGRATE_TARGET_PASSWORD", PASSWORD)], &call);
    let answer = eventually(run, |answer| answer.code == Some(3));
    assert!(answer.err.contains("GRANT ALTER ON TABLE \"KS\".\"a\" TO \"ROLE\";"), "{answer}");
    assert!(!answer.err.contains("of KS.b at"), "{answer}");
    assert_eq!((lab.secure.count(&lab.table("a")), lab.secure.count(&lab.table("c"))), (0, 1));
    assert_eq!(graces(), [864_000; 3]);

    // As if a run had ended before they were set back, and the role may not alter the first of them.
    let run_without = || tool.run_with(&[("MIGRATE_TARGET_PASSWORD", PASSWORD)], &call[..6]);
    run_without().expect(0);
    for table in ["a", "c"] {
        lab.secure.cql(&format!("ALTER TABLE {} WITH gc_grace_seconds = 315360000", lab.table(table)));
    }
    let checkpoint = rusqlite::Connection::open(tool.path("migrate.db")).unwrap();
    let owed = "UPDATE managed_option SET state = 'managed' WHERE table_id = 2; INSERT INTO managed_option
                VALUES (0, 'gc_grace_seconds', '864000', '315360000', 'managed')";
    checkpoint.execute_batch(owed).unwrap();
    drop(checkpoint);
    let answer = run_without();
    assert!(answer.expect(3).err.contains("KS.a at the target keeps gc_grace_seconds = 315360000"), "{answer}");
    assert_eq!(graces(), [315_360_000, 864_000, 864_000]);
    grant("GRANT ALTER ON TABLE KS.a TO ROLE");
    eventually(run_without, |answer| answer.code == Some(0));
    assert_eq!(graces(), [864_000; 3]);
}

#[test]
fn a_role_that_may_only_read_the_target_suffices_to_compare_and_not_to_repair() {
    let Some(mut lab) = Lab::new("verify_role") else { return };
    lab.create(&[&lab.source, &lab.secure], "t", "id int PRIMARY KEY, v text");
    let table = lab.table("t");
    let write = |node: &Node, id: i64| {
        node.cql(&format!("INSERT INTO {table} (id, v) VALUES ({id}, 'v') USING TIMESTAMP 1"));
    };
    (0..ROWS).for_each(|id| write(&lab.source, id));
    (0..ROWS - 1).for_each(|id| write(&lab.secure, id));
    let role = lab.role("cli_verifier", PASSWORD);
    lab.secure.cql(&format!("GRANT SELECT ON TABLE {table} TO {role}"));
    let tool = lab.tool().hide(&role, "ROLE");
    let url = format!("cassandra://{role}@{SECURE}");
    let call = ["verify", "--source", SOURCE, "--target", &url, "--table", &table, "--recheck-after", "100ms"];
    let environment = [("MIGRATE_TARGET_PASSWORD", PASSWORD)];
    eventually(|| tool.run_with(&environment, &call), |answer| answer.code == Some(4));

    let repair = [&call[..], &["--repair"]].concat();
    let answer = tool.run_with(&environment, &repair);
    let told = r#"run: GRANT MODIFY ON TABLE "KS"."t" TO "ROLE";"#;
    assert!(answer.expect(6).err.contains(told), "{answer}");
    assert_eq!(lab.secure.count(&table), ROWS - 1);
    lab.secure.cql(&format!("GRANT MODIFY ON TABLE {table} TO {role}"));
    eventually(|| tool.run_with(&environment, &repair), |answer| answer.code == Some(0));
    assert_eq!(lab.secure.count(&table), ROWS);
}
