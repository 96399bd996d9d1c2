//! Writes on a thread of its own, so that nobody waits for whoever reads: a pipe that is never emptied, a terminal that is
//! held, a log on a full disk must not hold up a copy.
//!
//! Up to [`BACKLOG`] bytes wait for the reader. What comes beyond that, or can't be written, is lost; once something
//! gets through again, a notice in front of it says how much.

use std::io::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// How many bytes wait for a reader at most: more than any burst of a copy that is well.
const BACKLOG: usize = 16 << 20;

/// stderr.
pub(super) static STDERR: LazyLock<Out> = LazyLock::new(|| {
    Out::to(std::io::stderr(), |lost| format!("({lost} messages are missing here: they couldn't be written in time)\n"))
});

/// A place to write to. Texts appear there whole and in order, or not at all.
#[derive(Debug)]
pub(super) struct Out {
    texts: Sender<Text>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes that wait.
    waiting: AtomicUsize,
    /// Texts that were lost, and not told of.
    lost: AtomicU64,
}

enum Text {
    Write(String),
    /// Dropped when all before it is written.
    Flush(#[expect(dead_code, reason = "its end is what tells")] Sender<()>),
}

impl Out {
    /// Starts to write to `sink`; `notice` says how many texts were lost.
    pub(super) fn to(mut sink: impl Write + Send + 'static, notice: fn(u64) -> String) -> Out {
        let (texts, inbox) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        std::thread::spawn(move || {
            for text in inbox {
                let Text::Write(text) = text else { continue };
                let lost = writer.lost.load(Ordering::Relaxed);
                let told = if lost == 0 { String::new() } else { notice(lost) };
                match sink
                    .write_all(told.as_bytes())
                    .and_then(|()| sink.write_all(text.as_bytes()))
                    .and_then(|()| sink.flush())
                {
                    Ok(()) => drop(writer.lost.fetch_sub(lost, Ordering::Relaxed)),
                    Err(_) => drop(writer.lost.fetch_add(1, Ordering::Relaxed)),
                }
                writer.waiting.fetch_sub(text.len(), Ordering::Relaxed);
            }
        });
        Out { texts, shared }
    }

    /// Writes `text` when its turn comes.
    pub(super) fn write(&self, text: String) {
        if self.shared.waiting.load(Ordering::Relaxed) > BACKLOG {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            self.write_surely(text);
        }
    }

    /// The same for a text that mustn't be lost, whatever waits before it.
    pub(super) fn write_surely(&self, text: String) {
        self.shared.waiting.fetch_add(text.len(), Ordering::Relaxed);
        let _ = self.texts.send(Text::Write(text));
    }

    /// Waits until everything is written, for as long as `patience` at most.
    pub(super) fn flush(&self, patience: Duration) {
        let (done, wait) = mpsc::channel();
        if self.texts.send(Text::Flush(done)).is_ok() {
            // Nobody sends anything: the other end is dropped.
            let _ = wait.recv_timeout(patience);
        }
    }
}

/// stderr for libraries that write by themselves: the driver's log.
pub(super) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        STDERR.write(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A reader that reads nothing until it is let.
    #[derive(Clone, Default)]
    struct Held {
        gate: Arc<Mutex<()>>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Held {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _open = self.gate.lock().expect("not poisoned");
            self.read.lock().expect("not poisoned").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_and_what_is_lost_is_told() {
        let held = Held::default();
        let out = Out::to(held.clone(), |lost| format!("{lost} lost\n"));
        let shut = held.gate.lock().expect("not poisoned");
        let large = "x".repeat(BACKLOG / 4);
        for _ in 0..8 {
            out.write(large.clone());
        }
        out.write_surely("last\n".to_owned());
        out.flush(Duration::from_millis(20));
        assert!(held.read.lock().expect("not poisoned").is_empty(), "flush gives up");
        drop(shut);
        out.flush(Duration::MAX);
        let read = String::from_utf8(held.read.lock().expect("not poisoned").clone()).expect("text");
        assert_eq!(read.replace(&large, "large "), "large 3 lost\nlarge large large large last\n");
    }

    #[test]
    fn a_closed_reader_harms_nobody() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let out = Out::to(Closed, |_| String::new());
        for _ in 0..3 {
            out.write("text".to_owned());
        }
        out.flush(Duration::MAX);
        let lost = out.shared.lost.load(Ordering::Relaxed);
        assert_eq!((lost, out.shared.waiting.load(Ordering::Relaxed)), (3, 0));
    }
}
