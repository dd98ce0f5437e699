//! `storegate completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::output;

/// Print a completion script
#[derive(Debug, clap::Args)]
#[command(
    after_help = "bash: storegate completions bash > /usr/share/bash-completion/completions/storegate\n\
    zsh:  storegate completions zsh > /usr/local/share/zsh/site-functions/_storegate\n\
    fish: storegate completions fish > /usr/share/fish/vendor_completions.d/storegate.fish"
)]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Arguments {
    pub(super) fn run(self) {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Arguments::command(), "storegate", &mut script);
        output::line(&String::from_utf8_lossy(&script));
    }
}
