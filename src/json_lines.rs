//! Files of JSON lines beside a checkpoint: for the operator alone to read (mode 0600), and on the disk before what they tell
//! counts. After a crash the work of the last moments is done again, so a line may be there twice.

use crate::paths::{beside, folder};
use serde::Serialize;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A file of JSON lines. Cheap to clone.
#[derive(Clone, Debug)]
pub struct JsonLines {
    path: Arc<Path>,
    /// Opened when there is something to write.
    file: Arc<Mutex<Option<File>>>,
}

/// The file can't be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write {}: {error}", path.display())]
pub struct JsonLinesError {
    path: PathBuf,
    error: std::io::Error,
}

impl JsonLines {
    /// The file of this name. Nothing is created until there is a line.
    pub fn at(path: &Path) -> JsonLines {
        JsonLines { path: path.into(), file: Arc::default() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// [`set_aside`], after which the next line begins a new file.
    ///
    /// # Errors
    /// Where the folder can't be written.
    pub fn set_aside(&self) -> Result<Option<PathBuf>, JsonLinesError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let aside = set_aside(&self.path)?;
        if aside.is_some() {
            *file = None;
        }
        Ok(aside)
    }

    /// Makes sure that lines can be added, and neither creates nor deletes a file of that name: another process may be about to.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn probe(&self) -> Result<(), JsonLinesError> {
        let fail = |error| JsonLinesError { path: self.path.to_path_buf(), error };
        if is_stream(&self.path) {
            // Whoever reads a pipe takes its closing for the end.
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            *file = Some(open(&self.path).map_err(fail)?);
            return Ok(());
        }
        match OpenOptions::new().append(true).open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // A link may lead to where there is no file yet.
                let led = self.path.read_link().map(|to| folder(&self.path).join(to));
                tempfile::tempfile_in(folder(led.as_deref().unwrap_or(&self.path))).map(drop).map_err(fail)
            }
            opened => opened.map(drop).map_err(fail),
        }
    }

    /// Adds lines, and returns when they are on the disk. Blocks.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn write<T: Serialize>(&self, lines: impl IntoIterator<Item = T>) -> Result<(), JsonLinesError> {
        let fail = |error| JsonLinesError { path: self.path.to_path_buf(), error };
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, &line).map_err(|error| fail(error.into()))?;
            text.push(b'\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &mut *slot {
            Some(file) => file,
            none => none.insert(open(&self.path).map_err(fail)?),
        };
        let written = file.write_all(&text).and_then(|()| sync(file));
        if written.is_err() && !is_stream(&self.path) {
            // A part of a line may be there, which is taken care of when the file is opened. A pipe stays as it is: whoever reads it
            // takes its closing for the end.
            *slot = None;
        }
        written.map_err(fail)
    }
}

/// Moves an earlier file aside, and says where it is now. Nothing is deleted, and what is no file stays: a device, a pipe, and a
/// link (`/dev/stdout` is one), which is somebody else's.
///
/// # Errors
/// Where the folder can't be written.
pub fn set_aside(path: &Path) -> Result<Option<PathBuf>, JsonLinesError> {
    if !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(None);
    }
    let name = |n: u32| beside(path, &format!(".{n}"));
    let aside = (1..=u32::MAX).map(name).find(|name| name.symlink_metadata().is_err()).unwrap_or_default();
    match std::fs::rename(path, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) => Err(JsonLinesError { path: path.to_owned(), error }),
    }
}

/// Whether it is a device or a pipe, which lines only pass.
fn is_stream(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

fn open(path: &Path) -> std::io::Result<File> {
    if is_stream(path) {
        return OpenOptions::new().append(true).open(path);
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.len() == 0 {
        // Its name is to be on the disk, too: a file without one is gone after a power cut.
        sync(&File::open(folder(&path.canonicalize()?))?)?;
    }
    // A link leads to somebody else's file, which stays as it is.
    if path.symlink_metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    // A crash or a full disk may have left half a line; what it was is written again, on a line of its own.
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.read_exact_at(&mut last, file.metadata()?.len() - 1)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

fn sync(file: &File) -> std::io::Result<()> {
    match file.sync_all() {
        // A device has no disk to wait for.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).expect("a file")
    }

    #[test]
    fn lines_are_added_for_the_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = beside(&folder.path().join("migrate.db"), "-lines.jsonl");
        let lines = JsonLines::at(&path);
        lines.write(Vec::<u32>::new()).expect("nothing to write");
        assert!(!path.exists());
        // What a crash has left, of another process.
        std::fs::write(&path, "[\"half").expect("a file");
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("it is ours");
        lines.write(["one", "two"]).expect("written");
        lines.clone().write(["three"]).expect("written");
        JsonLines::at(&path).write([4]).expect("written");
        assert_eq!(read(&path), "[\"half\n\"one\"\n\"two\"\n\"three\"\n4\n");
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_earlier_file_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lines.jsonl");
        assert_eq!(set_aside(&path).expect("nothing to do"), None);
        let lines = JsonLines::at(&path);
        for n in 1..3 {
            lines.clone().write([n]).expect("written");
            let aside = lines.set_aside().expect("renamed").expect("there was one");
            assert_eq!(aside, folder.path().join(format!("lines.jsonl.{n}")));
            assert_eq!(read(&aside), format!("{n}\n"));
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_line_begins_anew_after_one_that_could_not_be_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lines.jsonl");
        std::fs::write(&path, "").expect("a file");
        let lines = JsonLines::at(&path);
        *lines.file.lock().expect("not poisoned") = Some(File::open(&path).expect("to be read only"));
        lines.write(["one"]).expect_err("it can't be written");
        // What a full disk has taken of it.
        std::fs::write(&path, "\"o").expect("there is space");
        lines.write(["two"]).expect("written");
        assert_eq!(read(&path), "\"o\n\"two\"\n");
    }

    #[test]
    fn a_device_is_left_as_it_is() {
        let null = Path::new("/dev/null");
        let before = null.metadata().expect("there").permissions().mode();
        assert_eq!(set_aside(null).expect("nothing to do"), None);
        JsonLines::at(null).write([1]).expect("written");
        assert_eq!(null.metadata().expect("there").permissions().mode(), before);
    }

    #[test]
    fn a_link_stays_and_a_pipe_is_read_until_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, link, pipe] = ["file", "link", "pipe"].map(|name| folder.path().join(name));
        std::fs::write(&file, "{}\n").expect("written");
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("it is ours");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        let lines = JsonLines::at(&link);
        lines.probe().expect("can be written");
        assert_eq!(lines.set_aside().expect("nothing to do"), None);
        lines.write([1]).expect("written");
        assert_eq!(read(&file), "{}\n1\n");
        assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o644);

        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("made");
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || read(&pipe)
        });
        let lines = JsonLines::at(&pipe);
        lines.probe().expect("can be written");
        assert_eq!(lines.set_aside().expect("nothing to do"), None);
        lines.write([1]).expect("written");
        lines.write([2]).expect("written");
        drop(lines);
        assert_eq!(reader.join().expect("read"), "1\n2\n");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let lines = JsonLines::at(Path::new("/nonexistent/lines.jsonl"));
        for error in [lines.write([1]).expect_err("no folder"), lines.probe().expect_err("no folder")] {
            assert!(error.to_string().starts_with("failed to write /nonexistent/lines.jsonl: No such file"), "{error}");
        }
    }

    #[test]
    fn a_probe_leaves_nothing_and_takes_nothing_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("lines.jsonl"), folder.path().join("link"));
        std::os::unix::fs::symlink("lines.jsonl", &link).expect("a link");
        for path in [&path, &link] {
            JsonLines::at(path).probe().expect("could be written");
        }
        assert!(!path.exists());
        // Others look while there is no file, and go on while one comes to be.
        let rounds: u32 = 2000;
        std::thread::scope(|scope| {
            let probes = scope.spawn(|| (0..rounds).for_each(|_| JsonLines::at(&path).probe().expect("as before")));
            while !probes.is_finished() {
                JsonLines::at(&path).write([1]).expect("written");
                std::thread::yield_now();
                assert_eq!(read(&path), "1\n");
                std::fs::remove_file(&path).expect("still there");
            }
        });
    }
}
