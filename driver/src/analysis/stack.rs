//! Room for recursion: plans nest as deep as a user's program chains calls, and resolving and planning them recurse.

use std::thread::{Builder, scope};

use pyrite_engine::error::{ExceptionKind, SparkError};

/// The stack of a thread that resolves or plans. Reserved, not used: only what recursion touches becomes memory.
const STACK_BYTES: usize = 256 << 20;

/// Runs `work` on a thread of its own with a deep stack, and waits for it. A panic goes on in the caller.
///
/// # Errors
/// What `work` gives; `INTERNAL_ERROR` when there is no thread to be had.
pub(super) fn on_deep_stack<T: Send>(work: impl FnOnce() -> Result<T, SparkError> + Send) -> Result<T, SparkError> {
    scope(|scope| {
        let thread = Builder::new().name("analysis".to_owned()).stack_size(STACK_BYTES).spawn_scoped(scope, work);
        match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(error) => Err(SparkError::new(
                ExceptionKind::Runtime,
                "INTERNAL_ERROR",
                "XX000",
                format!("no thread for the analysis of a query: {error}"),
            )),
        }
    })
}
