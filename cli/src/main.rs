//! The binary: `pyrite <command>`, and `submit`, which is the same file under another name.

mod daemon;
mod executor;
mod leave;
mod loadgen;
mod settings;
mod submit;
mod usage;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let code = match usage::parse(std::env::args_os()) {
        Ok(usage::Command::Master(args)) => usage::exit(daemon::master(&args)),
        Ok(usage::Command::Worker(args)) => usage::exit(daemon::worker(&args)),
        Ok(usage::Command::Executor(args)) => usage::exit(executor::run(args)),
        Ok(usage::Command::Loadgen(args)) => usage::exit(loadgen::run(args)),
        Ok(usage::Command::Submit(arguments)) => submit::run(&arguments),
        Err(code) => code,
    };
    leave::leave(code)
}
