//! Work that waits for a disk.

/// Does `work` on a thread that may be held up, out of the way of everything else; a panic of it is passed on.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    #[cfg(test)]
    if let Some(wait) = inline::WAIT.get() {
        // The caller may be gone before the work takes effect, or before it hears of it.
        wait().await;
        let done = work();
        wait().await;
        return done;
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// For tests in which the same seed is to bring the same order of everything: another thread is on nobody's schedule.
#[cfg(test)]
pub(crate) mod inline {
    use std::cell::Cell;
    use std::future::Future;
    use std::pin::Pin;

    type Wait = fn() -> Pin<Box<dyn Future<Output = ()> + Send>>;

    thread_local! {
        /// Where it is set, work is done on the caller's own thread, after one such wait and before another.
        pub(crate) static WAIT: Cell<Option<Wait>> = const { Cell::new(None) };
    }
}
