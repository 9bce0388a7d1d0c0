//! `pyrite loadgen`: writes the log records that the demo, the tests and the benchmarks read into a Kafka topic.
//!
//! What each record holds is a pure function of the seed and the record's number ([`record`]), when it is due is a pure
//! function of the clock ([`pace`]); [`send`] speaks to the broker. It knows nothing of the rest of Pyrite, so that a
//! load can come from any machine.

mod args;
mod pace;
mod record;
mod send;
mod stop;

pub use args::LoadgenArgs;

use std::io::Write;

use anyhow::Context;

/// Sends (or with `--print` prints) records until the count is reached or the process is interrupted.
///
/// Blocks the calling thread. An error names what to do: no broker at the address within 5 s, a topic that cannot be
/// made, records that the broker did not take.
pub fn run(args: LoadgenArgs) -> anyhow::Result<()> {
    let plan = args.plan()?;
    if args.print {
        return print_records(&plan);
    }
    send::run(&args, &plan)
}

/// Writes the records to standard output, one a line, as they would be sent.
fn print_records(plan: &args::Plan) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut generator = record::Generator::new(plan.record.clone());
    let mut line = Vec::with_capacity(256);
    for number in 0..plan.count.unwrap_or(10) {
        line.clear();
        generator.write(number, plan.clock.now_millis(), &mut line);
        line.push(b'\n');
        match out.write_all(&line) {
            Ok(()) => {}
            // The reader has seen enough, as `head` does.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error).context("cannot write to standard output"),
        }
    }
    out.flush().context("cannot write to standard output")
}
