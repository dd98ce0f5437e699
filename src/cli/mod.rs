//! The command line, one file per command. Results go to standard output, messages to standard
//! error. Exit codes: 0 done, 1 failed while running, 2 wrong use or invalid configuration.

mod app;
mod audit;
mod change;
mod check;
mod code;
mod completions;
mod config;
mod demo;
mod errors;
mod explain;
mod failure;
mod fingerprint;
mod gateways;
mod import;
mod input;
mod install;
mod key;
mod list;
mod man;
mod oauth_client;
mod openapi;
mod operator;
mod output;
mod reload;
mod run;
mod session;
mod store;
mod token;
mod top;
mod usage;
mod user;
mod when;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;
use output::Output;

const AFTER: &str = "`storegate demo` shows it at work; `storegate check` finds what is wrong with a configuration.\n\
    Exit codes: 0 done, 1 failed while running, 2 wrong use or invalid configuration.";

/// An authentication gateway for commerce-platform store APIs.
#[derive(Debug, Parser)]
#[command(name = "storegate", version, propagate_version = true, max_term_width = 100, after_help = AFTER)]
struct Arguments {
    /// The configuration file
    #[arg(
        long,
        global = true,
        help_heading = "Common options",
        value_name = "FILE",
        default_value = "gateway.toml"
    )]
    config: PathBuf,

    /// Print one JSON document instead of text
    #[arg(long, global = true, help_heading = "Common options")]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT; prints one line `ready` when requests are accepted
    Run(run::Arguments),
    /// Try it: a sample store API behind a gateway, with seeded credentials
    Demo(demo::Arguments),
    /// Check the configuration; every problem with file, line and column
    Check(check::Arguments),
    /// Put the changed configuration in force in the running gateway; a bad one changes nothing
    Reload(reload::Arguments),
    /// The configuration: what is in force, and its JSON Schema
    #[command(subcommand)]
    Config(config::Command),
    /// Stores: the tenants that requests act on
    #[command(subcommand)]
    Store(store::Command),
    /// Apps: the clients that call
    #[command(subcommand)]
    App(app::Command),
    /// Install an app in a store
    Install(install::Install),
    /// End an app's installation in a store
    Uninstall(install::Uninstall),
    /// Access tokens: issue and revoke
    #[command(subcommand)]
    Token(token::Command),
    /// Authorization codes of the app install flow
    #[command(subcommand)]
    Code(code::Command),
    /// Session tokens of embedded apps, for testing
    #[command(subcommand)]
    Session(session::Command),
    /// Operators: who may use the admin API
    #[command(subcommand)]
    Operator(operator::Command),
    /// Clients of the identity provider: websites where people sign in
    #[command(subcommand)]
    OauthClient(oauth_client::Command),
    /// Keys that the identity provider signs with
    #[command(subcommand)]
    Key(key::Command),
    /// Show who changed what, newest first
    Audit(audit::Arguments),
    /// Print the OpenAPI document of the admin API
    Openapi,
    /// Watch a running gateway: requests, refusals, times, the busiest apps and stores
    Top(top::Arguments),
    /// Show who calls how much, and whether a replaced secret is still in use
    Usage(usage::Arguments),
    /// Users: customers and merchants who sign in
    #[command(subcommand)]
    User(user::Command),
    /// Take over stores, apps, installations and tokens; all or nothing
    Import(import::Arguments),
    /// What an error code means, and what to do; all codes without one
    Errors(errors::Arguments),
    /// Tell every step of the decision on a request; shows no secret, forwards nothing
    Explain(explain::Arguments),
    /// Tell the same of a request that was decided lately, by its id
    Why(why::Arguments),
    /// Print by which fingerprint the access log names a token or secret, read from standard input
    Fingerprint(fingerprint::Arguments),
    /// Print the completion script of a shell: bash, zsh, fish, elvish or powershell
    Completions(completions::Arguments),
    /// Write the man pages of all commands to a folder
    Man(man::Arguments),
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse(); // ends with 2 for wrong use, 0 for --help
    let output = Output { json: arguments.json };
    match dispatch(arguments, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&output),
    }
}

fn dispatch(arguments: Arguments, output: &Output) -> Result<(), Failure> {
    let config = &*arguments.config;
    match arguments.command {
        Command::Run(run) => run.run(config),
        Command::Demo(demo) => demo.run(),
        Command::Check(check) => check.run(config, output),
        Command::Reload(reload) => reload.run(config, output),
        Command::Config(command) => command.run(config, output),
        Command::Store(command) => command.run(config, output),
        Command::App(command) => command.run(config, output),
        Command::Install(install) => install.run(config, output),
        Command::Uninstall(uninstall) => uninstall.run(config, output),
        Command::Token(command) => command.run(config, output),
        Command::Code(command) => command.run(config, output),
        Command::Session(command) => command.run(config, output),
        Command::Operator(command) => command.run(config, output),
        Command::Openapi => openapi::run(),
        Command::OauthClient(command) => command.run(config, output),
        Command::Key(command) => command.run(config, output),
        Command::Audit(audit) => audit.run(config, output),
        Command::Top(top) => top.run(config, output),
        Command::Usage(usage) => usage.run(config, output),
        Command::User(command) => command.run(config, output),
        Command::Import(import) => import.run(config, output),
        Command::Errors(errors) => errors.run(output),
        Command::Explain(explain) => explain.run(config, output),
        Command::Why(why) => why.run(config, output),
        Command::Fingerprint(fingerprint) => fingerprint.run(config, output),
        Command::Completions(completions) => {
            completions.run();
            Ok(())
        }
        Command::Man(man) => man.run(output),
    }
}
