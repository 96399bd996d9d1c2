//! Creates at the target what it lacks. What exists is compared, never touched.

use super::Section;
use super::script::{Found, Kind, Object, Script};
use crate::call::{CallError, Class};
use crate::cluster::Cluster;
use crate::schema::statements::quote;

/// What became of an object.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It was created, and all nodes know it.
    Created,
    /// It was there.
    Same,
    /// Another one is there under its name: each difference.
    Differs(&'a [String]),
    /// The target can't have it: why.
    LeftOut(&'a [String]),
}

/// An object that could not be created. Those before it were.
#[derive(Debug, thiserror::Error)]
#[error("failed to create the {kind} {name} at the target: {error}", kind = kind.words())]
pub struct ApplyError {
    /// What it is.
    pub kind: Kind,
    /// Its name as CQL text.
    pub name: String,
    /// Why.
    pub error: CallError,
    grant: String,
}

impl ApplyError {
    /// The next thing to type.
    pub fn hint(&self) -> Option<String> {
        match self.error.class {
            Class::Unauthorized => Some(format!("let an administrator run: {}", self.grant)),
            Class::Rejected => None,
            _ => Some("run the same line again: what was created is only compared".to_owned()),
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        if self.error.class == Class::Unauthorized || self.error.class.is_trouble() { 6 } else { 1 }
    }
}

/// Creates what the target lacks of `section`, in order, and reports each object as soon as it is settled. Returns how many
/// differ.
///
/// # Errors
/// The first object that can't be created.
pub async fn apply(
    target: &Cluster,
    script: &Script,
    section: Section,
    mut report: impl FnMut(&Object, &Outcome<'_>),
) -> Result<usize, ApplyError> {
    let mut differing = 0;
    for object in script.objects.iter().filter(|object| object.section == section) {
        let outcome = match (&object.statement, &object.found) {
            (None, _) => Outcome::LeftOut(&object.notes),
            (_, Some(Found::Same)) => Outcome::Same,
            (_, Some(Found::Differs(differences))) => {
                differing += 1;
                Outcome::Differs(differences)
            }
            (Some(statement), None) => {
                target.change(statement).await.map_err(|error| failed(target, object, error))?;
                Outcome::Created
            }
        };
        report(object, &outcome);
    }
    Ok(differing)
}

fn failed(target: &Cluster, object: &Object, error: CallError) -> ApplyError {
    let role = quote(target.user.as_deref().unwrap_or("anonymous"));
    let grant = match (object.kind, &object.base) {
        (Kind::Keyspace, _) => format!("GRANT CREATE ON ALL KEYSPACES TO {role};"),
        (_, Some(base)) => format!("GRANT ALTER ON TABLE {} TO {role};", base.cql()),
        (_, None) => format!("GRANT CREATE ON KEYSPACE {} TO {role};", quote(&object.keyspace)),
    };
    ApplyError { kind: object.kind, name: object.name.clone(), error, grant }
}
