use crate::lab::{ADMIN, Lab, ROWS, SECURE, SOURCE, TARGET, eventually};

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
    assert_eq!(lab.secure.cql(&grace).into_rows_result().unwrap().single_row::<(i32,)>().unwrap().0, 864_000);
    assert_eq!(lab.secure.count(&table), ROWS);
}
