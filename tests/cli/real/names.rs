//! Names are anybody's bytes: what could drive a terminal is spelled out.

use crate::lab::{Lab, SOURCE, TARGET};

/// An escape sequence, a line break, a quote, a mark that turns the direction of writing.
const NAME: &str = "\x1b[31mred\nerror:\"fake\u{202e}";

fn quoted() -> String {
    format!("\"{}\"", NAME.replace('"', "\"\""))
}

#[test]
fn a_column_with_an_evil_name_is_shown_spelled_out() {
    let Some(lab) = Lab::new("evil_plan") else { return };
    lab.create(&[&lab.source, &lab.target], "t", &format!("id int PRIMARY KEY, {} int", quoted()));
    let table = lab.table("t");
    let tool = lab.tool();
    let job = ["--source", SOURCE, "--target", TARGET, "--table", &table];
    let call = [&["plan"], &job[..]].concat();
    for answer in [tool.run(&call), tool.on_terminal(&[("NO_COLOR", "1")], &call)] {
        assert!(!answer.expect(0).out.contains(['\x1b', '\u{202e}']), "{answer:?}");
        assert!(answer.out.contains(r#"\u{1b}[31mred\u{a}error:"fake\u{202e}"#), "{answer}");
    }
    let json = tool.run(&[&["plan", "--json"], &job[..]].concat());
    assert!(!json.expect(0).out.contains('\x1b'), "{json:?}");
    assert_eq!(json.json()["tables"][0]["columns"][1]["column"], NAME, "data is exact");
    // It is only a name: it can be copied.
    tool.run(&job).expect(0);
}

#[test]
fn a_refusal_with_an_evil_name_is_shown_spelled_out() {
    let Some(lab) = Lab::new("evil_refusal") else { return };
    lab.create(&[&lab.source], "t", &format!("id int PRIMARY KEY, {} int", quoted()));
    lab.create(&[&lab.target], "t", "id int PRIMARY KEY");
    insta::assert_snapshot!(lab.plan(SOURCE, TARGET), @r#"
    exit code 5
    -- stderr
    error: the columns of KS.t at the source and KS.t at the target differ
      \u{1b}[31mred\u{a}error:"fake\u{202e}: int (regular) at the source, missing at the target
    hint: make the target's table like the source's
    "#);
    lab.source.cql(&format!("DROP TABLE {}", lab.table("t")));
    lab.create(&[&lab.source], "t", &format!("id int PRIMARY KEY, {} set<int>", quoted()));
    insta::assert_snapshot!(lab.plan(SOURCE, TARGET), @r#"
    exit code 5
    -- stderr
    error: the columns of KS.t at the source and KS.t at the target differ
      \u{1b}[31mred\u{a}error:"fake\u{202e}: set<int> (regular) at the source, missing at the target
    hint: make the target's table like the source's
    "#);
}

#[test]
fn a_table_with_an_evil_name_is_shown_spelled_out() {
    let Some(lab) = Lab::new("evil_table") else { return };
    let tool = lab.tool();
    let call = ["plan", "--source", SOURCE, "--target", TARGET, "--table", &format!("ks.{}", quoted())];
    for answer in [tool.run(&call), tool.on_terminal(&[("NO_COLOR", "1")], &call)] {
        assert!(!answer.expect(5).to_string().contains(['\x1b', '\u{202e}']), "{answer:?}");
    }
    insta::assert_snapshot!(tool.run(&call), @r#"
    exit code 5
    -- stderr
    error: there is no table ks.\u{1b}[31mred
    error:"fake\u{202e} at the source
    hint: check `--table KEYSPACE.TABLE`: names are taken as they are, upper and lower case apart
    "#);
}
