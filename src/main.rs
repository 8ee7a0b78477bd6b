use std::process::ExitCode;

fn main() -> ExitCode {
    equipoise::cli::run(std::env::args_os()).into()
}
