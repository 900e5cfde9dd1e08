//! `coalmine lsp`: the language server protocol over the library. This folder alone names LSP types; what an
//! object, a finding or a name means is asked of the library.
//!
//! One thread takes messages in order and lints when there is none left. While it lints it looks, between two
//! rules, for an edit that has come meanwhile: what would be out of date is given up, unless the client has gone
//! without findings for a while. So there are no locks, and a request is always answered from the texts that the
//! client has sent before it.

mod actions;
mod convert;
mod features;
mod server;
mod stdio;
mod workspace;

use super::Exit;
use super::args::Common;
use anyhow::Result;

/// Arguments of `coalmine lsp`.
#[derive(clap::Args, Debug)]
pub(crate) struct LspArgs {
    /// Accepted and ignored: standard input and output are the only channel
    #[arg(long, hide = true)]
    pub stdio: bool,
}

/// Serves one client until it says `exit` or goes away.
///
/// # Errors
/// A mesh configuration or settings file of the command line that cannot be read, and a client that does not
/// speak the protocol.
pub(crate) fn run(_: &LspArgs, common: &Common) -> Result<Exit> {
    let (connection, stdio) = stdio::connect()?;
    let served = server::serve(&connection, common);
    // That the connection is closed is a consequence.
    stdio.failure()?;
    let clean = served?;
    // The threads end once nobody can send any more.
    drop(connection);
    stdio.join()?;
    Ok(if clean { Exit::Clean } else { Exit::Findings })
}
