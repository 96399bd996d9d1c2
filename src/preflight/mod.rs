//! Everything that can be known before the first row: are both sides there, apart, and fit for each other; which tables are
//! meant; of each, may we read and write it, and does every column arrive exactly. Nothing is written.

mod error;
mod guard;
mod pair;
mod table;

pub use error::PreflightError;
pub use guard::{Findings, TableGuard};

use crate::cluster::changes::Truncations;
use crate::cluster::{self, Cluster, CqlSource, CqlTarget};
use crate::event::{Event, Events};
use crate::job::{Admitted, JobTable};
use crate::row::Layout;
use crate::schema::Table;
use crate::schema::fidelity::Fidelity;
use crate::schema::order::RowOrder;
use crate::schema::read::read_names;
use crate::select::{self, Catalogue};
use crate::settings::selection::Selection;
use crate::settings::{Patience, Settings};
use crate::side::Side;
use crate::table_options;
use futures::StreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Before the first row, an operator waits.
const PATIENCE: Patience = Patience::of(Duration::from_secs(5));
/// Tables that are looked at at the same time.
pub(crate) const AT_ONCE: usize = 8;

/// Both clusters, connected and fit for a copy.
#[derive(Debug)]
pub struct Sides {
    /// The cluster to read.
    pub source: Cluster,
    /// The cluster to write.
    pub target: Cluster,
}

/// What there is to copy, or to compare.
#[derive(Debug)]
pub struct Looked<R = ReadyTable> {
    /// The tables, by their number in the job.
    pub tables: Vec<Candidate<R>>,
    /// What was left out of the job, and why: a sentence each.
    pub notes: Vec<String>,
    /// [`select::Selected::misfits`]: the job isn't complete without them.
    pub misfits: Vec<String>,
}

/// A table of the job.
#[derive(Debug)]
pub struct Candidate<R = ReadyTable> {
    /// As the checkpoint is to have it.
    pub table: JobTable,
    /// Whether it can be copied, or compared, in this run.
    pub verdict: Result<Box<R>, PreflightError>,
}

/// A table of which all is known that a run needs.
pub trait Ready {
    /// As the source describes it.
    fn source(&self) -> &Table;
    /// As the target describes it.
    fn target(&self) -> &Table;
    /// What stands where in a row of the source.
    fn layout(&self) -> &Layout;
    /// Reads the source.
    fn reader(&self) -> &CqlSource;
}

/// A table that can be copied exactly.
#[derive(Debug)]
pub struct ReadyTable {
    /// As the source describes it.
    pub source: Table,
    /// As the target describes it.
    pub target: Table,
    /// Reads it.
    pub reader: CqlSource,
    /// Writes it.
    pub writer: CqlTarget,
    /// What stands where in a row of it.
    pub layout: Arc<Layout>,
    /// What is kept of each column.
    pub fidelity: Vec<Fidelity>,
}

/// A table that can be compared.
#[derive(Debug)]
pub struct ReadyPair {
    /// As the source describes it.
    pub source: Table,
    /// As the target describes it.
    pub target: Table,
    /// Reads the source.
    pub source_reader: CqlSource,
    /// Reads the target.
    pub target_reader: CqlSource,
    /// What stands where in a row of the source.
    pub source_layout: Arc<Layout>,
    /// What stands where in a row of the target.
    pub target_layout: Arc<Layout>,
    /// The order of its rows.
    pub order: RowOrder,
    /// Writes the target, where it is to be mended.
    pub writer: Option<CqlTarget>,
}

impl Ready for ReadyTable {
    fn source(&self) -> &Table {
        &self.source
    }

    fn target(&self) -> &Table {
        &self.target
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn reader(&self) -> &CqlSource {
        &self.reader
    }
}

impl Ready for ReadyPair {
    fn source(&self) -> &Table {
        &self.source
    }

    fn target(&self) -> &Table {
        &self.target
    }

    fn layout(&self) -> &Layout {
        &self.source_layout
    }

    fn reader(&self) -> &CqlSource {
        &self.source_reader
    }
}

/// Connects to both sides.
///
/// # Errors
/// The first thing that stands in the way of copying anything.
pub async fn connect(settings: &Settings, events: &Events) -> Result<Sides, PreflightError> {
    let (of_source, of_target) = (settings.selection.source_keyspaces(), settings.selection.target_keyspaces());
    let (source, target) = tokio::join!(
        cluster::connect(Side::Source, &settings.source, &of_source),
        cluster::connect(Side::Target, &settings.target, &of_target),
    );
    let (source, target) = (source?, target?);
    for side in settings.insecure_sides() {
        let message =
            format!("the {side}'s certificate isn't checked (tls=insecure): anybody in between can read along");
        events.emit(Event::Warning { message });
    }
    for cluster in [&source, &target] {
        events.emit(connected(cluster));
        if cluster.info.partitioner != "Murmur3Partitioner" {
            let partitioner = cluster.info.partitioner.clone();
            return Err(PreflightError::Partitioner { side: cluster.side, partitioner });
        }
    }
    if source.info.host_ids.iter().any(|id| target.info.host_ids.contains(id)) {
        return Err(PreflightError::SameCluster { name: source.info.name });
    }
    Ok(Sides { source, target })
}

/// Finds the tables that are meant and looks at each of them. `known` are those that the job has already.
///
/// # Errors
/// Where the selection comes to nothing. A table that can't be copied is no error: its verdict says why.
pub async fn look(
    sides: &Sides,
    settings: &Settings,
    known: Vec<JobTable>,
    events: &Events,
) -> Result<Looked, PreflightError> {
    // Before a row is written: what is truncated later takes rows of ours.
    let truncations = truncations(&sides.target, events).await;
    let look = async |table: &JobTable| table::look(sides, table, &truncations, settings, events).await;
    let looked = look_with(sides, settings, known, &truncations, look, events).await?;
    let targets = looked.tables.iter().filter(|candidate| candidate.verdict.is_ok());
    let targets = targets.map(|candidate| &candidate.table.target);
    table_options::warn(&sides.target, targets, settings.manage_table_options, events).await;
    Ok(looked)
}

/// Finds the tables that are meant and looks whether each can be compared; and mended, where `mends` says so.
///
/// # Errors
/// Where the selection comes to nothing.
pub async fn look_at_pairs(
    sides: &Sides,
    settings: &Settings,
    known: Vec<JobTable>,
    mends: bool,
    events: &Events,
) -> Result<Looked<ReadyPair>, PreflightError> {
    let truncations = truncations(&sides.target, events).await;
    let look = async |table: &JobTable| pair::look(sides, table, mends, settings, events).await;
    look_with(sides, settings, known, &truncations, look, events).await
}

async fn look_with<R: Ready>(
    sides: &Sides,
    settings: &Settings,
    known: Vec<JobTable>,
    truncations: &[Truncations],
    look: impl AsyncFn(&JobTable) -> Result<R, PreflightError>,
    events: &Events,
) -> Result<Looked<R>, PreflightError> {
    let catalogue = catalogue(sides, &settings.selection, events).await?;
    let select::Selected { tables, notes, misfits } = select::select(&settings.selection, &catalogue, known)?;
    let look = &look;
    let looks = tables.into_iter().map(|table| async move {
        let verdict = Box::pin(look(&table)).await;
        Candidate::new(table, verdict, truncations)
    });
    let tables: Vec<Candidate<R>> = futures::stream::iter(looks).buffered(AT_ONCE).collect().await;
    Ok(Looked { tables, notes, misfits })
}

/// Asks the source for the names of tables and views.
async fn catalogue(sides: &Sides, selection: &Selection, events: &Events) -> Result<Catalogue, PreflightError> {
    let mut catalogue = Catalogue::default();
    for keyspace in selection.source_keyspaces().into_iter().collect::<BTreeSet<_>>() {
        let read = || read_names(&sides.source, &keyspace);
        let names = table::patiently(&sides.source, PATIENCE, events, read).await;
        let names = names.map_err(|error| PreflightError::Names { keyspace: keyspace.clone(), error })?;
        catalogue.tables.extend(names.tables);
        catalogue.views.extend(names.views);
    }
    Ok(catalogue)
}

impl<R> Looked<R> {
    /// The same, where something can be done about at least one table.
    ///
    /// # Errors
    /// Why it can't about the first one, where it can about none.
    pub fn any_ready(mut self) -> Result<Looked<R>, PreflightError> {
        if self.tables.iter().any(|candidate| candidate.verdict.is_ok()) {
            return Ok(self);
        }
        let first = self.tables.drain(..).find_map(|candidate| candidate.verdict.err());
        first.map_or(Ok(self), Err)
    }
}

impl Looked {
    /// Whether there is something to tell of a table's columns: it is ready, or refused for some of them.
    pub fn tells_columns(&self) -> bool {
        self.tables.iter().any(|candidate| !candidate.fidelity().is_empty())
    }
}

/// What the target's nodes say of truncations, as far as they do: it is remembered of tables that the job takes in.
async fn truncations(target: &Cluster, events: &Events) -> Vec<Truncations> {
    match table::patiently(target, PATIENCE, events, || target.all_truncations()).await {
        Ok(truncations) => truncations,
        Err(error) => {
            let what = "the target doesn't tell when a table is truncated, so that isn't noticed";
            events.emit(Event::Note { message: format!("{what}: {error}") });
            Vec::new()
        }
    }
}

impl Candidate {
    /// What is kept of each column, where that is known.
    pub fn fidelity(&self) -> &[Fidelity] {
        match &self.verdict {
            Ok(ready) => &ready.fidelity,
            Err(PreflightError::Inexact { columns, .. }) => columns,
            Err(_) => &[],
        }
    }
}

impl<R: Ready> Candidate<R> {
    fn new(mut table: JobTable, verdict: Result<R, PreflightError>, truncations: &[Truncations]) -> Candidate<R> {
        // A table that was truncated can be compared; what was copied of it is gone all the same.
        let truncated = table.admitted.as_ref();
        let truncated = truncated.and_then(|known| table::untruncated(&table.target, known, truncations).err());
        table.broken = verdict.as_ref().err().or(truncated.as_ref()).map(ToString::to_string);
        if let Ok(ready) = &verdict {
            let (source, target) = (ready.source(), ready.target());
            let mut target_truncations = Truncations::of_table(truncations, target.id);
            // What was known stays; a node that wasn't asked now may be the next time.
            target_truncations.extend(table.admitted.take().map(|known| known.target_truncations).unwrap_or_default());
            table.admitted = Some(Admitted {
                source_id: source.id,
                target_id: target.id,
                columns: source.description(),
                source_readded: source.readded_description(),
                target_truncations,
            });
        }
        Candidate { table, verdict: verdict.map(Box::new) }
    }
}

fn connected(cluster: &Cluster) -> Event {
    let info = &cluster.info;
    Event::Connected {
        side: cluster.side,
        product: info.product.name(),
        version: info.version.clone(),
        cluster: info.name.clone(),
        datacenter: info.datacenter.clone(),
        nodes: info.host_ids.len(),
    }
}
