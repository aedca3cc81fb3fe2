//! While a demo runs, `outboard -c demo` reaches it from any other terminal.

use outboard_client::Context;
use outboard_net::ClusterId;
use std::path::PathBuf;

const NAME: &str = "demo";

/// The file, removed with this value if it is still ours.
pub(super) struct DemoContext {
    path: PathBuf,
    cluster: ClusterId,
}

impl DemoContext {
    /// A demo does without it where the config folder can't be written.
    pub(super) fn publish(context: &Context) -> Option<DemoContext> {
        let written = Context::path_of(NAME).and_then(|path| context.save(&path).map(|()| path));
        match written {
            Ok(path) => Some(DemoContext { path, cluster: context.cluster }),
            Err(error) => {
                eprintln!("`outboard -c {NAME}` will not work: {error}");
                None
            }
        }
    }
}

impl Drop for DemoContext {
    fn drop(&mut self) {
        // A demo that was started later has written its own.
        if Context::load_file(&self.path).is_ok_and(|context| context.cluster == self.cluster) {
            std::fs::remove_file(&self.path).unwrap_or_default();
        }
    }
}
