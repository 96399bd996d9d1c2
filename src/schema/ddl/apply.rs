//! Creates at the target what it lacks. What exists is compared, never touched.

use super::Section;
use super::script::{Found, Kind, Object, Script};
use crate::call::{CallError, Class};
use crate::cluster::Cluster;
use crate::schema::statements::quote;
use std::collections::BTreeSet;

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
    /// The target refused it: its words.
    Refused(&'a str),
    /// It wasn't tried, as it needs this, which is missing or another one at the target.
    Waits(&'a str),
}

/// What creating came to: how many objects are not as they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Another one is at the target.
    pub differing: usize,
    /// None is at the target.
    pub missing: usize,
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
            _ => Some("run the same line again: what was created is only compared".to_owned()),
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        if self.error.class == Class::Unauthorized || self.error.class.is_trouble() { 6 } else { 1 }
    }
}

/// Creates what the target lacks of `section`, in order, and reports each object as soon as it is settled. What the target
/// refuses doesn't keep the others, but for those that need it: a table of a type that differs would be another table.
///
/// # Errors
/// The first object that can't be created for another reason than itself.
pub async fn apply(
    target: &Cluster,
    script: &Script,
    section: Section,
    mut report: impl FnMut(&Object, &Outcome<'_>),
) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    let mut unusable: BTreeSet<&str> = BTreeSet::new();
    for object in script.objects.iter().filter(|object| object.section == section) {
        let refused;
        let lacking = object.needs.iter().find(|name| unusable.contains(name.as_str()));
        let outcome = match (&object.statement, &object.found, lacking) {
            (None, _, _) => Outcome::LeftOut(&object.notes),
            (_, Some(Found::Same), _) => Outcome::Same,
            (_, Some(Found::Differs(differences)), _) => Outcome::Differs(differences),
            (Some(_), None, Some(name)) => Outcome::Waits(name),
            (Some(statement), None, None) => match target.change(statement).await {
                Ok(()) => Outcome::Created,
                Err(error) if error.class == Class::Rejected => {
                    refused = error.to_string();
                    Outcome::Refused(&refused)
                }
                Err(error) => return Err(failed(target, object, error)),
            },
        };
        let is_usable = match outcome {
            Outcome::Created | Outcome::Same => true,
            Outcome::Differs(_) => {
                applied.differing += 1;
                // The options of another keyspace do no harm to what is in it.
                object.kind == Kind::Keyspace
            }
            Outcome::LeftOut(_) | Outcome::Refused(_) | Outcome::Waits(_) => {
                applied.missing += 1;
                false
            }
        };
        if !is_usable {
            unusable.insert(&object.name);
        }
        report(object, &outcome);
    }
    Ok(applied)
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
