//! The statements of a schema as a file for `cqlsh`, and what became of each.

use super::text::{lines, safe, to_stderr, to_stdout};
use crate::cluster::ClusterInfo;
use crate::schema::ddl::{Dialect, Found, Object, Outcome, Script, Section};
use crate::side::Side;
use std::fmt::Write;
use std::io::IsTerminal;

/// Prints the statements of `section`, or of both.
///
/// # Errors
/// Where stdout is broken; one that is closed has read enough.
pub fn print(script: &Script, source: &ClusterInfo, dialect: Dialect, section: Option<Section>) -> std::io::Result<()> {
    let text = text(script, source, dialect, section);
    // A name may hold anything: exact for a file, harmless for a terminal.
    let text = if std::io::stdout().is_terminal() { lines(&text) } else { text };
    match to_stdout(&text) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Says what became of an object.
pub fn report(object: &Object, outcome: &Outcome<'_>) {
    let lines = |of: &[String]| of.iter().map(|line| safe(line)).collect();
    let (word, details): (&str, Vec<String>) = match outcome {
        Outcome::Created => ("created", lines(&object.notes)),
        Outcome::Same => ("same", Vec::new()),
        Outcome::Differs(differences) => ("differs", lines(differences)),
        Outcome::LeftOut(why) => ("left out", lines(why)),
        Outcome::Refused(why) => ("refused", vec![safe(why)]),
        Outcome::Waits(name) => ("not tried", vec![format!("{} isn't there as it should be", safe(name))]),
    };
    let mut text = format!("{word:<9} {} {}\n", object.kind.words(), safe(&object.name));
    for detail in details {
        let _ = writeln!(text, "          {detail}");
    }
    // What was created stays created, whether anybody reads of it or not.
    let _ = to_stdout(&text);
}

/// Says that a side's certificate isn't checked.
pub fn warn_insecure(side: Side) {
    to_stderr(&format!(
        "warning: the {side}'s certificate isn't checked (tls=insecure): anybody in between can read along\n"
    ));
}

fn text(script: &Script, source: &ClusterInfo, dialect: Dialect, only: Option<Section>) -> String {
    let mut text = String::new();
    comment(
        &mut text,
        &format!(
            "The schema of {} {}, cluster `{}`, for {}. Made by migrate {}.",
            source.product.name(),
            source.version,
            source.name,
            dialect.product().name(),
            env!("CARGO_PKG_VERSION")
        ),
    );
    for section in [Section::Before, Section::After] {
        if only.is_some_and(|only| only != section) {
            continue;
        }
        text.push('\n');
        comment(
            &mut text,
            match section {
                Section::Before => "To run before the copy: keyspaces, types, tables.",
                Section::After => "To run after the copy: indexes, materialized views, triggers.",
            },
        );
        for object in script.objects.iter().filter(|object| object.section == section) {
            text.push('\n');
            write_object(&mut text, object);
        }
    }
    text
}

fn write_object(text: &mut String, object: &Object) {
    let Some(statement) = &object.statement else {
        comment(text, &format!("left out: the {} {}: {}", object.kind.words(), object.name, object.notes.join("; ")));
        return;
    };
    match &object.found {
        Some(Found::Same) => comment(text, "exists at the target: same"),
        Some(Found::Differs(differences)) => {
            comment(text, "exists at the target: differs");
            for difference in differences {
                comment(text, &format!("  {difference}"));
            }
        }
        None => {}
    }
    for note in &object.notes {
        comment(text, note);
    }
    text.push_str(statement);
    text.push_str(";\n");
}

/// A comment on one line, whatever is in it: a line break would end it and begin a statement.
fn comment(text: &mut String, what: &str) {
    let _ = writeln!(text, "-- {}", safe(what));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ddl::Kind;

    #[test]
    fn no_name_gets_out_of_a_comment() {
        let evil = "\"a\nDROP KEYSPACE k; \r--\"";
        let object = |statement: Option<&str>, found| Object {
            kind: Kind::Index,
            keyspace: "ks".to_owned(),
            base: None,
            name: evil.to_owned(),
            needs: Vec::new(),
            section: Section::After,
            statement: statement.map(str::to_owned),
            notes: vec![evil.to_owned()],
            found,
        };
        let differs = Some(Found::Differs(vec![evil.to_owned()]));
        for object in [object(None, None), object(Some("CREATE"), differs), object(Some("CREATE"), Some(Found::Same))] {
            let mut text = String::new();
            write_object(&mut text, &object);
            assert!(text.lines().all(|line| line.starts_with("-- ") || line == "CREATE;"), "{text}");
            assert!(!text.contains('\r'), "{text}");
        }
    }
}
