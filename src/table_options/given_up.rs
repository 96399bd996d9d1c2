//! What a job leaves behind that is begun anew before it was done: its file is set aside, so nobody else will set back what it
//! had set.

use super::manage::{alter, read};
use crate::checkpoint::options::{ManagedOption, Owed};
use crate::cluster::Cluster;
use crate::event::{Event, Events};
use crate::job::JobTable;

/// Takes over what the new job will have copied too, under its numbers of the tables, and sets back the rest now. What a table
/// has now isn't its own value. `tables` are those of the new job.
///
/// To be called as long as the earlier job's file has its name: whoever is killed meanwhile finds the same again.
pub async fn take_over(target: &Cluster, owed: Vec<Owed>, tables: &[JobTable], events: &Events) -> Vec<ManagedOption> {
    let mut taken = Vec::new();
    for owed in owed {
        let is_here = owed.cluster == target.info.name;
        match tables.iter().position(|table| is_here && table.target == owed.table) {
            Some(table) => taken.push(ManagedOption { table, ..owed.option }),
            None if is_here => events.emit(give_back(target, &owed).await),
            None => {
                let why = format!("it is at the cluster `{}`", owed.cluster);
                events.emit(Event::Warning { message: by_hand(&owed, &why) });
            }
        }
    }
    taken
}

/// Sets an option back, and says what became of it. A job that is given up must not keep a new one from being begun.
async fn give_back(target: &Cluster, owed: &Owed) -> Event {
    let Owed { table, option: ManagedOption { name, old, .. }, .. } = owed;
    let guard = match read(target, table).await {
        Ok(guard) => guard,
        Err(error) => return Event::Warning { message: by_hand(owed, &error.to_string()) },
    };
    let note = |what: &str| Event::Note { message: format!("{what}, as the earlier job is given up") };
    match guard {
        None => note(&format!("{name} of {table} isn't set back to {old}: the target has no such table any more")),
        Some(guard) if guard.value.as_ref() == Some(old) => note(&format!("{table} at the target has {name} = {old}")),
        Some(guard) if guard.is_managed() => match alter(target, table, name, old).await {
            Ok(()) => note(&format!("{table} at the target has {name} = {old} again")),
            Err(error) => Event::Warning { message: by_hand(owed, &error.to_string()) },
        },
        Some(_) => Event::Warning { message: by_hand(owed, "somebody else has changed it") },
    }
}

fn by_hand(owed: &Owed, why: &str) -> String {
    let Owed { table, option: ManagedOption { name, old, .. }, .. } = owed;
    format!(
        "an earlier job had altered {name} of {table}, and it isn't set back: {why}. To do it by hand: ALTER TABLE {} WITH \
         {name} = {old};",
        table.cql()
    )
}
