//! Giving way to the lanes. On Linux; elsewhere nothing is done, and nothing is wrong.

/// From now on this thread, and those it makes, are as nice as that, 0 to 19 (source:
/// setpriority(2), *C library/kernel differences*).
pub fn be_nice(niceness: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, niceness) {
        tracing::warn!(%error, "work beside the lanes is done at their priority");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
}

/// From now on this process ends when the thread that started it does, and is the first
/// that is killed where memory runs out (source: proc(5), `oom_score_adj`).
pub fn serve_the_parent() {
    #[cfg(target_os = "linux")]
    {
        let bound = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        if let Err(error) = bound.map_err(std::io::Error::from).and_then(|()| std::fs::write("/proc/self/oom_score_adj", "1000")) {
            tracing::debug!(%error, "not all of it can be had here");
        }
    }
}
